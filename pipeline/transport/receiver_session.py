"""The receiver's half of the protocol as a pure state machine. No thread, no socket.

It is given decoded messages with the connection they came by and the time, and collects what
to answer (`outgoing`) and what arrived (`arrivals`). A node is *absent*, *welcome* (HELLO was
answered), *lost* (not heard for `NODE_LOST_NS`, or its connection is gone; comes back by
HELLO) or *gone* (said BYE). See `pipeline.transport.protocol` for the rules.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import structlog

from pipeline.core.arrival import Arrival, LedgerReport
from pipeline.core.sample import Sample, StreamInfo
from pipeline.transport.fetches import Fetches
from pipeline.transport.fetching import Fetched, Full
from pipeline.transport.peer import NodeStatus, Peer, StreamState
from pipeline.transport.protocol import (
    PROTOCOL_VERSION,
    SAMPLE_COST,
    Ack,
    Bye,
    ClockAnswer,
    ClockAsk,
    Credit,
    End,
    Hello,
    LedgerSaid,
    Message,
    Refusal,
    Refused,
    StreamSaid,
    Welcome,
)
from pipeline.transport.registry import Registry
from pipeline.transport.stream_intake import StreamIntake

log = structlog.get_logger(__name__)

Resumes: TypeAlias = Callable[[str, str, Sequence[StreamInfo]], Mapping[str, int]]
"""``(node, session, streams)`` → next sequence wanted per stream, from what is committed."""


def from_the_start(_node: str, _session: str, _streams: Sequence[StreamInfo]) -> dict[str, int]:
    """Resume points of a receiver that remembers nothing."""
    return {}


class ReceiverSession:
    """See the module.

    Args:
        resume: Asked for each new session of a node.
        credit: Bytes a node may have under way.
        max_message: Largest cost of one sample, bytes.
        max_streams: Most streams of one node.

    Attributes:
        outgoing: What to send: ``(connection, message)``; the owner empties it.
        arrivals: What arrived; the owner empties it.
        counters: Refused messages by `Refusal`, and ``duplicate``, ``rejected_<reason>``.
        fetches: What is fetched back of full pictures.
    """

    def __init__(self, *, resume: Resumes, credit: int, max_message: int, max_streams: int) -> None:
        self._id = secrets.token_hex(8)
        self._resume = resume
        self._credit = credit
        self._max_message = max_message
        self._max_streams = max_streams
        self._registry = Registry(max_streams)
        self._owed: dict[str, None] = {}  # nodes that sent what no credit was granted for yet
        self.outgoing: list[tuple[bytes, Message]] = []
        self.arrivals: list[Arrival] = []
        self.counters: Counter[str] = Counter()
        self.fetches = Fetches(
            self._connected, lambda *said: self.outgoing.append(said), self.refuse
        )
        self._intake = StreamIntake(self, max_streams)

    def refuse(self, connection: bytes, code: Refusal, detail: str, attempt: int = 0) -> None:
        """Count and answer something that is not taken."""
        self.counters[code.value] += 1
        if self.counters[code.value] in (1, 10, 100) or self.counters[code.value] % 1000 == 0:
            log.warning(
                "message refused",
                reason=code.value,
                detail=detail,
                node=self.node_of(connection),
                count=self.counters[code.value],
            )
        self.outgoing.append((connection, Refused(code, detail[:500], attempt)))

    def knows(self, connection: bytes) -> bool:
        """Whether the connection is a node's newest."""
        return self._registry.by_connection(connection) is not None

    def node_of(self, connection: bytes) -> str:
        """Name of the node that a connection is the newest of; empty when it is none's."""
        peer = self._registry.by_connection(connection)
        return peer.node if peer else ""

    @property
    def connected(self) -> frozenset[str]:
        """Names of nodes that have a connection."""
        return frozenset(peer.node for peer in self._registry.connected())

    def holder(self, node: str) -> bytes | None:
        """Connection of the live session that holds a node name."""
        peer = self._registry.by_name(node)
        return peer.connection if peer and not (peer.lost or peer.said_bye) else None

    def hello(self, connection: bytes, hello: Hello, now_ns: int, *, shared: bool) -> bool:
        """A sender opens; whether it is welcome.

        `shared` says whether the shared memory it offers could be opened.
        """
        refusal = self._registry.objection(connection, hello, now_ns)
        if refusal is not None:
            self.refuse(connection, *refusal, attempt=hello.attempt)
            return False
        peer = self._registry.by_name(hello.node)
        if peer is None or peer.session != hello.session:
            peer = self._new_session(connection, hello, now_ns)
        else:  # a later life may have only some of its streams left to deliver
            self._intake.end_missing(peer, {info.name for info in hello.streams}, now_ns)
        self._registry.connect(peer, connection)
        points = peer.greet(now_ns, hello.attempt, self._credit)
        limits = (self._credit, self._max_message)
        welcome = Welcome(PROTOCOL_VERSION, hello.attempt, *limits, points, self._id, shared)
        self.outgoing.append((connection, welcome))
        self.fetches.welcomed(peer, frozenset(hello.full), now_ns)
        log.info("node connected", node=peer.node, streams=len(hello.streams), shared=shared)
        return True

    def receive(
        self, connection: bytes, message: Message, now_ns: int, payload: bytes | memoryview = b""
    ) -> None:
        """Take in anything but HELLO and DATA; `payload` is the second frame, if there is one."""
        peer = self._registry.by_connection(connection)
        if peer is None:
            if not isinstance(message, Bye):
                self.refuse(connection, Refusal.HELLO_FIRST, "say HELLO first")
            return
        self._heard(peer, now_ns)
        if isinstance(message, StreamSaid):
            self._intake.said(peer, message.info, now_ns)
        elif isinstance(message, End):
            self._intake.ended(peer, message.stream, now_ns)
        elif isinstance(message, LedgerSaid):
            if len(message.accounts) <= 2 * self._max_streams:
                told = LedgerReport(now_ns, peer.node, message.accounts, message.waits)
                self.arrivals.append(told)
            else:
                self.refuse(connection, Refusal.TOO_MANY_STREAMS, "too many accounts")
        elif isinstance(message, ClockAsk):
            self.outgoing.append((connection, ClockAnswer(message.sent_ns, now_ns, now_ns)))
        elif isinstance(message, Bye):
            self._bye(peer, now_ns)
        elif isinstance(message, Fetched):
            self.fetches.answered(peer, message)
        elif isinstance(message, Full):
            self._charge(peer, self.fetches.take(peer, message, payload))
        else:
            self.refuse(
                connection, Refusal.OUT_OF_PLACE, f"{type(message).__name__} is ours to say"
            )

    def data(
        self, connection: bytes, samples: Sequence[Sample], payload_bytes: int, now_ns: int
    ) -> None:
        """Take in the samples of a message; `payload_bytes` is the size of all payload frames."""
        peer = self._registry.by_connection(connection)
        if peer is None:
            self.refuse(connection, Refusal.HELLO_FIRST, "say HELLO first")
            return
        self._heard(peer, now_ns)
        taken, replayed = self._intake.samples(peer, samples, now_ns)
        if replayed and replayed == len(samples):
            return  # paid for when it came the first time
        self._charge(peer, payload_bytes + SAMPLE_COST * len(samples), taken)

    def grant(
        self, done: Mapping[str, list[int]], now_ns: int, waiting: Mapping[str, int] | None = None
    ) -> None:
        """What was handed over so far is consumed: grant as much again.

        Args:
            done: Offsets of parts of shared memory that are no longer needed, by node.
            now_ns: Site time.
            waiting: So many of the samples handed over are not consumed yet, by node.
        """
        held = waiting or {}
        for node in [*self._owed, *(name for name in done if name not in self._owed)]:
            peer, parts = self._connected(node), done.get(node, [])
            if peer is None:
                self._owed.pop(node, None)
                continue
            peer.consumed(held.get(node, 0))
            granted = peer.grant(self._credit, now_ns, at_once=bool(parts))
            if granted is not None:
                self.outgoing.append((peer.connection, Credit(granted, parts)))
            if not (peer.pending or peer.waiting):
                self._owed.pop(node, None)

    def ack(self, node: str, sequences: Mapping[str, int], session: str = "") -> None:
        """Everything of `node` up to and including these sequences is committed.

        Args:
            node: The node.
            sequences: Last sequence committed, by stream.
            session: Session they belong to; empty: the present one. Of another one: ignored.
        """
        peer = self._registry.by_name(node)
        if peer is None or (session and session != peer.session):
            self.counters["stale_ack"] += 1
            return
        said = peer.ack(sequences)
        if said and self._registry.is_connected(peer):
            self.outgoing.append((peer.connection, Ack(said)))

    def tick(self, now_ns: int) -> None:
        """Notice nodes that are no longer heard, and what was not fetched in time."""
        self._registry.tick(now_ns)
        self.fetches.tick(now_ns)

    def unreachable(self, connection: bytes) -> None:
        """A connection turned out to be gone."""
        if (peer := self._registry.by_connection(connection)) is not None:
            self._registry.disconnect(peer)
            self._registry.lose(peer, "connection gone")

    def others(self, node: str) -> int:
        """How many nodes but this one are there."""
        return self._registry.others(node)

    def nodes(self) -> list[NodeStatus]:
        """Every node that is remembered, by name. May be called from any thread."""
        return self._registry.status()

    def _new_session(self, connection: bytes, hello: Hello, now_ns: int) -> Peer:
        old = self._registry.by_name(hello.node)
        if old is not None:
            self._intake.end_missing(old, {info.name for info in hello.streams}, now_ns)
        peer = Peer(hello.node, hello.session, connection, now_ns)
        points = self._resume(hello.node, hello.session, hello.streams)
        for name in {*points, *(info.name for info in hello.streams)}:
            wanted = max(0, points.get(name, 0))
            peer.streams[name] = StreamState(wanted=wanted, acked=wanted)
        self._registry.replace(peer)
        return peer

    def _connected(self, node: str) -> Peer | None:
        peer = self._registry.by_name(node)
        return peer if peer is not None and self._registry.is_connected(peer) else None

    def _charge(self, peer: Peer, cost: int, samples: int = 0) -> None:
        """What came takes its part of the credit, until so many samples are consumed."""
        peer.received += cost
        self._owed[peer.node] = None
        peer.hand_over(cost, samples)
        if peer.received > peer.granted + max(self._credit, self._max_message):
            detail = f"{peer.received} of {peer.granted} bytes"
            self.refuse(peer.connection, Refusal.OVER_CREDIT, detail)

    def _heard(self, peer: Peer, now_ns: int) -> None:
        peer.heard_ns = now_ns
        if peer.lost:
            peer.lost = False
            log.info("node is back", node=peer.node)

    def _bye(self, peer: Peer, now_ns: int) -> None:
        self._intake.end_missing(peer, set(), now_ns)
        peer.said_bye = True
        self._registry.disconnect(peer)
        self.outgoing.append((peer.connection, Bye()))
        log.info("node said goodbye", node=peer.node)
