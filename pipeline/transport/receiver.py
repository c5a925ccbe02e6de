"""The fusion node's end of the link: yields what arrives, in the order in which it arrives.

All methods but `Receiver.nodes` belong to one thread. `Receiver.poll` does everything: it
grants as much credit as was handed over before and consumed, takes in what came, answers,
and returns. A receiver that is not polled lets its senders wait; nothing is lost by that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import ceil
from urllib.parse import urlsplit

import zmq

from pipeline.core.arrival import Arrival
from pipeline.core.clock import Clock
from pipeline.core.codec import decode_samples, size_of
from pipeline.core.errors import CodecError, ProtocolError
from pipeline.transport.answers import Answers
from pipeline.transport.clock_responder import ClockResponder
from pipeline.transport.fetches import Fetches
from pipeline.transport.gate import Gate
from pipeline.transport.limits import LimitSettings
from pipeline.transport.link import (
    HEADER_ROOM,
    READABLE,
    Context,
    bound_address,
    can,
    listen,
    receive_frames,
    with_any_port,
)
from pipeline.transport.peer import NodeStatus
from pipeline.transport.protocol import (
    MAX_FRAMES,
    ClockAnswer,
    Data,
    Hello,
    Refusal,
    Refused,
    decode,
)
from pipeline.transport.receiver_session import ReceiverSession, Resumes, from_the_start
from pipeline.transport.rekeying import KeyTaken, NewKey
from pipeline.transport.security import CurveServer, Doorkeeper, needs_curve
from pipeline.transport.shared_payloads import SharedPayloads

NOTHING: Mapping[str, int] = {}
_TICK_MS = 200
_MESSAGES_A_POLL = 64
_UNFINISHED = 64 << 20


class Receiver:
    """Receives samples of many nodes.

    Args:
        endpoint: Address to listen on; port ``*`` or 0: any free one.
        clock: Site time.
        resume: Asked for each new session of a node: next sequence wanted per stream.
        credit_bytes: Bytes a node may have under way.
        max_message_bytes: Largest sample accepted.
        max_streams: Most streams of one node.
        limits: What else a node may ask.
        curve: Keys and allow-list, for encrypted links.
        clock_probes: Whether to answer clock probes on UDP, on the same port.

    Raises:
        TransportError: The address is in use or not ours.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        clock: Clock,
        resume: Resumes = from_the_start,
        credit_bytes: int = 32 << 20,
        max_message_bytes: int = 32 << 20,
        max_streams: int = 256,
        limits: LimitSettings | None = None,
        curve: CurveServer | None = None,
        clock_probes: bool = True,
    ) -> None:
        self._clock = clock
        self._curve = curve
        self._session = ReceiverSession(
            resume=resume,
            credit=credit_bytes,
            max_message=max_message_bytes,
            max_streams=max_streams,
        )
        self._context: Context = zmq.Context()
        self._doorkeeper = Doorkeeper(self._context, curve.allow) if curve else None
        self._responder: ClockResponder | None = None
        self._shared = SharedPayloads(max_message_bytes)
        self._closed = False
        try:
            address = with_any_port(endpoint)
            self._socket = listen(self._context, address, curve, max_message_bytes)
            self.address = bound_address(self._socket)
            self._answers = Answers(self._socket, self._session.unreachable)
            self._gate = Gate(
                self._socket,
                limits or LimitSettings(),
                curve,
                max_bytes=max_message_bytes + 2 * HEADER_ROOM,
                unfinished=2 * (credit_bytes + max_message_bytes) + _UNFINISHED,
            )
            self._poller = zmq.Poller()
            self._poller.register(self._socket, READABLE)
            self._local = curve is None and not needs_curve(self.address)
            if clock_probes and self.address.startswith("tcp://"):
                self._responder = _responder(self.address, clock)
        except BaseException:
            self._release()
            raise

    @property
    def counters(self) -> Counter[str]:
        """Refused, malformed, duplicate and rejected, by name, since the start."""
        counters = self._session.counters + self._gate.counters
        if self._doorkeeper:
            counters["unknown_key"] = self._doorkeeper.refused
        if self._responder:
            counters["bad_clock_probe"] = self._responder.refused
        return counters

    @property
    def fetches(self) -> Fetches:
        """What is fetched back of full pictures; goes out and comes in with `poll`."""
        return self._session.fetches

    def poll(self, timeout_s: float, waiting: Mapping[str, int] = NOTHING) -> list[Arrival]:
        """What arrived; waits for the first for at most `timeout_s`, empty when nothing came.

        What came of `fetches` ends the wait as well.

        Calling it again says that what the calls before returned is consumed.

        Args:
            timeout_s: How long to wait.
            waiting: So many samples of each node are not consumed yet, the latest.
        """
        session = self._session
        session.grant(self._shared.done(), self._clock.now_ns(), waiting)
        until_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        left_ms = timeout_s * 1e3
        while True:
            self._flush()
            at_once = bool(session.arrivals) or session.fetches.has_news
            wait_ms = 0 if at_once else min(max(0, ceil(left_ms)), _TICK_MS)
            readable, left = bool(self._poller.poll(wait_ms)), _MESSAGES_A_POLL
            while readable and left:
                self._receive()
                left -= 1
                readable = can(self._socket, READABLE)
            now_ns = self._clock.now_ns()
            session.tick(now_ns)
            self._look(now_ns)
            self._flush()
            left_ms = (until_ns - now_ns) / 1e6
            if session.arrivals or session.fetches.has_news or left_ms <= 0:
                arrivals, session.arrivals = session.arrivals, []
                return arrivals

    def ack(self, node: str, sequences: Mapping[str, int], session: str = "") -> None:
        """Everything of `node` up to and including these sequences is committed.

        Args:
            node: The node.
            sequences: Last sequence committed, by stream.
            session: Session they belong to (`StreamOpened.session`); empty: the present one.
        """
        self._session.ack(node, sequences, session)
        self._flush()

    def nodes(self) -> list[NodeStatus]:
        """Every node that was ever here, by name. May be called from any thread."""
        return self._session.nodes()

    def close(self) -> None:
        """Stop listening; may be called twice."""
        if not self._closed:
            self._closed = True
            self._flush()
            self._release()

    def _receive(self) -> None:
        """Take in one message, which is there."""
        frames = receive_frames(self._socket)
        now_ns = self._clock.now_ns()
        connection = frames[0].bytes
        objection = self._gate.objection(connection, frames[1:], now_ns)
        said = len(self._session.outgoing)
        try:
            if objection is None:
                self._dispatch(connection, frames[1:], now_ns)
            elif objection.code is not None:
                self._session.refuse(connection, objection.code, objection.detail)
        except (ProtocolError, CodecError) as error:
            self._session.refuse(connection, Refusal.MALFORMED, error.message)
        if len(self._session.outgoing) > said:
            self._end_offenders(said, now_ns)

    def _look(self, now_ns: int) -> None:
        """End connections whose key was revoked, and what else the gate has due."""
        said = len(self._session.outgoing)
        for connection in self._gate.look(now_ns):
            self._session.refuse(connection, Refusal.NOT_ALLOWED, "the key is not trusted")
            self._session.unreachable(connection)
        self._session.outgoing += self._gate.untold()
        if len(self._session.outgoing) > said:
            self._end_offenders(said, now_ns)

    def _end_offenders(self, said: int, now_ns: int) -> None:
        """End connections for what was refused in the answers from number `said` on."""
        for connection, answer in self._session.outgoing[said:]:
            if isinstance(answer, Refused) and self._gate.refused(connection, answer.code, now_ns):
                self._session.unreachable(connection)

    def _dispatch(self, connection: bytes, frames: list[zmq.Frame], now_ns: int) -> None:
        if not 1 <= len(frames) <= MAX_FRAMES:
            raise ProtocolError(f"a message of {len(frames)} frames")
        message = decode(frames[0].buffer)
        if self._curve is not None and not self._may_speak(connection, message):
            return
        if isinstance(message, Data):
            self._data(connection, message, frames[1:], now_ns)
        elif isinstance(message, Hello):
            self._hello(connection, message, now_ns)
        elif isinstance(message, NewKey):
            self._rekey(connection, message, now_ns)
        else:
            payload = frames[1].buffer if len(frames) > 1 else b""
            self._session.receive(connection, message, now_ns, payload)

    def _data(self, connection: bytes, message: Data, frames: list[zmq.Frame], now_ns: int) -> None:
        node = self._session.node_of(connection)
        if not node:
            self._session.refuse(connection, Refusal.HELLO_FIRST, "say HELLO first")
            return
        payloads = self._shared.of(node, message, frames)
        size = sum(map(size_of, payloads)) - len(message.header)
        self._session.data(connection, decode_samples(payloads), size, now_ns)

    def _hello(self, connection: bytes, hello: Hello, now_ns: int) -> None:
        others = self._session.others(hello.node)
        objection = self._gate.hello_objection(connection, others, now_ns)
        if objection is not None and objection.code is not None:
            self._session.refuse(connection, objection.code, objection.detail, hello.attempt)
            return
        holder = self._session.holder(hello.node)
        if holder is not None and holder != connection:
            # Asks ZeroMQ whether the holder is still connected: sending fails if it is not.
            self._answers.ask_whether_there(holder, ClockAnswer(0, now_ns, now_ns))
        reader = self._shared.opened(hello) if hello.shared and self._local else None
        if self._session.hello(connection, hello, now_ns, shared=reader is not None):
            self._shared.agree(hello.node, reader, self._session.connected)

    def _rekey(self, connection: bytes, new: NewKey, now_ns: int) -> None:
        objection = self._gate.rekey(connection, new, now_ns)
        if objection is None:
            self._session.outgoing.append((connection, KeyTaken(new.public)))
        elif objection.code is not None:
            self._session.refuse(connection, objection.code, objection.detail)

    def _may_speak(self, connection: bytes, message: object) -> bool:
        """Whether a connection speaks for the node that its key belongs to."""
        node = self._gate.node_of(connection)
        claimed = message.node if isinstance(message, Hello) else node
        if claimed == node == (self._session.node_of(connection) or node):
            return True
        attempt = message.attempt if isinstance(message, Hello) else 0
        detail = f"the key belongs to {node}"
        self._session.refuse(connection, Refusal.NOT_ALLOWED, detail, attempt)
        self._session.unreachable(connection)
        return False

    def _flush(self) -> None:
        said, self._session.outgoing = self._session.outgoing, []
        self._answers.send(said)

    def _release(self) -> None:
        if self._responder:
            self._responder.close()
        if self._doorkeeper:
            self._doorkeeper.close()
        self._context.destroy(linger=0)


def _responder(address: str, clock: Clock) -> ClockResponder:
    parts = urlsplit(address)
    host = parts.hostname or ""
    return ClockResponder("" if host in ("0.0.0.0", "::") else host, parts.port or 0, clock)
