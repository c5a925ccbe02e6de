"""A proxy between one capture node and the fusion node that can take messages away."""

from __future__ import annotations

import threading
from types import TracebackType

import zmq

from pipeline.transport.protocol import Data, decode


class LossyProxy:
    """Passes on what comes, both ways, and loses DATA messages when it is told to.

    Args:
        target: Address of the fusion node.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._front = self._context.socket(zmq.ROUTER)
        self.address = f"tcp://127.0.0.1:{self._front.bind_to_random_port('tcp://127.0.0.1')}"
        self._backs: dict[bytes, zmq.Socket[bytes]] = {}
        self._to_lose = 0
        self._closing = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.lost: list[bytes] = []

    def lose(self, count: int) -> None:
        """Take the next so many DATA messages away."""
        with self._lock:
            self._to_lose = count

    def __enter__(self) -> LossyProxy:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing = True
        self._thread.join()
        self._context.destroy(linger=0)

    def _work(self) -> None:
        while not self._closing:
            self._front.poll(10)
            while self._front.poll(0):
                peer, *frames = self._front.recv_multipart()
                if not self._is_lost(frames):
                    self._back_of(peer).send_multipart(frames)
            for peer, back in self._backs.items():
                while back.poll(0):
                    self._front.send_multipart([peer, *back.recv_multipart()])

    def _back_of(self, peer: bytes) -> zmq.Socket[bytes]:
        """Each connection of the node is one of its own to the fusion node."""
        if peer not in self._backs:
            back = self._backs[peer] = self._context.socket(zmq.DEALER)
            back.connect(self._target)
        return self._backs[peer]

    def _is_lost(self, frames: list[bytes]) -> bool:
        with self._lock:
            if not self._to_lose or not isinstance(decode(frames[0]), Data):
                return False
            self._to_lose -= 1
            self.lost.append(frames[0])
            return True
