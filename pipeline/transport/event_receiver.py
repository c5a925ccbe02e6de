"""The alert node's end of the event link, see `pipeline.transport.event_link`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from math import ceil
from typing import NamedTuple

import msgspec
import structlog
import zmq

from pipeline.transport.event_messages import (
    EVENT_LINK_VERSION,
    MAX_EVENT_BYTES,
    EventMessage,
    Have,
    Offer,
    Ping,
    Pong,
    Refused,
    decode,
    encode,
)
from pipeline.transport.gate import Gate
from pipeline.transport.limits import LimitSettings
from pipeline.transport.link import Context, bound_address, listen, with_any_port
from pipeline.transport.protocol import Refusal
from pipeline.transport.rekeying import KeyTaken, NewKey
from pipeline.transport.security import CurveServer, Doorkeeper

log = structlog.get_logger(__name__)

_AT_ONCE = 256
_TICK_MS = 200
_UNFINISHED = 64 << 20
_MOST_SENDERS = 4_096  # connections whose last event is remembered: the workers of a cluster


class EventDelivery(NamedTuple):
    """An event that arrived.

    Attributes:
        key: Its idempotency key.
        body: The event as JSON.
        handle: To be given to `EventReceiver.ack` once the event is safe.
    """

    key: str
    body: bytes
    handle: tuple[bytes, str]


class EventReceiver:
    """The alert node's end. All methods belong to one thread.

    Args:
        endpoint: Address to listen on; port ``*`` or 0: any free one.
        curve: Keys and allow-list, for encrypted links.
        limits: What the other side may ask.
        now_ns: Monotonic time.

    Attributes:
        address: The address it listens on.

    Raises:
        TransportError: The address is in use or not ours.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        curve: CurveServer | None = None,
        limits: LimitSettings | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._now_ns = now_ns
        self._context: Context = zmq.Context()
        self._doorkeeper = Doorkeeper(self._context, curve.allow) if curve else None
        self._counters: Counter[str] = Counter()
        self._passed: dict[bytes, str] = {}
        try:
            address = with_any_port(endpoint)
            self._socket = listen(self._context, address, curve, MAX_EVENT_BYTES)
            self._gate = Gate(
                self._socket,
                limits or LimitSettings(),
                curve,
                max_bytes=2 * MAX_EVENT_BYTES,
                unfinished=_UNFINISHED,
            )
        except BaseException:
            self.close()
            raise
        self.address = bound_address(self._socket)

    @property
    def counters(self) -> Counter[str]:
        """Messages and connections refused, by reason."""
        counters = self._counters + self._gate.counters
        if self._doorkeeper:
            counters["unknown_key"] = self._doorkeeper.refused
        return counters

    def poll(self, timeout_s: float) -> list[EventDelivery]:
        """Events that arrived; waits for the first at most `timeout_s`."""
        until_ns = self._now_ns() + int(timeout_s * 1e9)
        while True:
            found = self._receive()
            now_ns = self._now_ns()
            for connection in self._gate.look(now_ns):
                self._refuse(connection, Refusal.NOT_ALLOWED, "the key is not trusted")
            for connection, news in self._gate.untold():
                self._say(connection, news)
            left_ms = (until_ns - now_ns) / 1e6
            if found or left_ms <= 0:
                return found
            self._socket.poll(min(ceil(left_ms), _TICK_MS))

    def ack(self, handle: tuple[bytes, str]) -> None:
        """The event is safe here. A sender that is gone will offer it again."""
        connection, key = handle
        self._say(connection, Have([key]))

    def close(self) -> None:
        """Stop listening; may be called twice."""
        if self._doorkeeper:
            self._doorkeeper.close()
        self._context.destroy(linger=0)

    def _receive(self) -> list[EventDelivery]:
        found: list[EventDelivery] = []
        for _ in range(_AT_ONCE):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            delivery = self._take(frames[0].bytes, frames[1:])
            if delivery is not None:
                found.append(delivery)
        return found

    def _take(self, connection: bytes, frames: list[zmq.Frame]) -> EventDelivery | None:
        objection = self._gate.objection(connection, frames, self._now_ns())
        if objection is not None:
            if objection.code is not None:
                self._refuse(connection, objection.code, objection.detail)
            return None
        try:
            if len(frames) != 1:
                raise msgspec.DecodeError(f"{len(frames)} frames")
            message = decode(frames[0].buffer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._refuse(connection, Refusal.MALFORMED, str(error))
            return None
        if isinstance(message, Offer):
            return self._offered(connection, message)
        if isinstance(message, Ping):
            self._say(connection, Pong())
        elif isinstance(message, NewKey):
            objection = self._gate.rekey(connection, message, self._now_ns())
            if objection is None:
                self._say(connection, KeyTaken(message.public))
            elif objection.code is not None:
                self._refuse(connection, objection.code, objection.detail)
        else:
            self._refuse(connection, Refusal.OUT_OF_PLACE)
        return None

    def _offered(self, connection: bytes, offer: Offer) -> EventDelivery | None:
        if offer.version != EVENT_LINK_VERSION:
            detail = f"event of version {offer.version}, we speak {EVENT_LINK_VERSION}"
            self._refuse(connection, Refusal.VERSION, f"{detail}: upgrade the older node")
            return None
        if offer.after and self._passed.get(connection) != offer.after:
            self._counters["out_of_order"] += 1
            return None
        self._passed.pop(connection, None)
        self._passed[connection] = offer.key
        while len(self._passed) > _MOST_SENDERS:
            del self._passed[next(iter(self._passed))]
        return EventDelivery(offer.key, offer.body, (connection, offer.key))

    def _refuse(self, connection: bytes, code: Refusal, detail: str = "") -> None:
        self._counters[code.value] += 1
        count = self._counters[code.value]
        log.warning("message refused", reason=code.value, detail=detail, count=count, every_s=10)
        self._say(connection, Refused(code.value, detail[:500]))
        self._gate.refused(connection, code, self._now_ns())

    def _say(self, connection: bytes, message: EventMessage) -> None:
        try:
            self._socket.send_multipart((connection, encode(message)), zmq.NOBLOCK)
        except zmq.Again:
            self._counters["answer_not_sent"] += 1
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
