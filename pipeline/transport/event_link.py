"""Events from the fusion node to the alert node: at least once, in order. The sender's end.

The sender keeps every event until the receiver says that it has it for good. An event not
acked within `RESEND_NS`, or on a link that was lost, is sent again with all after it; the
receiver may thus see a key twice, and its outbox knows keys. Neither side has a thread: each
works while it is polled.

::

    sender  ── OFFER key, event ──>  receiver
            <── HAVE keys ──────────
            ── PING ───────────────>           every `HEARTBEAT_NS` while nothing is said
            <── PONG ───────────────           silence for `LINK_LOST_NS`: a new socket
            <── REFUSED code, words ─          what cannot be taken
"""

from __future__ import annotations

from math import ceil

import msgspec
import structlog
import zmq

from pipeline.core.clock import Clock
from pipeline.transport.event_messages import (
    MAX_EVENT_BYTES,
    EventMessage,
    Have,
    Offer,
    Ping,
    Refused,
    decode,
    encode,
)
from pipeline.transport.link import Context, Socket, connect
from pipeline.transport.protocol import HEARTBEAT_NS, LINK_LOST_NS
from pipeline.transport.rekeying import NewKey
from pipeline.transport.security import CurveClient

log = structlog.get_logger(__name__)

RESEND_NS = 3_000_000_000
_IN_FLIGHT = 256
_TICK_MS = 100


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
        self._news = ""
        self._said_ns = 0
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
        return connect(self._context, self._endpoint, self._curve, MAX_EVENT_BYTES)

    def _hear(self) -> list[str]:
        acked: list[str] = []
        while True:
            try:
                message = decode(self._socket.recv(zmq.NOBLOCK))
            except zmq.Again:
                return acked
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                log.warning("malformed answer from the alert node", error=str(error))
                continue
            self._heard, self._heard_ns = True, self._clock.now_ns()
            if isinstance(message, NewKey):
                self._news = message.public
            if isinstance(message, Refused):
                log.warning(
                    "refused by the alert node",
                    code=message.code,
                    detail=message.detail,
                    every_s=30,
                )
            for key in message.keys if isinstance(message, Have) else ():
                if self._events.pop(key, None) is not None:
                    self._sent_ns.pop(key, None)
                    acked.append(key)

    def _keep_alive(self, now_ns: int) -> None:
        overdue = any(now_ns - sent > RESEND_NS for sent in self._sent_ns.values())
        silent = now_ns - self._heard_ns > LINK_LOST_NS
        if silent or (self._curve is not None and self._curve.changed(self._news)):
            self._socket.close(0)
            self._socket = self._connect()
            overdue = True
        if overdue:
            self._waiting = list(self._events)
            self._sent_ns.clear()
            self._last_sent = ""
        if self._curve is not None and (upcoming := self._curve.upcoming()):
            self._say(NewKey(upcoming))
        if now_ns - self._said_ns > HEARTBEAT_NS:
            self._say(Ping())

    def _send_waiting(self) -> None:
        while self._waiting and len(self._sent_ns) < _IN_FLIGHT:
            key = self._waiting[0]
            body = self._events.get(key)
            if body is not None:
                after = self._last_sent if self._last_sent in self._events else ""
                if not self._say(Offer(key, body, after)):
                    return
                self._sent_ns[key] = self._clock.now_ns()
                self._last_sent = key
            self._waiting.pop(0)

    def _say(self, message: EventMessage) -> bool:
        try:
            self._socket.send(encode(message), zmq.NOBLOCK)
        except zmq.Again:
            return False
        self._said_ns = self._clock.now_ns()
        return True
