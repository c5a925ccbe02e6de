"""Both halves of the protocol through a network that breaks in every way it can.

Within a connection frames keep their order, as ZeroMQ's do. Beyond that the network may hold
frames back as long as it likes, deliver one twice, cut a connection with what is under way,
swallow everything without a word, and bring frames of old connections and data that was heard
before. Either side may be restarted at any time.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import ClassVar

import numpy as np
import pytest
import structlog

from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.codec import Buffer, decode_samples, describe, pack, size_of
from pipeline.core.ledger import DropReason, Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.full_line import FullFrame
from pipeline.transport.full_ring import FullRing
from pipeline.transport.kept import OnFull, cost_of
from pipeline.transport.protocol import (
    LINK_LOST_NS,
    NODE_LOST_NS,
    Hello,
    Message,
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
RUNS, STEPS = 60, 300
CHANCES = {
    "capture": 20,
    "time_goes_on": 8,
    "sender_works": 20,
    "receiver_works": 16,
    "consumer_commits": 8,
    "frames_go_up": 24,
    "frames_go_down": 24,
    "data_is_replayed": 4,
    "connection_breaks": 3,
    "network_swallows_everything": 1,
    "receiver_is_killed": 2,
    "sender_is_killed": 1,
}
"""How often each thing happens, in relation to the others."""


def info(stream: str) -> StreamInfo:
    return StreamInfo(stream, Modality.SENSOR, 10.0, (1,), "float64")


class SendingSide:
    """One life of a sending process."""

    def __init__(self, session: str, full: FullRing | None = None) -> None:
        self.session = session
        self.ledger = Ledger()
        self.buffer = SendBuffer(CAPACITY, self.ledger)
        self.link = SenderSession(
            "n1", session, self.buffer, self.ledger, max_message=LARGEST, full=full
        )
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
    up: deque[Message | Frames | FullFrame] = field(default_factory=deque)
    down: deque[Message] = field(default_factory=deque)
    swallows: bool = False


class Link:
    """The network, the two sides, and a consumer that commits now and then.

    Args:
        rng: Decides what happens.
    """

    chances: ClassVar[dict[str, int]] = CHANCES

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.now_ns = NOW
        self.lives = 0
        self.connections: list[Connection] = []
        self.heard: list[Frames] = []
        self.sessions: dict[str, str] = {}
        self.consumed: dict[tuple[str, str], list[int]] = {}
        self.committed: dict[tuple[str, str], int] = {}
        self.welcomed = self.forgotten = 0
        self.happened: Counter[str] = Counter()
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

    def step(self) -> None:
        """One thing happens; what must always hold is looked at."""
        (what,) = self.rng.choices(tuple(self.chances), tuple(self.chances.values()))
        if self.connections or what in ("capture", "time_goes_on", "sender_works"):
            getattr(self, what)()
        self.check()

    # what the world does

    def capture(self) -> None:
        stream = self.rng.choice(sorted(STREAMS))
        ahead_ns = FUTURE_NS if self.rng.random() < 0.1 else 0
        for _ in range(self.rng.randint(1, 9)):
            self.sender.capture(stream, self.now_ns + ahead_ns)

    def time_goes_on(self) -> None:
        self.now_ns += self.rng.choice((S // 10, S // 10, S, NODE_LOST_NS + S))

    # what the sides do

    def sender_works(self, most: int = 0) -> None:
        link = self.sender.link
        if link.state is LinkState.OFFLINE and self.now_ns >= link.reconnect_at_ns:
            self.connections.append(Connection(f"c{len(self.connections)}".encode()))
            self.wire.up.extend(link.open(self.now_ns))
        if not self.connections:
            return
        self.wire.up.extend(link.tick(self.now_ns))
        for _ in range(most or self.rng.randint(1, 20)):
            item = link.next()
            if isinstance(item, list):
                self.wire.up.append(pack([(k.stream.name, k.header, k.payload) for k in item]))
            elif item is not None:
                self.wire.up.append(item)

    def receiver_works(self) -> None:
        """Hand over what came, grant as much again, answer."""
        arrivals, self.receiver.arrivals = self.receiver.arrivals, []
        self.welcomed = 0
        for arrival in arrivals:
            if isinstance(arrival, StreamOpened):
                self.sessions[arrival.info.name] = arrival.session
            elif isinstance(arrival, SampleArrived):
                sample = arrival.sample
                assert sample.data[0] == sample.sequence, "the sample is another's"
                key = (self.sessions[sample.stream], sample.stream)
                self.consumed.setdefault(key, []).append(sample.sequence)
        self.receiver.grant({}, self.now_ns)
        self.receiver.tick(self.now_ns)
        self.answers_leave()

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

    def frames_go_up(self, most: int = 0) -> None:
        """Some frames arrive, now and then one twice, now and then of an old connection."""
        old = not most and self.rng.random() < 0.1
        wire = self.rng.choice(self.connections) if old else self.wire
        for _ in range(min(most or self.rng.randint(1, 12), len(wire.up))):
            frame = wire.up.popleft()
            twice = not most and isinstance(frame, list | FullFrame) and self.rng.random() < 0.1
            for _ in range(0 if wire.swallows else 1 + twice):
                self.receive(wire, frame)
        self.answers_leave()

    def frames_go_down(self, most: int = 0) -> None:
        """The sender hears its newest socket alone; the others are closed."""
        for _ in range(min(most or self.rng.randint(1, 12), len(self.wire.down))):
            message = self.wire.down.popleft()
            if not self.wire.swallows and self.sender.link.state is not LinkState.OFFLINE:
                self.sender.link.receive(decode(encode(message)), self.now_ns)

    def data_is_replayed(self) -> None:
        """What was heard on the newest connection before comes again on it."""
        if self.heard:
            self.receive(self.wire, self.rng.choice(self.heard))
            self.answers_leave()

    def connection_breaks(self) -> None:
        self.wire.up.clear()
        self.wire.down.clear()
        self.receiver.unreachable(self.wire.name)
        self.sender.link.lost(self.now_ns)

    def network_swallows_everything(self) -> None:
        self.wire.swallows = True

    # what dies

    def receiver_is_killed(self) -> None:
        """It comes back with what was committed, and knows none of the connections."""
        for key, sequences in self.consumed.items():
            last = self.committed.get(key, -1)
            self.consumed[key] = [n for n in sequences if n <= last]
        self.happened += self.receiver.counters
        # A refusal that was under way when both were lost is told nobody again.
        self.forgotten += self.receiver.counters["rejected_future"]
        self.receiver = self.new_receiver()
        self.heard.clear()

    def sender_is_killed(self) -> None:
        """What it had in memory is gone with its ledger; sequences begin anew.

        Now and then the receiver does not notice, and holds its name for a while.
        """
        if self.rng.random() < 0.5:
            self.connection_breaks()
        self.sender = self.new_life()
        self.heard.clear()

    def receive(self, wire: Connection, frame: Message | Frames | FullFrame) -> None:
        if isinstance(frame, list):
            if self.receiver.knows(wire.name):
                self.heard.append(frame)
            size = sum(size_of(part) for part in frame[1:])
            self.receiver.data(wire.name, decode_samples(frame), size, self.now_ns)
            return
        said, payload = (frame.said, frame.jpeg) if isinstance(frame, FullFrame) else (frame, b"")
        heard = decode(encode(said))
        if not isinstance(heard, Hello):
            self.receiver.receive(wire.name, heard, self.now_ns, payload)
        elif self.receiver.hello(wire.name, heard, self.now_ns, shared=False):
            self.heard.clear()
            self.welcomed += 1

    # what must hold, always and in the end

    def check(self) -> None:
        """Each sample came once and in order, and nobody keeps more than was agreed on."""
        for sequences in self.consumed.values():
            assert all(a < b for a, b in pairwise(sequences))
        assert self.sender.buffer.used <= CAPACITY
        waiting = sum(isinstance(a, SampleArrived) for a in self.receiver.arrivals)
        # A message may begin while there is credit, and each connection begins with its own.
        assert COST * waiting <= (CREDIT + COST) * (1 + self.welcomed)

    def heal(self) -> None:
        """The network is well again: all that was captured is consumed, or dropped for a reason."""
        for _ in range(60):
            self.now_ns += S // 2
            self.sender_works(1000)
            if self.connections:
                self.frames_go_up(10_000)
                self.receiver_works()
                self.consumer_commits()
                self.frames_go_down(10_000)
            if self.sender.link.finished:
                break
        self.happened += self.receiver.counters
        for name, account in self.sender.ledger.snapshot().items():
            got = self.consumed.get((self.sender.session, name), [])
            assert account.missing == 0
            assert account.spooled == 0, f"{account.spooled} of {name} wait for ever"
            assert 0 <= account.delivered - len(got) <= self.forgotten
            assert account.captured == account.delivered + sum(account.dropped.values())


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def after_storms(kind: type[Link], runs: int, steps: int) -> Iterator[Link]:
    """A link after each of so many storms of its own, well again and its books in order."""
    for seed in range(runs):
        link = kind(Random(seed))
        try:
            for _ in range(steps):
                link.step()
            link.heal()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        yield link


def test_whatever_breaks_every_sample_is_consumed_once_in_order_or_dropped_for_a_reason() -> None:
    happened: Counter[str] = Counter()
    for link in after_storms(Link, RUNS, STEPS):
        happened += link.happened
    rare = ("duplicate", "rejected_future", "hello_first", "name_taken")
    assert all(happened[what] > RUNS // 4 for what in rare), happened


def test_the_timers_of_the_two_sides_agree() -> None:
    """A sender gives a silent link up no later than the receiver frees its name."""
    assert LINK_LOST_NS <= NODE_LOST_NS
