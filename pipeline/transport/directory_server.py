"""The directory's end: tells capture nodes which fusion node takes their samples.

It serves the trusted only: on an encrypted link the key must be on the allow-list, and a node
may ask for itself alone. All methods belong to one thread.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import msgspec
import structlog
import zmq

from pipeline.transport.directory_messages import (
    MAX_BYTES,
    DirectoryMessage,
    Here,
    NotTaken,
    Nowhere,
    Where,
    decode,
    encode,
)
from pipeline.transport.gate import Gate
from pipeline.transport.limits import LimitSettings
from pipeline.transport.link import HEADER_ROOM, Context, bound_address, listen, with_any_port
from pipeline.transport.protocol import Refusal
from pipeline.transport.security import CurveServer, Doorkeeper

log = structlog.get_logger(__name__)

_AT_ONCE = 256
_TICK_MS = 200


class DirectoryServer:
    """See the module.

    Args:
        endpoint: Address to listen on; port 0: any free one.
        lookup: Says where a capture node is to send.
        curve: Keys and allow-list, for an encrypted link.
        limits: What a peer may ask.
        now_ns: Monotonic time.

    Attributes:
        address: The address it listens on.
        counters: Answers by kind, and what was refused, by reason.

    Raises:
        TransportError: The address is in use or not ours.
    """

    def __init__(
        self,
        endpoint: str,
        lookup: Callable[[str], Here | Nowhere],
        *,
        curve: CurveServer | None = None,
        limits: LimitSettings | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._lookup = lookup
        self._now_ns = now_ns
        self._context: Context = zmq.Context()
        self._doorkeeper = Doorkeeper(self._context, curve.allow) if curve else None
        self.counters: Counter[str] = Counter()
        try:
            address = with_any_port(endpoint)
            self._socket = listen(self._context, address, curve, MAX_BYTES)
            self._gate = Gate(
                self._socket,
                limits or LimitSettings(),
                curve,
                max_bytes=MAX_BYTES,
                unfinished=2 * HEADER_ROOM,
            )
        except BaseException:
            self.close()
            raise
        self.address = bound_address(self._socket)

    def poll(self, timeout_s: float) -> int:
        """Answer what is asked; waits for the first question at most `timeout_s`; how many."""
        until_ns = self._now_ns() + int(timeout_s * 1e9)
        while True:
            count = self._receive()
            now_ns = self._now_ns()
            self._gate.look(now_ns)
            left_ms = (until_ns - now_ns) / 1e6
            if count or left_ms <= 0:
                return count
            self._socket.poll(min(max(1, round(left_ms)), _TICK_MS))

    def close(self) -> None:
        """Stop listening; may be called twice."""
        if self._doorkeeper:
            self._doorkeeper.close()
        self._context.destroy(linger=0)

    def _receive(self) -> int:
        count = 0
        while count < _AT_ONCE:
            try:
                connection, *frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            count += 1
            answer = self._answer(connection.bytes, frames)
            if answer is not None:
                self._say(connection.bytes, answer)
        return count

    def _answer(self, connection: bytes, frames: list[zmq.Frame]) -> DirectoryMessage | None:
        objection = self._gate.objection(connection, frames, self._now_ns())
        if objection is not None:
            code = objection.code
            return None if code is None else self._refused(connection, code, objection.detail)
        try:
            message = decode(frames[0].buffer) if len(frames) == 1 else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            message = None
        if not isinstance(message, Where):
            return self._refused(connection, Refusal.MALFORMED, "ask WHERE")
        owner = self._gate.node_of(connection)
        if owner not in ("", message.node):
            return self._refused(connection, Refusal.NOT_ALLOWED, f"the key belongs to {owner}")
        found = self._lookup(message.node)
        self.counters["here" if isinstance(found, Here) else "nowhere"] += 1
        return found

    def _refused(self, connection: bytes, code: Refusal, detail: str) -> NotTaken:
        self.counters[code.value] += 1
        count = self.counters[code.value]
        log.warning("question refused", reason=code.value, detail=detail, count=count, every_s=10)
        self._gate.refused(connection, code, self._now_ns())
        return NotTaken(code.value, detail[:500])

    def _say(self, connection: bytes, message: DirectoryMessage) -> None:
        try:
            self._socket.send_multipart((connection, encode(message)), zmq.NOBLOCK)
        except zmq.Again:
            self.counters["answer_not_sent"] += 1
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
