"""Full pictures fetched back through the network of `test_protocol_machine`, and one by one.

That network loses, repeats and reorders FETCH and FETCHED besides all else it does, and either side
may be restarted at any time. Whatever happens, samples fare as without pictures, and each request
is over once, with true pictures and none twice.
"""

from __future__ import annotations

import logging
from collections import Counter
from random import Random

import numpy as np
import pytest
import simplejpeg
import structlog

from pipeline.transport.fetches import FetchOver
from pipeline.transport.fetching import MOST_WAITING, Fetch, Fetched, Full
from pipeline.transport.full_line import FullFrame
from pipeline.transport.full_ring import FullRing, RingLimits
from pipeline.transport.protocol import (
    ClockAnswer,
    Hello,
    Message,
    Refusal,
    Refused,
    StreamSaid,
    decode,
    encode,
)
from pipeline.transport.receiver_session import ReceiverSession, from_the_start
from pipeline.transport.sender_session import SenderSession
from tests.unit.link_samples import NOW, VIB, S
from tests.unit.test_protocol_machine import CHANCES, Link, SendingSide, after_storms
from tests.unit.test_transport_sender_session import Sending

TINY = simplejpeg.encode_jpeg(np.zeros((8, 8, 1), np.uint8), quality=50, colorspace="GRAY")
HELD = 12
RUNS, STEPS = 12, 400
NEVER_NS = 10**9 * S


def jpeg(stamp_ns: int) -> bytes:
    """A picture that says when it was taken, behind its end."""
    return TINY + stamp_ns.to_bytes(8, "little")


def ring() -> FullRing:
    return FullRing({"eye": RingLimits(NEVER_NS, HELD * len(jpeg(0)))})


class FetchingLink(Link):
    """The same network; the sender keeps pictures, and the receiver wants some now and then."""

    chances = {
        **CHANCES,
        "picture_is_taken": 30,
        "pictures_are_wanted": 20,
        "sender_works": 40,
        "frames_go_up": 60,
        "fetch_is_lost_repeated_or_late": 10,
        "answer_is_lost_or_repeated": 6,
    }

    def __init__(self, rng: Random) -> None:
        self.rings: list[FullRing] = []
        self.stamp_ns = NOW
        self.spans: dict[str, tuple[int, int]] = {}
        self.standing: set[str] = set()
        self.came: dict[str, list[int]] = {}
        self.fetched: Counter[str] = Counter()
        super().__init__(rng)

    def new_life(self) -> SendingSide:
        self.lives += 1
        self.rings.append(ring())
        return SendingSide(f"life-{self.lives}", self.rings[-1])

    def picture_is_taken(self) -> None:
        self.stamp_ns += S // 10
        self.rings[-1].put("eye", self.stamp_ns, jpeg(self.stamp_ns), self.now_ns)

    def pictures_are_wanted(self, for_ns: int = 0, back: int = 8) -> str:
        for_ns = for_ns or self.rng.choice((2 * S, 40 * S))
        event = f"event-{len(self.spans)}"
        from_ns = self.stamp_ns - self.rng.randint(1, back) * S // 10
        span = self.spans[event] = (from_ns, self.stamp_ns + 1)
        self.standing.add(event)
        self.receiver.fetches.ask("n1", "eye", event, span, self.now_ns + for_ns, self.now_ns)
        self.answers_leave()
        return event

    def fetch_is_lost_repeated_or_late(self) -> None:
        asked = [m for m in self.wire.down if isinstance(m, Fetch)]
        if asked:
            self._disorder(self.wire.down, self.rng.choice(asked), later=True)

    def answer_is_lost_or_repeated(self) -> None:
        answers = [m for m in self.wire.up if isinstance(m, Fetched)]
        if answers:
            self._disorder(self.wire.up, self.rng.choice(answers), later=False)

    def _disorder(self, way: object, message: Message, *, later: bool) -> None:
        what = self.rng.choice(("lost", "repeated", "later") if later else ("lost", "repeated"))
        self.fetched[what] += 1
        if what != "repeated":
            way.remove(message)  # type: ignore[attr-defined]
        if what != "lost":
            way.append(message)  # type: ignore[attr-defined]

    def receiver_works(self) -> None:
        for news in self.receiver.fetches.came():
            if isinstance(news, FetchOver):
                assert news.event in self.standing, "over twice"
                self.standing.discard(news.event)
                continue
            stamp_ns = news.sample.timestamp_ns
            from_ns, to_ns = self.spans[news.event]
            assert from_ns <= stamp_ns < to_ns
            assert news.sample.data == jpeg(stamp_ns), "the picture is of another moment"
            assert news.event in self.standing, "a picture came after the end"
            got = self.came.setdefault(news.event, [])
            assert stamp_ns not in got, "the picture came twice"
            got.append(stamp_ns)
        super().receiver_works()

    def receiver_is_killed(self) -> None:
        self.standing.clear()  # it wants nothing of what it wanted before
        self.fetched += self.receiver.fetches.counters
        super().receiver_is_killed()

    def heal(self) -> None:
        super().heal()
        last = self.pictures_are_wanted(600 * S, back=HELD)
        for _ in range(400):
            if not self.standing:
                break
            self.now_ns += S // 2
            self.sender_works(1000)
            self.frames_go_up(10_000)
            self.receiver_works()
            self.frames_go_down(10_000)
        assert not self.standing, "a request is never over"
        held = [p.timestamp_ns for p in self.rings[-1]._rings["eye"].pictures]
        from_ns, to_ns = self.spans[last]
        assert self.came.get(last, []) == [t for t in held if from_ns <= t < to_ns]
        self.fetched += self.receiver.fetches.counters


class Pair:
    """A sender that keeps pictures of every tenth of a second from `NOW` on, and its receiver."""

    def __init__(self, pictures: int = 5, credit: int = 10_000) -> None:
        self.ring = ring()
        for number in range(pictures):
            stamp_ns = NOW + number * S // 10
            self.ring.put("eye", stamp_ns, jpeg(stamp_ns), NOW)
        self.sending = Sending()
        buffer, ledger = self.sending.buffer, self.sending.ledger
        self.sender = SenderSession("n1", "s1", buffer, ledger, max_message=5_000, full=self.ring)
        self.receiver = ReceiverSession(
            resume=from_the_start, credit=credit, max_message=5_000, max_streams=4
        )
        self.connections = 0

    @property
    def connection(self) -> bytes:
        return f"c{self.connections}".encode()

    def connect(self) -> None:
        self.connections += 1
        (hello,) = self.sender.open(NOW)
        assert isinstance(hello, Hello)
        self.receiver.hello(self.connection, hello, NOW, shared=False)
        self.down()
        assert isinstance(self.sender.next(), StreamSaid)

    def ask(self, from_ns: int = NOW, to_ns: int = NOW + S, node: str = "n1") -> None:
        self.receiver.fetches.ask(node, "eye", "event", (from_ns, to_ns), NOW + 9 * S, NOW)
        self.down()

    def down(self) -> None:
        for _, message in self.receiver.outgoing:
            self.sender.receive(decode(encode(message)), NOW)
        self.receiver.outgoing.clear()

    def up(self, item: object) -> None:
        if isinstance(item, FullFrame):
            self.receiver.receive(self.connection, item.said, NOW, item.jpeg)
        elif not isinstance(item, list):
            self.receiver.receive(self.connection, item, NOW)  # type: ignore[arg-type]

    def talk(self, most: int = 100) -> list[object]:
        """Everything that is said, or so much; the receiver grants what it took at once."""
        said: list[object] = []
        while len(said) < most and (item := self.sender.next()) is not None:
            said.append(item)
            self.up(item)
            self.receiver.grant({}, NOW + len(said) * S)
            self.down()
        return said

    def came(self) -> list[int | str]:
        """Stamps of pictures in tenths of a second from `NOW` on, and why requests were over."""
        news = self.receiver.fetches.came()
        return [
            n.why if isinstance(n, FetchOver) else (n.sample.timestamp_ns - NOW) * 10 // S
            for n in news
        ]

    def refusals(self) -> list[Refusal]:
        return [m.code for _, m in self.receiver.outgoing if isinstance(m, Refused)]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def test_whatever_breaks_pictures_are_true_and_requests_over_and_samples_as_ever() -> None:
    happened: Counter[str] = Counter()
    for link in after_storms(FetchingLink, RUNS, STEPS):
        happened += link.fetched + link.happened
    rare = ("lost", "repeated", "later", "unanswered", "came", "answered")
    assert all(happened[what] > RUNS for what in rare), happened


def test_pictures_of_the_span_come_oldest_first_and_then_the_request_is_over() -> None:
    pair = Pair()
    pair.connect()
    pair.ask(NOW + S // 10, NOW + 4 * S // 10)
    pair.talk()
    assert pair.came() == [1, 2, 3, ""]
    assert pair.sender.counters["full_given"] == 3


def test_no_picture_is_sent_while_a_sample_waits_nor_in_the_second_half_of_the_credit() -> None:
    pair = Pair(pictures=12, credit=2_000)
    pair.connect()
    pair.ask()
    pair.sending.give(4)
    assert isinstance(pair.sender.next(), list)
    sent = 0
    while isinstance(item := pair.sender.next(), FullFrame):
        sent += 128 + len(item.jpeg)
    assert item is None
    assert 0 < sent <= 1_000 + 128 + len(jpeg(0))
    pair.sending.give(1)
    assert isinstance(pair.sender.next(), list), "the sample must not wait for credit"


def test_a_node_that_does_not_know_of_full_pictures_is_never_asked() -> None:
    old = encode(Hello(1, "n1", "s1", 1, [VIB]))
    assert old[0] == 0x98, "an array of the tag and seven fields"
    hello = decode(b"\x97" + old[1:-1])  # without the last field, as it was before
    assert isinstance(hello, Hello)
    assert hello.full == []
    pair = Pair()
    pair.receiver.hello(b"c0", hello, NOW, shared=False)
    pair.receiver.outgoing.clear()
    pair.ask()
    assert pair.came() == ["capture node n1 keeps none"]
    assert not pair.receiver.outgoing


@pytest.mark.parametrize(
    ("stream", "to_ns"), [("ear", NOW + S), ("eye", NOW), ("eye", NOW - S), ("eye", NOW + 3600 * S)]
)
def test_what_a_node_cannot_answer_is_over_with_a_reason(stream: str, to_ns: int) -> None:
    pair = Pair()
    pair.connect()
    pair.sender.receive(Fetch(1, stream, "event", NOW, to_ns, S), NOW)
    (answer,) = pair.talk()
    assert isinstance(answer, Fetched)
    assert answer.why
    assert pair.sender.counters["full_refused"] == 1


def test_a_node_keeps_no_more_requests_than_it_may_and_answers_none_twice() -> None:
    pair = Pair(pictures=1)
    pair.connect()
    for number in (*range(1, MOST_WAITING + 3), 1, 2):
        pair.sender.receive(Fetch(number, "eye", "event", NOW, NOW + S, S), NOW)
    assert pair.sender.counters["full_asked_too_often"] == 2
    assert pair.sender.counters["full_asked_again"] == 2
    said = [pair.sender.full.take_behind(0, 1) for _ in range(3 * MOST_WAITING)]
    assert sum(isinstance(item, Fetched) for item in said) == MOST_WAITING


def test_what_comes_too_late_for_its_event_is_not_sent() -> None:
    pair = Pair()
    pair.connect()
    pair.ask()
    assert isinstance(pair.talk(1)[0], FullFrame)
    pair.sender.receive(ClockAnswer(0, 0, 0), NOW + 10 * S)
    (answer,) = pair.talk()
    assert isinstance(answer, Fetched)
    assert pair.sender.counters["full_out_of_time"] == 1


def test_a_picture_that_comes_twice_is_taken_and_paid_once() -> None:
    pair = Pair()
    pair.connect()
    pair.ask()
    (item,) = pair.talk(1)
    peer = pair.receiver._registry.by_name("n1")
    assert peer is not None
    paid = peer.received
    pair.up(item)
    assert peer.received == paid
    assert pair.came() == [0]
    assert pair.receiver.fetches.counters["again"] == 1


def test_a_picture_after_its_time_is_counted_and_thrown_away() -> None:
    pair = Pair()
    pair.connect()
    pair.ask()
    item = pair.sender.next()
    pair.receiver.tick(NOW + 9 * S)
    pair.up(item)
    assert pair.came() == ["capture node n1 was too slow"]
    assert pair.receiver.fetches.counters["late"] == 1
    assert not pair.refusals()


@pytest.mark.parametrize(
    ("said", "payload", "code"),
    [
        (Full(7, 0, NOW), jpeg(NOW), Refusal.OUT_OF_PLACE),
        (Full(1, 0, NOW + 5 * S), jpeg(NOW), Refusal.MALFORMED),
        (Full(1, 0, NOW), b"no picture", Refusal.MALFORMED),
        (Full(1, 0, NOW), b"", Refusal.MALFORMED),
        (Fetched(7), b"", Refusal.OUT_OF_PLACE),
        (Fetch(1, "eye", "event", NOW, NOW + S, S), b"", Refusal.OUT_OF_PLACE),
    ],
)
def test_answers_that_are_none_are_refused(said: Message, payload: bytes, code: Refusal) -> None:
    pair = Pair()
    pair.connect()
    pair.ask()
    pair.receiver.receive(pair.connection, said, NOW, payload)
    assert pair.refusals() == [code]
    assert pair.came() == []
    pair.receiver.outgoing.clear()
    pair.talk()
    assert pair.came()[-5:] == [1, 2, 3, 4, ""], "true answers are taken all the same"


def test_what_was_asked_of_one_node_is_not_taken_from_another() -> None:
    pair = Pair()
    pair.ask(node="n2")
    pair.connect()
    pair.receiver.receive(pair.connection, Full(1, 0, NOW), NOW, jpeg(NOW))
    pair.receiver.receive(pair.connection, Fetched(1), NOW)
    assert pair.refusals() == [Refusal.OUT_OF_PLACE, Refusal.OUT_OF_PLACE]
    assert pair.came() == []


def test_a_node_that_comes_back_is_asked_for_the_rest() -> None:
    pair = Pair()
    pair.ask()
    assert pair.came() == [], "it is waited for"
    pair.connect()
    pair.talk(2)
    pair.receiver.unreachable(pair.connection)
    pair.sender.lost(NOW)
    pair.connect()
    pair.talk()
    assert pair.came() == [0, 1, 2, 3, 4, ""]
    assert pair.sender.counters["full_given"] == 5


def test_a_node_that_stays_away_is_given_up_in_time() -> None:
    pair = Pair()
    pair.ask()
    pair.receiver.tick(NOW + 9 * S)
    assert pair.came() == ["capture node n1 could not be reached"]


def test_a_ring_lets_the_oldest_fall_out_by_age_and_by_room_and_counts_them() -> None:
    kept = FullRing({"eye": RingLimits(2 * S, 100)})
    for number in range(5):
        kept.put("eye", number, bytes(30), NOW)
    assert kept.counters == {"kept": 5, "room": 2, "held": 3, "held_bytes": 90}
    kept.put("eye", 5, bytes(10), NOW + S)
    kept.forget(NOW + 3 * S)
    assert kept.counters == {"kept": 6, "room": 2, "age": 3, "held": 1, "held_bytes": 10}
    kept.put("eye", 6, bytes(101), NOW + 3 * S)
    assert kept.counters["held"] == 0, "one that is larger than the ring is not kept"
