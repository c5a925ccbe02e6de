"""A TCP line to a port of this machine that can be cut: nothing passes then, and nobody is told."""

from __future__ import annotations

import selectors
import socket
import threading
from types import TracebackType

PIECE = 1 << 16


class CutLine:
    """Passes on what comes, both ways, until it is cut; what came meanwhile passes when mended.

    Args:
        port: Port of this machine that it leads to.

    Attributes:
        port: Port to connect to.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._others: dict[socket.socket, socket.socket] = {}
        self._whole, self._closing = threading.Event(), threading.Event()
        self._whole.set()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def cut(self) -> None:
        """Let nothing pass."""
        self._whole.clear()

    def mend(self) -> None:
        """Let everything pass again."""
        self._whole.set()

    def __enter__(self) -> CutLine:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._whole.set()
        self._thread.join()
        for one in (*self._others, self._listening):
            one.close()

    def _work(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            while not self._closing.is_set():
                self._whole.wait()
                for key, _ in selector.select(0.05):
                    if not self._whole.is_set():
                        break
                    if key.fileobj is self._listening:
                        self._accept(selector)
                    else:
                        self._pass_on(key.fileobj, selector)  # type: ignore[arg-type]

    def _accept(self, selector: selectors.BaseSelector) -> None:
        near, _ = self._listening.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            near.close()
            return
        for one, other in ((near, far), (far, near)):
            self._others[one] = other
            selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, one: socket.socket, selector: selectors.BaseSelector) -> None:
        if one not in self._others:  # its other end was closed in this very round
            return
        try:
            piece = one.recv(PIECE)
            if piece:
                self._others[one].sendall(piece)
                return
        except OSError:
            pass
        for end in (one, self._others[one]):
            selector.unregister(end)
            del self._others[end]
            end.close()
