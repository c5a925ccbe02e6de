"""Samples that no entry of the ledger explains, as events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from pipeline.alignment.aligner import AlignerSettings
from pipeline.core.arrival import (
    Arrival,
    LedgerReport,
    SampleArrived,
    StreamEnded,
    StreamOpened,
    fusion_began,
)
from pipeline.core.event import Event, Phase, to_json
from pipeline.core.ledger import StreamAccount
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.detection.accounts import Accounts
from pipeline.detection.engine import Engine, Scene
from pipeline.detection.equipment import Equipment
from pipeline.detection.ledger_health import LedgerHealth

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
INFO = StreamInfo("a", Modality.SENSOR, 10.0, (1,), "float64", channels=("x",), stamp="exact")
IN_FLIGHT = 25
"""Samples that arrived and are not acked yet, as windows are cut and committed."""


class Link:
    """A node that sends ten samples a second and reports once; `lose` takes samples off the way."""

    def __init__(self) -> None:
        self.now_ns = START
        self.sequence = 0
        self.acked = 0
        self.before = 0
        self.dropped = 0

    def opened(self) -> Arrival:
        return StreamOpened(self.now_ns, "n", INFO)

    def second(self, lose: int = 0, drop: int = 0) -> Iterator[Arrival]:
        """Ten samples, the first of which are lost on the way or dropped by the node."""
        for number in range(10):
            self.now_ns += SECOND // 10
            stamp_ns = self.now_ns - SECOND // 100
            if lose <= number and drop <= number:
                sample = Sample("a", self.sequence, stamp_ns, np.array([0.1]), Encoding.FLOAT)
                yield SampleArrived(self.now_ns, "n", sample)
            self.dropped += number < drop
            self.sequence += 1
        self.acked = max(self.acked, self.sequence - IN_FLIGHT)
        yield self.report()

    def report(self) -> Arrival:
        delivered = max(0, self.acked - self.dropped) + self.before
        captured = self.sequence + self.before
        dropped = {"buffer_full": self.dropped} if self.dropped else {}
        spooled = captured - delivered - self.dropped
        account = StreamAccount(captured, delivered, spooled, dropped)
        return LedgerReport(self.now_ns, "n", {"a": account})


class Watch:
    """The check, fed by a link."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.health = LedgerHealth({"hall": ["a"], "yard": ["a", "b"]})
        self.events: list[Event] = []

    def take(self, *arrivals: Arrival) -> None:
        for arrival in arrivals:
            self.health.take(arrival)
            self.events += self.health.told(Accounts())

    def begin(self) -> None:
        self.take(fusion_began(self.link.now_ns), self.link.opened())

    def run(self, seconds: int, **fault: int) -> None:
        for _ in range(seconds):
            self.take(*self.link.second(**fault))

    @property
    def in_hall(self) -> list[Event]:
        return [event for event in self.events if event.scene == "hall"]


@pytest.fixture
def watch() -> Watch:
    made = Watch(Link())
    made.begin()
    return made


def test_samples_in_flight_and_dropped_with_a_reason_are_no_mismatch(watch: Watch) -> None:
    watch.run(10)
    watch.run(3, drop=4)
    watch.run(20)
    assert watch.events == []
    books = watch.health.books["a"]
    assert (books.arrived, books.skipped, books.unexplained) == (330 - 12, 12, 0)


def test_a_message_lost_on_the_way_is_told_in_each_scene_and_cleared_when_no_more_is(watch) -> None:
    watch.run(10)
    watch.run(1, lose=3)
    watch.run(9)
    raised, other = watch.events
    assert (raised.scene, other.scene) == ("hall", "yard")
    assert raised.health
    assert (raised.phase, raised.alarm) == (Phase.RAISED, "ledger:a")
    assert raised.summary == "3 samples of a never arrived and n does not say why."
    assert START + 10 * SECOND <= raised.start_ns < raised.end_ns <= START + 17 * SECOND
    watch.run(70)
    assert [event.phase for event in watch.in_hall] == [Phase.RAISED, Phase.CLEARED]
    assert watch.health.books["a"].unexplained == 3


def test_what_is_lost_again_and_again_is_one_event_that_is_updated_now_and_then(watch) -> None:
    watch.run(5)
    watch.run(30, lose=1)
    watch.run(90)
    phases = [event.phase for event in watch.in_hall]
    assert phases[0] is Phase.RAISED
    assert phases[-1] is Phase.CLEARED
    assert 2 <= phases.count(Phase.UPDATED) <= 4
    assert watch.in_hall[-2].summary.startswith("30 samples")
    watch.run(1, lose=1)
    watch.run(10)
    assert watch.in_hall[-1].phase is Phase.RAISED
    assert watch.in_hall[-1].id != watch.in_hall[0].id


def test_a_report_that_does_not_add_up_by_itself_is_told(watch: Watch) -> None:
    watch.run(5)
    wrong = StreamAccount(captured=60, delivered=25, spooled=30, dropped={"corrupt": 1})
    watch.take(LedgerReport(watch.link.now_ns + 1, "n", {"a": wrong}))
    assert watch.events == []
    watch.take(LedgerReport(watch.link.now_ns + 2, "n", {"a": wrong}))
    assert watch.in_hall[0].summary == "The ledger of n does not add up by 4 samples of a."


def test_a_fusion_node_that_begins_anew_does_not_miss_what_arrived_before(watch: Watch) -> None:
    watch.run(10)
    link = watch.link
    again = Watch(link)
    link.sequence = link.acked  # what was not acked is sent again
    again.begin()
    again.take(link.report())
    again.run(20)
    assert again.events == []
    again.run(1, lose=2)
    again.run(5)
    assert again.in_hall[0].summary.startswith("2 samples")


def test_what_is_lost_while_the_fusion_node_is_away_and_after_that_is_missed(watch: Watch) -> None:
    watch.run(10)
    *lost, report = watch.link.second()
    watch.take(fusion_began(watch.link.now_ns), report)
    watch.run(10)
    (raised,) = watch.in_hall
    assert raised.summary == f"{len(lost)} samples of a never arrived and n does not say why."
    watch.run(1, lose=1)
    watch.run(12)
    assert watch.in_hall[-1].summary == "11 samples of a never arrived and n does not say why."
    assert watch.health.books["a"].arrived == 10 * 34 - len(lost) - 1


def test_a_node_that_begins_anew_counts_anew(watch: Watch) -> None:
    watch.run(10)
    watch.link.sequence = watch.link.acked = 0
    watch.take(watch.link.report(), watch.link.opened())
    watch.run(20)
    watch.link.sequence = watch.link.acked = 0
    watch.link.before = 60  # had arrived before, and is acked by what the fusion node remembers
    watch.take(watch.link.opened(), watch.link.report())
    watch.run(20)
    assert watch.events == []


def test_a_stream_described_anew_while_samples_are_in_flight_is_no_mismatch(watch: Watch) -> None:
    watch.run(10)
    watch.take(watch.link.opened())
    watch.run(20)
    assert watch.events == []


def test_samples_that_are_refused_here_are_in_the_ledger_a_report_later(watch: Watch) -> None:
    watch.run(5)
    watch.take(*list(watch.link.second(lose=2))[:-1])
    watch.take(watch.link.report())
    watch.link.dropped += 2
    watch.run(10)
    assert watch.events == []


def test_drops_before_a_session_was_seen_excuse_nothing_that_is_lost_later(watch: Watch) -> None:
    watch.link.dropped = 40  # none of them left a gap that can be seen
    watch.link.sequence = 40
    watch.run(20)
    watch.run(1, lose=3)
    watch.run(5)
    assert watch.in_hall[0].summary.startswith("3 samples")


def test_drops_among_samples_that_still_wait_are_not_done_with(watch: Watch) -> None:
    link = watch.link
    watch.run(10)
    for backlog in range(900, 0, -50):  # more comes in than goes out; what was dropped lies within
        list_ = list(link.second(drop=5 if backlog == 100 else 0))
        dropped = {"buffer_full": 5}
        account = StreamAccount(5000, 5000 - backlog - 5, backlog, dropped)
        watch.take(*list_[:-1], LedgerReport(link.now_ns, "n", {"a": account}))
    assert watch.events == []


def test_what_is_sent_behind_the_live_samples_is_explained_from_gap_to_arrival(watch) -> None:
    link = watch.link
    watch.run(10)
    behind = replace(INFO, name="a~backlog")
    opened, left, late = False, 600, 0
    link.sequence += left  # these wait on the disk, and live samples go on after them
    while left:
        *samples, _ = link.second()
        if left < 600:
            if not opened:
                opened = True
                watch.take(StreamOpened(link.now_ns, "n", behind))
            for _ in range(min(40, left)):
                sample = Sample("a~backlog", late, START, np.array([0.1]), Encoding.FLOAT)
                watch.take(SampleArrived(link.now_ns, "n", sample))
                late += 1
        spooled = left + IN_FLIGHT
        account = StreamAccount(link.sequence, link.sequence - spooled, spooled)
        watch.take(*samples, LedgerReport(link.now_ns, "n", {"a": account}))
        left = max(0, left - 40)
    watch.run(100)
    assert watch.events == []
    watch.run(1, lose=3)
    watch.run(5)
    assert watch.in_hall[0].summary.startswith("3 samples")


def test_what_a_reader_lost_had_no_number_and_excuses_nothing(watch: Watch) -> None:
    for _ in range(8):
        *samples, report = watch.link.second(lose=1)
        lost = StreamAccount(report.accounts["a"].captured + 9, 0, 0, {"reader_overrun": 9})
        lost.delivered = lost.captured - 9
        watch.take(*samples, LedgerReport(report.arrival_ns, "n", {"a": lost}))
    assert watch.in_hall[0].phase is Phase.RAISED


def test_an_event_that_stands_from_an_earlier_run_is_cleared_once_all_is_calm(watch) -> None:
    watch.run(5)
    watch.run(1, lose=1)
    watch.run(5)
    again = Watch(watch.link)
    again.health.restore(watch.events)
    assert again.health.stands("hall")
    watch.link.sequence = watch.link.acked
    again.begin()
    again.run(70)
    assert [event.phase for event in again.in_hall] == [Phase.CLEARED]
    assert again.in_hall[0].key == f"{watch.in_hall[0].id}.1"


def test_the_engine_tells_it_however_often_it_is_asked_and_a_replay_tells_the_same() -> None:
    link = Link()
    elsewhere = LedgerReport(START, "m", {"b": StreamAccount(9, 9, 0)})
    steps: list[Arrival] = [fusion_began(START), elsewhere, link.opened()]
    for second in range(80):
        steps += link.second(lose=2 if second == 8 else 0)
    steps.append(StreamEnded(link.now_ns, "n", "a"))
    told = [_events(steps, every) for every in (1, 7, 10_000)]
    assert [event.phase for event in told[0]] == [Phase.RAISED, Phase.CLEARED]
    assert told[0][0].ledger["a"].captured > 90
    assert told[0][0].ledger.keys() == told[0][1].ledger.keys() == {"a"}
    assert told[0][1].ledger["a"].captured > told[0][0].ledger["a"].captured
    lines = [[to_json(event) for event in events] for events in told]
    assert lines[0] == lines[1] == lines[2]


def _events(steps: list[Arrival], every: int) -> list[Event]:
    aligner = AlignerSettings(scene="hall", streams=("a",)).build()
    health = Equipment(ledger=LedgerHealth({"hall": ["a"]}))
    engine = Engine([Scene("hall", aligner)], {"hall": ["a"]}, None, health=health)
    events: list[Event] = []
    for number, arrival in enumerate(steps):
        engine.take(arrival)
        if number % every == 0:
            events += engine.collect().events
    return events + engine.collect().events
