"""What a receiver answers, on its way into the socket; what does not fit waits its turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import zmq

from pipeline.transport.link import Socket
from pipeline.transport.protocol import Message, encode

_DONT_WAIT, _MORE = int(zmq.DONTWAIT), int(zmq.SNDMORE)
_MOST_WAITING = 1_000


class Answers:
    """See the module. Belongs to the thread that owns the socket.

    Args:
        socket: A ROUTER that says when a connection is gone (``ROUTER_MANDATORY``).
        unreachable: Told of connections that are gone, or that take nothing in for too long.
    """

    def __init__(self, socket: Socket, unreachable: Callable[[bytes], None]) -> None:
        self._socket = socket
        self._unreachable = unreachable
        self._waiting: list[tuple[bytes, bytes]] = []

    def send(self, said: Sequence[tuple[bytes, Message]]) -> None:
        """Send what waited and what is said now, ``(connection, message)``, in order."""
        if not (self._waiting or said):
            return
        waiting, self._waiting = self._waiting, []
        stuck: set[bytes] = set()
        for connection, frame in [*waiting, *((c, encode(m)) for c, m in said)]:
            if connection in stuck or not self._send(connection, frame):
                stuck.add(connection)
                self._waiting.append((connection, frame))
        if len(self._waiting) > _MOST_WAITING:
            for connection in stuck:
                self._unreachable(connection)
            self._waiting.clear()

    def ask_whether_there(self, connection: bytes, message: Message) -> None:
        """Say something at once, only to learn whether a connection is gone."""
        self._send(connection, encode(message))

    def _send(self, connection: bytes, frame: bytes) -> bool:
        """Send one message; False when the connection takes no more for now."""
        try:
            self._socket.send(connection, _DONT_WAIT | _MORE)
            self._socket.send(frame, _DONT_WAIT)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._unreachable(connection)
        return True
