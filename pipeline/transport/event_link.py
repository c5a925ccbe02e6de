"""Events from the fusion node to the alert node: at least once, in order.

The sender keeps every event until the receiver says that it has it for good. An event not
acked within `RESEND_NS`, or on a link that was lost, is sent again with all after it; the
receiver may thus see a key twice, and its outbox knows keys. Neither side has a thread: each
works while it is polled.

::

    sender  ── OFFER key, event ──>  receiver
            <── HAVE keys ──────────
            ── PING ───────────────>           every `HEARTBEAT_NS` while nothing is said
            <── PONG ───────────────           silence for `LINK_LOST_NS`: a new socket
"""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import Annotated, NamedTuple, TypeAlias

import msgspec
import structlog
import zmq

from pipeline.core.clock import Clock
from pipeline.transport.link import Context, Socket, bound_address, connect, listen
from pipeline.transport.protocol import HEARTBEAT_NS, LINK_LOST_NS
from pipeline.transport.security import CurveClient, CurveServer, Doorkeeper

log = structlog.get_logger(__name__)

RESEND_NS = 3_000_000_000
MAX_EVENT_BYTES = 1 << 20
_IN_FLIGHT = 256
_TICK_MS = 100

_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class _Offer(msgspec.Struct, array_like=True, tag=1, frozen=True):
    key: _Key
    body: Annotated[bytes, msgspec.Meta(max_length=MAX_EVENT_BYTES)]
    after: Annotated[str, msgspec.Meta(max_length=200)] = ""


class _Have(msgspec.Struct, array_like=True, tag=2, frozen=True):
    keys: list[_Key]


class _Ping(msgspec.Struct, array_like=True, tag=3, frozen=True):
    pass


class _Pong(msgspec.Struct, array_like=True, tag=4, frozen=True):
    pass


_Message: TypeAlias = _Offer | _Have | _Ping | _Pong
_decoder = msgspec.msgpack.Decoder(_Message)
_encode = msgspec.msgpack.Encoder().encode


class EventSender:
    """The fusion node's end. All methods belong to one thread.

    Args:
        endpoint: Address of the alert node.
        clock: Node time.
        curve: Keys, for an encrypted link.

    Raises:
        TransportError: The address is not one.
    """

    def __init__(self, endpoint: str, *, clock: Clock, curve: CurveClient | None = None) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._curve = curve
        self._context: Context = zmq.Context()
        self._events: dict[str, bytes] = {}
        self._waiting: list[str] = []
        self._sent_ns: dict[str, int] = {}
        self._last_sent = ""
        self._said_ns = 0
        self.connections = 0
        self._socket = self._connect()

    @property
    def pending(self) -> int:
        """Events that are not acked."""
        return len(self._events)

    @property
    def connected(self) -> bool:
        """Whether the other side was heard lately."""
        return self._heard and self._clock.now_ns() - self._heard_ns < LINK_LOST_NS

    def send(self, body: bytes, key: str) -> None:
        """Take an event over; a key that is under way already is taken once.

        Args:
            body: The event as JSON.
            key: Its idempotency key, see `pipeline.core.event.Event.key`.

        Raises:
            ValueError: The event is larger than `MAX_EVENT_BYTES`.
        """
        if len(body) > MAX_EVENT_BYTES:
            raise ValueError(f"event {key} has {len(body)} bytes, at most {MAX_EVENT_BYTES} go")
        if key not in self._events:
            self._events[key] = body
            self._waiting.append(key)
            self._send_waiting()

    def poll(self, timeout_s: float) -> list[str]:
        """Keys that the other side has for good; waits for the first at most `timeout_s`."""
        until_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        while True:
            acked = self._hear()
            now_ns = self._clock.now_ns()
            self._keep_alive(now_ns)
            self._send_waiting()
            left_ms = (until_ns - now_ns) / 1e6
            if acked or left_ms <= 0:
                return acked
            self._socket.poll(min(ceil(left_ms), _TICK_MS))

    def close(self) -> None:
        """Stop; what is not acked stays with the caller's store. May be called twice."""
        self._context.destroy(linger=0)

    def _connect(self) -> Socket:
        self._heard, self._heard_ns = False, self._clock.now_ns()
        self.connections += 1
        return connect(self._context, self._endpoint, self._curve, MAX_EVENT_BYTES)

    def _hear(self) -> list[str]:
        acked: list[str] = []
        while True:
            try:
                message = _decoder.decode(self._socket.recv(zmq.NOBLOCK))
            except zmq.Again:
                return acked
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                log.warning("malformed answer from the alert node", error=str(error))
                continue
            self._heard, self._heard_ns = True, self._clock.now_ns()
            for key in message.keys if isinstance(message, _Have) else ():
                if self._events.pop(key, None) is not None:
                    self._sent_ns.pop(key, None)
                    acked.append(key)

    def _keep_alive(self, now_ns: int) -> None:
        overdue = any(now_ns - sent > RESEND_NS for sent in self._sent_ns.values())
        if now_ns - self._heard_ns > LINK_LOST_NS:
            self._socket.close(0)
            self._socket = self._connect()
            overdue = True
        if overdue:
            self._waiting = list(self._events)
            self._sent_ns.clear()
            self._last_sent = ""
        if now_ns - self._said_ns > HEARTBEAT_NS:
            self._say(_Ping())

    def _send_waiting(self) -> None:
        while self._waiting and len(self._sent_ns) < _IN_FLIGHT:
            key = self._waiting[0]
            body = self._events.get(key)
            if body is not None:
                after = self._last_sent if self._last_sent in self._events else ""
                if not self._say(_Offer(key, body, after)):
                    return
                self._sent_ns[key] = self._clock.now_ns()
                self._last_sent = key
            self._waiting.pop(0)

    def _say(self, message: _Message) -> bool:
        try:
            self._socket.send(_encode(message), zmq.NOBLOCK)
        except zmq.Again:
            return False
        self._said_ns = self._clock.now_ns()
        return True


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

    Attributes:
        address: The address it listens on.
        counters: Messages refused, by reason.

    Raises:
        TransportError: The address is in use or not ours.
    """

    def __init__(self, endpoint: str, *, curve: CurveServer | None = None) -> None:
        self._curve = curve
        self._context: Context = zmq.Context()
        self._doorkeeper = Doorkeeper(self._context, curve.allow) if curve else None
        self.counters: Counter[str] = Counter()
        self._passed: dict[bytes, str] = {}
        try:
            address = endpoint.removesuffix(":0") + ":*" if endpoint.endswith(":0") else endpoint
            self._socket = listen(self._context, address, curve, MAX_EVENT_BYTES)
        except BaseException:
            self.close()
            raise
        self.address = bound_address(self._socket)

    def poll(self, timeout_s: float) -> list[EventDelivery]:
        """Events that arrived; waits for the first at most `timeout_s`."""
        found: list[EventDelivery] = []
        if self._socket.poll(ceil(timeout_s * 1e3)):
            while len(found) < _IN_FLIGHT:
                try:
                    frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
                except zmq.Again:
                    break
                delivery = self._take(frames)
                if delivery is not None:
                    found.append(delivery)
        return found

    def ack(self, handle: tuple[bytes, str]) -> None:
        """The event is safe here. A sender that is gone will offer it again."""
        connection, key = handle
        self._say(connection, _Have([key]))

    def close(self) -> None:
        """Stop listening; may be called twice."""
        if self._doorkeeper:
            self._doorkeeper.close()
        self._context.destroy(linger=0)

    def _take(self, frames: list[zmq.Frame]) -> EventDelivery | None:
        connection = frames[0].bytes
        if self._curve is not None and not _trusted(self._curve, frames[-1]):
            self._refuse("not_allowed")
            return None
        try:
            if len(frames) != 2:
                raise msgspec.DecodeError(f"{len(frames)} frames")
            message = _decoder.decode(frames[1].buffer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._refuse("malformed")
            return None
        if isinstance(message, _Offer):
            if message.after and self._passed.get(connection) != message.after:
                self.counters["out_of_order"] += 1
                return None
            self._passed.pop(connection, None)
            self._passed[connection] = message.key
            while len(self._passed) > 64:
                del self._passed[next(iter(self._passed))]
            return EventDelivery(message.key, message.body, (connection, message.key))
        if isinstance(message, _Ping):
            self._say(connection, _Pong())
        else:
            self._refuse("out_of_place")
        return None

    def _refuse(self, reason: str) -> None:
        self.counters[reason] += 1
        if self.counters[reason] in (1, 10, 100) or self.counters[reason] % 1000 == 0:
            log.warning("message refused", reason=reason, count=self.counters[reason])

    def _say(self, connection: bytes, message: _Message) -> None:
        try:
            self._socket.send_multipart((connection, _encode(message)), zmq.NOBLOCK)
        except zmq.Again:
            self.counters["answer_not_sent"] += 1
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise


def _trusted(curve: CurveServer, frame: zmq.Frame) -> bool:
    return curve.allow.node_of(str(frame.get("User-Id"))) is not None
