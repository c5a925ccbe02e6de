"""The line between capture node and fusion node, which can be cut.

A relay of TCP connections. Cut softly, everybody stays connected and nothing comes through, as
when a cable is pulled; cut hard, connections break and new ones are refused at once, as when a
router reboots. What was under way at a soft cut comes through when the line is mended.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

_PIECE = 1 << 18
_CONNECT_S = 5.0


class CutLine:
    """A relay on a port of the loopback.

    Args:
        port: Where it listens.
        target: Port of the loopback that it relays to.
    """

    def __init__(self, port: int, target: int) -> None:
        self._target = ("127.0.0.1", target)
        self._whole = threading.Event()
        self._whole.set()
        self._hard = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", port), backlog=16)
        threading.Thread(target=self._accept, name="line", daemon=True).start()

    def cut(self, *, hard: bool) -> None:
        """Let nothing through from now on."""
        self._hard = hard
        self._whole.clear()
        if hard:
            self._break_all()

    def mend(self) -> None:
        """Undo `cut`."""
        self._hard = False
        self._whole.set()

    def close(self) -> None:
        """Break everything, for good."""
        self._server.close()
        self._break_all()
        self._whole.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            if self._hard:
                near.close()
            else:
                self._keep(near)
                threading.Thread(target=self._relay, args=(near,), daemon=True).start()

    def _relay(self, near: socket.socket) -> None:
        """Carry one connection until either end closes it."""
        self._whole.wait()
        try:
            far = socket.create_connection(self._target, _CONNECT_S)
        except OSError:
            self._drop(near)
            return
        far.settimeout(None)
        self._keep(far)
        back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
        back.start()
        self._pump(near, far)
        back.join()
        self._drop(near)
        self._drop(far)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(_PIECE):
                self._whole.wait()
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _keep(self, end: socket.socket) -> None:
        with self._lock:
            self._open.add(end)

    def _drop(self, end: socket.socket) -> None:
        with self._lock:
            self._open.discard(end)
        end.close()

    def _break_all(self) -> None:
        with self._lock:
            ends = list(self._open)
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
