"""Both halves of the protocol through a network that breaks in every way it can.

Within a connection frames keep their order, as ZeroMQ's do. Beyond that the network may hold
frames back as long as it likes, deliver one twice, cut a connection with what is under way,
swallow everything without a word, and bring frames of old connections and data that was heard
before. Either side may be restarted at any time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.codec import Buffer, decode_samples, describe, pack, size_of
from pipeline.core.ledger import DropReason, Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.kept import OnFull, cost_of
from pipeline.transport.protocol import (
    LINK_LOST_NS,
    NODE_LOST_NS,
    Hello,
    Message,
    Refusal,
    decode,
    encode,
)
from pipeline.transport.receiver_session import ReceiverSession
from pipeline.transport.send_buffer import SendBuffer
from pipeline.transport.sender_session import LinkState, SenderSession
from tests.unit.link_samples import NOW, S

STREAMS: dict[str, OnFull] = {"door": "drop_oldest", "heat": "drop_newest", "pump": "block"}
COST = cost_of(8)
CREDIT = 6 * COST
CAPACITY = 14 * COST
LARGEST = 5_000
FUTURE_NS = 3600 * S
Frames = list[Buffer]


def info(stream: str) -> StreamInfo:
    return StreamInfo(stream, Modality.SENSOR, 10.0, (1,), "float64")


class SendingSide:
    """One life of a sending process."""

    def __init__(self, session: str) -> None:
        self.session = session
        self.ledger = Ledger()
        self.buffer = SendBuffer(CAPACITY, self.ledger)
        self.link = SenderSession("n1", session, self.buffer, self.ledger, max_message=LARGEST)
        for name, rule_ in STREAMS.items():
            self.buffer.describe(info(name), rule_)

    def capture(self, name: str, timestamp_ns: int) -> None:
        """A sample comes; what does not fit is given up as its stream's rule says."""
        stream = self.buffer.streams[name]
        fits = self.buffer.reserve(stream, COST)
        if not fits and STREAMS[name] == "block":
            return  # the capture waits, so there is no such sample
        self.ledger.captured(name)
        if not fits:
            self.buffer.refuse(stream, DropReason.BUFFER_FULL)
            return
        sample = Sample(
            name, 0, timestamp_ns, np.array([float(stream.next_sequence)]), Encoding.FLOAT
        )
        _, header, payload = describe(sample)
        self.buffer.push(stream, header, payload)


@dataclass
class Connection:
    """One DEALER identity and what is under way on it."""

    name: bytes
    up: deque[Message | Frames] = field(default_factory=deque)
    down: deque[Message] = field(default_factory=deque)
    swallows: bool = False


class Link(RuleBasedStateMachine):
    """The network, the two sides, and a consumer that commits now and then."""

    @initialize()
    def begin(self) -> None:
        self.now_ns = NOW
        self.lives = 0
        self.connections: list[Connection] = []
        self.heard: list[Frames] = []
        self.sessions: dict[str, str] = {}
        self.consumed: dict[tuple[str, str], list[int]] = {}
        self.committed: dict[tuple[str, str], int] = {}
        self.present = ""
        self.sender = self.new_life()
        self.receiver = self.new_receiver()

    def new_life(self) -> SendingSide:
        self.lives += 1
        return SendingSide(f"life-{self.lives}")

    def new_receiver(self) -> ReceiverSession:
        return ReceiverSession(
            resume=lambda _node, session, _streams: {
                stream: last + 1 for (s, stream), last in self.committed.items() if s == session
            },
            credit=CREDIT,
            max_message=LARGEST,
            max_streams=4,
        )

    @property
    def wire(self) -> Connection:
        return self.connections[-1]

    # what the world does

    @rule(stream=st.sampled_from(sorted(STREAMS)), count=st.integers(1, 9))
    def capture(self, stream: str, count: int) -> None:
        for _ in range(count):
            self.sender.capture(stream, self.now_ns)

    @rule(stream=st.sampled_from(sorted(STREAMS)))
    def capture_from_the_future(self, stream: str) -> None:
        self.sender.capture(stream, self.now_ns + FUTURE_NS)

    @rule(by_ns=st.sampled_from((S // 10, S, 2 * S, NODE_LOST_NS + S)))
    def time_goes_on(self, by_ns: int) -> None:
        self.now_ns += by_ns

    # what the sides do

    @rule(most=st.integers(1, 20))
    def sender_works(self, most: int) -> None:
        link = self.sender.link
        if link.state is LinkState.OFFLINE and self.now_ns >= link.reconnect_at_ns:
            self.connections.append(Connection(f"c{len(self.connections)}".encode()))
            self.wire.up.extend(link.open(self.now_ns))
        if not self.connections:
            return
        self.wire.up.extend(link.tick(self.now_ns))
        while most and (item := link.next()) is not None:
            most -= 1
            if isinstance(item, list):
                self.wire.up.append(pack([(k.stream.name, k.header, k.payload) for k in item]))
            else:
                self.wire.up.append(item)

    @rule()
    def receiver_works(self) -> None:
        """Grant what was consumed, hand over what came, answer."""
        self.receiver.grant({}, self.now_ns)
        arrivals, self.receiver.arrivals = self.receiver.arrivals, []
        for arrival in arrivals:
            if isinstance(arrival, StreamOpened):
                self.sessions[arrival.info.name] = arrival.session
            elif isinstance(arrival, SampleArrived):
                sample = arrival.sample
                assert sample.data[0] == sample.sequence, "the sample is another's"
                key = (self.sessions[sample.stream], sample.stream)
                self.consumed.setdefault(key, []).append(sample.sequence)
        self.receiver.tick(self.now_ns)
        self.answers_leave()

    @rule()
    def consumer_commits(self) -> None:
        for (session, stream), sequences in self.consumed.items():
            if sequences:
                self.committed[session, stream] = sequences[-1]
                self.receiver.ack("n1", {stream: sequences[-1]}, session)
        self.answers_leave()

    def answers_leave(self) -> None:
        known = {connection.name: connection for connection in self.connections}
        for name, message in self.receiver.outgoing:
            known[name].down.append(message)
        self.receiver.outgoing.clear()

    # what the network does

    @precondition(lambda self: self.connections)
    @rule(count=st.integers(1, 12), twice=st.booleans(), old=st.booleans(), data=st.data())
    def frames_go_up(self, count: int, twice: bool, old: bool, data: st.DataObject) -> None:
        wire = data.draw(st.sampled_from(self.connections)) if old else self.wire
        for _ in range(min(count, len(wire.up))):
            frame = wire.up.popleft()
            if not wire.swallows:
                self.receive(wire, frame)
                if twice and isinstance(frame, list):
                    self.receive(wire, frame)
        self.answers_leave()

    @precondition(lambda self: self.connections)
    @rule(count=st.integers(1, 12))
    def frames_go_down(self, count: int) -> None:
        """The sender hears its newest socket alone; others are closed."""
        for _ in range(min(count, len(self.wire.down))):
            message = self.wire.down.popleft()
            if not self.wire.swallows and self.sender.link.state is not LinkState.OFFLINE:
                self.sender.link.receive(decode(encode(message)), self.now_ns)

    @precondition(lambda self: self.heard)
    @rule(data=st.data())
    def data_is_replayed(self, data: st.DataObject) -> None:
        """What was heard in this session before comes again on the newest connection."""
        self.receive(self.wire, data.draw(st.sampled_from(self.heard)))
        self.answers_leave()

    @precondition(lambda self: self.connections)
    @rule()
    def connection_breaks(self) -> None:
        self.wire.up.clear()
        self.wire.down.clear()
        self.receiver.unreachable(self.wire.name)
        self.sender.link.lost(self.now_ns)

    @precondition(lambda self: self.connections)
    @rule()
    def network_swallows_everything(self) -> None:
        self.wire.swallows = True

    # what dies

    @rule()
    def receiver_is_killed(self) -> None:
        """It comes back with what was committed; its sockets do not know the connections."""
        for key, sequences in self.consumed.items():
            last = self.committed.get(key, -1)
            self.consumed[key] = [n for n in sequences if n <= last]
        self.receiver = self.new_receiver()
        self.heard.clear()

    @precondition(lambda self: self.lives < 4)
    @rule()
    def sender_is_killed(self) -> None:
        """What it had in memory is gone with its ledger; sequences begin anew."""
        if self.connections:
            self.connection_breaks()
        self.sender = self.new_life()
        self.heard.clear()

    def receive(self, wire: Connection, frame: Message | Frames) -> None:
        if isinstance(frame, list):
            size = sum(size_of(part) for part in frame[1:])
            if self.receiver.knows(wire.name):
                self.heard.append(frame)
                self.receiver.data(wire.name, decode_samples(frame), size, self.now_ns)
            else:
                self.receiver.refuse(wire.name, Refusal.HELLO_FIRST, "say HELLO first")
            return
        heard = decode(encode(frame))
        if isinstance(heard, Hello):
            if self.receiver.hello(wire.name, heard, self.now_ns, shared=False):
                if heard.session != self.present:
                    self.heard.clear()
                self.present = heard.session
        else:
            self.receiver.receive(wire.name, heard, self.now_ns)

    # what must hold, always and in the end

    @invariant()
    def every_sample_is_consumed_once_and_in_order(self) -> None:
        for sequences in getattr(self, "consumed", {}).values():
            assert all(a < b for a, b in pairwise(sequences))

    @invariant()
    def memory_is_bounded(self) -> None:
        if not hasattr(self, "sender"):
            return
        assert self.sender.buffer.used <= CAPACITY + COST
        waiting = [a for a in self.receiver.arrivals if isinstance(a, SampleArrived)]
        # A whole batch may begin below the credit; each connection has its own.
        assert COST * len(waiting) <= (CREDIT + CAPACITY) * (len(self.connections) + 1)

    def teardown(self) -> None:
        """The network heals; then all that was captured is consumed, or dropped with a reason."""
        if not hasattr(self, "sender"):
            return
        for _ in range(60):
            self.now_ns += S // 2
            self.sender_works(1000)
            if self.connections:
                self.frames_heal()
            self.receiver_works()
            self.consumer_commits()
            if self.sender.link.finished:
                break
        self.frames_heal()
        for name, account in self.sender.ledger.snapshot().items():
            got = self.consumed.get((self.sender.session, name), [])
            assert account.missing == 0
            assert account.spooled == 0, f"{account.spooled} of {name} wait for ever"
            assert account.delivered == len(got)
            assert account.captured == account.delivered + sum(account.dropped.values())

    def frames_heal(self) -> None:
        wire = self.wire
        while wire.up:
            frame = wire.up.popleft()
            if not wire.swallows:
                self.receive(wire, frame)
        self.answers_leave()
        while wire.down:
            message = wire.down.popleft()
            if not wire.swallows and self.sender.link.state is not LinkState.OFFLINE:
                self.sender.link.receive(message, self.now_ns)


TestLink = Link.TestCase
TestLink.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def test_the_timers_of_the_two_sides_agree() -> None:
    """A sender gives a silent link up no later than the receiver frees its name."""
    assert LINK_LOST_NS <= NODE_LOST_NS
