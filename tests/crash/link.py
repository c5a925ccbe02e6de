"""The links of a fusion node without sockets: real protocol, real order, no time but the given.

`CaptureNode` and `AlertNode` outlive the fusion node, as other machines do. Between them and it
nothing waits and nothing is lost but what a kill takes with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pipeline.core.arrival import Arrival
from pipeline.core.clock import Clock
from pipeline.core.codec import decode_samples, describe, pack, size_of
from pipeline.core.ledger import Ledger
from pipeline.core.sample import Sample, StreamInfo
from pipeline.transport.fetches import Fetches
from pipeline.transport.full_line import FullFrame
from pipeline.transport.full_ring import FullRing
from pipeline.transport.kept import cost_of
from pipeline.transport.peer import NodeStatus
from pipeline.transport.protocol import Hello, Message, decode, encode
from pipeline.transport.receiver_session import ReceiverSession, Resumes
from pipeline.transport.send_buffer import SendBuffer
from pipeline.transport.sender_session import LinkState, SenderSession

CREDIT = 4 << 20


class CaptureNode:
    """A capture node: the real send buffer and the sender's half of the protocol.

    Args:
        name: Of the node.
        streams: What it gives.
        full: Full pictures that it keeps of them.
    """

    def __init__(
        self, name: str, streams: Sequence[StreamInfo], full: FullRing | None = None
    ) -> None:
        self.name = name
        self.ledger = Ledger()
        self.connection = b""
        self._connections = 0
        self._buffer = SendBuffer(1 << 30, self.ledger)
        self.session = SenderSession(
            name, f"{name}-life", self._buffer, self.ledger, max_message=CREDIT, full=full
        )
        for info in streams:
            self._buffer.describe(info)

    def give(self, sample: Sample) -> None:
        """Send a sample as soon as the link lets it go; its sequence is given here."""
        self.ledger.captured(sample.stream)
        name, header, payload = describe(sample)
        stream = self._buffer.streams[name]
        if not self._buffer.reserve(stream, cost_of(header.size)):
            raise AssertionError("the buffer of the test is too small")
        self._buffer.push(stream, header, payload)

    def end(self) -> None:
        """All streams have given their last sample."""
        for name in self._buffer.streams:
            self._buffer.end(name)

    def lost(self, now_ns: int) -> None:
        """The fusion node is gone."""
        self.session.lost(now_ns)

    def talk(self, receiver: ReceiverSession, now_ns: int) -> None:
        """Say all that may be said now, hearing every answer at once."""
        if self.session.state is LinkState.OFFLINE:
            self._connections += 1
            self.connection = f"{self.name}-{self._connections}".encode()
            for message in self.session.open(now_ns):
                self._say(receiver, message, now_ns)
        for message in self.session.tick(now_ns):
            self._say(receiver, message, now_ns)
        while (item := self.session.next()) is not None:
            if isinstance(item, list):
                frames = pack([(k.stream.name, k.header, k.payload) for k in item])  # type: ignore[misc]
                size = sum(size_of(frame) for frame in frames[1:])
                receiver.data(self.connection, decode_samples(frames), size, now_ns)
            elif isinstance(item, FullFrame):
                receiver.receive(self.connection, item.said, now_ns, item.jpeg)
                receiver.grant({}, now_ns)
            else:
                self._say(receiver, item, now_ns)
            self.hear(receiver, now_ns)

    def hear(self, receiver: ReceiverSession, now_ns: int) -> None:
        """Take in what the receiver has to say to this node."""
        for connection, message in receiver.outgoing:
            if connection == self.connection:
                self.session.receive(decode(encode(message)), now_ns)
        receiver.outgoing = [one for one in receiver.outgoing if one[0] != self.connection]

    def _say(self, receiver: ReceiverSession, message: Message, now_ns: int) -> None:
        heard = decode(encode(message))
        if isinstance(heard, Hello):
            receiver.hello(self.connection, heard, now_ns, shared=False)
        else:
            receiver.receive(self.connection, heard, now_ns)
        self.hear(receiver, now_ns)


class LoopReceiver:
    """What `pipeline.transport.receiver.Receiver` offers, over the same state machine."""

    address = "loop"

    def __init__(self, nodes: Sequence[CaptureNode], clock: Clock, resume: Resumes) -> None:
        self._nodes = nodes
        self._clock = clock
        self._session = ReceiverSession(
            resume=resume, credit=CREDIT, max_message=CREDIT, max_streams=16
        )
        for node in nodes:
            node.lost(clock.now_ns())

    @property
    def counters(self) -> Counter[str]:
        """As the receiver's."""
        return self._session.counters

    @property
    def fetches(self) -> Fetches:
        """As the receiver's."""
        return self._session.fetches

    def poll(self, _timeout_s: float, waiting: Mapping[str, int]) -> list[Arrival]:
        """Everything that can arrive now."""
        now_ns = self._clock.now_ns()
        self._session.grant({}, now_ns, waiting)
        for node in self._nodes:
            node.hear(self._session, now_ns)
            node.talk(self._session, now_ns)
        self._session.tick(now_ns)
        arrivals, self._session.arrivals = self._session.arrivals, []
        return arrivals

    def ack(self, node: str, sequences: Mapping[str, int], session: str = "") -> None:
        """Tell a node what is committed; it hears it at once."""
        self._session.ack(node, sequences, session)
        for one in self._nodes:
            one.hear(self._session, self._clock.now_ns())

    def nodes(self) -> list[NodeStatus]:
        """As the receiver's."""
        return self._session.nodes()

    def close(self) -> None:
        """Nothing to let go of."""


class AlertNode:
    """The alert node: has events for good, knows their keys, and takes a turn to say so.

    Attributes:
        bodies: What it has, by key, in the order in which it came.
        repeated: How many came again.
    """

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.repeated = 0

    def take(self, key: str, body: bytes) -> None:
        """Take an event; one that comes again must say what it said before."""
        if key in self.bodies:
            self.repeated += 1
            if self.bodies[key] != body:
                raise AssertionError(f"{key} came again and says something else")
        self.bodies.setdefault(key, body)


class LoopEvents:
    """What `pipeline.transport.event_link.EventSender` offers, to an `AlertNode` in memory."""

    def __init__(self, alert: AlertNode) -> None:
        self._alert = alert
        self._had: list[str] = []
        self._said: list[str] = []

    def send(self, body: bytes, key: str) -> None:
        """The event goes over at once; the answer is heard at the poll after the next."""
        self._alert.take(key, body)
        self._had.append(key)

    def poll(self, _timeout_s: float) -> list[str]:
        """Keys that the alert node has."""
        told, self._said, self._had = self._said, self._had, []
        return told

    def close(self) -> None:
        """What was not answered is sent again by the next."""
