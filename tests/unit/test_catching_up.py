"""After an outage, nodes that share scenes are taken in the order in which they captured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.arrival_turns import ArrivalTurns
from nodes.catching_up import BEHIND_NS, CatchingUp
from nodes.fair_queue import FairQueue
from pipeline.core.arrival import Arrival, LedgerReport, SampleArrived, SamplesWait
from pipeline.core.clock import ManualClock
from pipeline.core.sample import Encoding, Sample
from pipeline.detection.resume_hold import GRACE_NS

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
STEP = SECOND // 20
CREDIT = 400
FLOW = {"camera": "hall", "plc": "hall", "door": "hall", "yard": "yard"}


@dataclass
class Node:
    """A capture node with a link of its own.

    Attributes:
        stamps: Of its samples, in seconds since the start.
        rate: Samples a second that its link bears.
        back_s: When it connects.
        account_s: So often it gives account.
    """

    stamps: list[float]
    rate: float = 1e6
    back_s: float = 0.0
    account_s: float = 1.0
    sent: int = 0
    _may: float = 0.0
    _told_s: float = -1e9

    def step(self, name: str, now_s: float, waiting: int) -> Iterable[Arrival]:
        """What arrives of it now."""
        if now_s < self.back_s:
            return
        at_ns = START + round(now_s * SECOND)
        captured = sum(stamp <= now_s for stamp in self.stamps)
        if now_s - self._told_s >= self.account_s:
            self._told_s = now_s
            yield LedgerReport(at_ns, name, {}, captured > self.sent)
        self._may = min(self._may + self.rate * STEP / SECOND, 1e6)
        while self.sent < captured and self._may >= 1.0 and waiting < CREDIT:
            stamp_ns = START + round(self.stamps[self.sent] * SECOND)
            yield SampleArrived(at_ns, name, Sample(name, self.sent, stamp_ns, "", Encoding.UTF8))
            self.sent, waiting, self._may = self.sent + 1, waiting + 1, self._may - 1.0


@dataclass
class Site:
    """Nodes, and a fusion node that has been away until now."""

    nodes: dict[str, Node]
    now_s: float
    taken: list[tuple[float, str, float]] = field(default_factory=list)
    """When, of whom and the stamp, seconds since the start."""
    waits: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.clock = ManualClock(self._ns())
        of_node = {name: FLOW[name] for name in self.nodes}
        queue = FairQueue(of_node, {}, frozenset(FLOW))
        self.turns = ArrivalTurns(self, self.clock, queue, lambda _flow: 1e-4)

    def poll(self, _timeout_s: float, waiting: Mapping[str, int]) -> list[Arrival]:
        found: list[Arrival] = []
        for name, node in self.nodes.items():
            found += node.step(name, self.now_s, waiting.get(name, 0))
        return found

    def run(self, seconds: float) -> Site:
        """Go on for so long."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.clock.move_to(self._ns())
            for arrival in self.turns.take(0.0):
                if isinstance(arrival, SampleArrived):
                    stamp_s = (arrival.sample.timestamp_ns - START) / SECOND
                    self.taken.append((self.now_s, arrival.node, stamp_s))
                elif isinstance(arrival, SamplesWait):
                    self.waits.add(arrival.node)
            self.now_s += STEP / SECOND
        return self

    def of(self, node: str) -> list[tuple[float, float]]:
        """When each sample of a node was taken, and its stamp."""
        return [(at_s, stamp_s) for at_s, name, stamp_s in self.taken if name == node]

    def ahead_s(self) -> float:
        """How far what was old was ahead of a later one of another node of the hall."""
        reached, worst = dict[str, float](), 0.0
        for at_s, node, stamp_s in self.taken:
            if FLOW[node] == "hall" and at_s - stamp_s > BEHIND_NS / SECOND:
                others = (s for name, s in reached.items() if name != node)
                worst = max(worst, max(others, default=stamp_s) - stamp_s)
                reached[node] = stamp_s
        return worst

    def _ns(self) -> int:
        return START + round(self.now_s * SECOND)


def steady(rate_hz: float, seconds: float) -> list[float]:
    return [number / rate_hz for number in range(int(seconds * rate_hz))]


@pytest.mark.parametrize("order", [("camera", "plc"), ("plc", "camera")])
@pytest.mark.parametrize("rate", [15.0, 60.0, 1e6])
def test_readings_that_come_at_once_wait_for_pictures_that_come_slowly(
    order: tuple[str, str], rate: float
) -> None:
    away_s, lasts_s = 120.0, 400.0
    nodes = {"camera": Node(steady(5, lasts_s), rate), "plc": Node(steady(10, lasts_s))}
    site = Site({name: nodes[name] for name in order}, away_s).run(lasts_s - away_s)
    assert site.ahead_s() < 0.3
    assert len(site.of("camera")) >= 5 * (lasts_s - 1)
    assert len(site.of("plc")) >= 10 * (lasts_s - 1)
    at_s, stamp_s = site.of("plc")[-1]
    assert at_s - stamp_s < 0.2, "caught up, it is taken as it comes"


def test_what_waits_for_another_node_is_said_to_wait_and_is_not_called_lag() -> None:
    site = Site({"plc": Node(steady(10, 90)), "camera": Node(steady(5, 90), 15.0)}, 60.0)
    site.run(5.0)
    assert site.turns.lags_ns() == {}
    assert not site.turns.waiting
    assert site.turns.until_ns() >= START + 64 * SECOND
    assert "plc" in site.waits


@pytest.mark.parametrize("away_s", [0.0, 60.0])
def test_a_node_that_does_not_come_back_is_waited_for_no_longer_than_after_a_restart(
    away_s: float,
) -> None:
    away = Node(steady(10, 90), back_s=9e9)
    site = Site({"camera": Node(steady(5, 90)), "plc": away}, away_s).run(12.0)
    first_s = site.of("camera")[0][0]
    expected_s = away_s + GRACE_NS / SECOND if away_s else 0.0
    assert first_s == pytest.approx(expected_s, abs=0.1)


@pytest.mark.parametrize("back_s", [61.0, 66.0])
def test_a_node_that_is_back_a_little_later_is_not_late(back_s: float) -> None:
    nodes = {"camera": Node(steady(5, 90)), "plc": Node(steady(10, 90), back_s=back_s)}
    site = Site(nodes, 60.0).run(20.0)
    assert site.ahead_s() < 0.3
    assert site.of("camera")[0][0] >= back_s


def test_both_cut_off_while_the_fusion_node_lives_they_wait_for_each_other() -> None:
    nodes = {"camera": Node(steady(5, 150)), "plc": Node(steady(10, 150), 100.0)}
    site = Site(nodes, 1.0).run(9.0)
    nodes["camera"].back_s, nodes["plc"].back_s = 100.0, 102.5
    site.run(110.0)
    assert site.ahead_s() < 0.3
    assert site.now_s - site.of("camera")[-1][1] < 0.5


def test_a_node_that_is_up_to_date_does_not_wait_for_one_with_a_backlog() -> None:
    nodes = {"camera": Node(steady(5, 99)), "plc": Node(steady(10, 99), 20.0, back_s=60.0)}
    site = Site(nodes, 0.0).run(80.0)
    assert max(at_s - stamp_s for at_s, stamp_s in site.of("camera")) < 0.2


def test_a_quiet_node_and_one_of_another_scene_are_not_waited_for() -> None:
    nodes = {
        "camera": Node(steady(5, 99)),
        "door": Node([12.0]),
        "yard": Node(steady(50, 99), 60.0),
    }
    site = Site(nodes, 60.0).run(3.0)
    assert len(site.of("camera")) >= 5 * 62
    assert [stamp_s for _, stamp_s in site.of("door")] == [12.0]


def test_a_node_that_gives_no_account_is_waited_for_only_until_it_stalls() -> None:
    nodes = {"camera": Node(steady(5, 99)), "door": Node([12.0], account_s=1e12)}
    site = Site(nodes, 60.0).run(15.0)
    first = next(at_s for at_s, stamp_s in site.of("camera") if stamp_s > 12.0)
    assert first == pytest.approx(60.0 + GRACE_NS / SECOND, abs=0.2)


def test_a_node_that_returns_again_and_again_and_brings_nothing_holds_up_no_other() -> None:
    flaps = Node(steady(10, 300), 0.0, account_s=4.0)
    site = Site({"camera": Node(steady(5, 300)), "plc": flaps}, 60.0).run(60.0)
    at_s, stamp_s = site.of("camera")[-1]
    assert at_s - stamp_s < 0.2
    assert site.of("camera")[0][0] < 60.5 + GRACE_NS / SECOND


def test_a_node_that_is_gone_is_waited_for_once_however_often_another_returns() -> None:
    catching_up = CatchingUp({"camera"})
    for back_s, waits in ((60, True), (69, True), (71, False), (80, False)):
        now_ns = START + back_s * SECOND
        catching_up.hear(LedgerReport(now_ns, "camera", {}, True))
        assert catching_up.awaited("plc", "camera", START, now_ns) == waits
    catching_up.hear(LedgerReport(START + 81 * SECOND, "plc", {}, False))
    catching_up.hear(LedgerReport(START + 90 * SECOND, "camera", {}, True))
    assert catching_up.awaited("plc", "camera", START, START + 91 * SECOND)


@pytest.mark.parametrize("behind", [[], [9, 11]])
def test_an_account_is_taken_when_it_came_unless_what_is_behind_it_is_older(
    behind: list[int],
) -> None:
    def sample(node: str, stamp_s: int, at_s: int) -> Arrival:
        stamp_ns = START + stamp_s * SECOND
        given = Sample(node, stamp_s, stamp_ns, "", Encoding.UTF8)
        return SampleArrived(START + at_s * SECOND, node, given)

    queue = FairQueue({"camera": "hall", "plc": "hall"}, {}, frozenset(FLOW))
    pictures = [sample("camera", 10, 60), sample("camera", 12, 60)]
    account = LedgerReport(START + 61 * SECOND, "plc", {}, bool(behind))
    readings = [sample("plc", stamp_s, 61) for stamp_s in behind]
    queue.put([*pictures, account, *readings])
    taken = queue.take(9, 0.25, lambda _: 0.0, START + 61 * SECOND)
    if behind:
        assert taken == [account, readings[0], pictures[0], readings[1]]
    else:
        assert taken == [*pictures, account]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(FLOW)), st.integers(0, 60), st.booleans(), st.integers(0, 9)
        ),
        max_size=80,
    ),
    st.integers(1, 20),
)
def test_nothing_is_lost_each_node_stays_in_order_and_no_wait_is_for_ever(
    puts: list[tuple[str, int, bool, int]], most: int
) -> None:
    queue = FairQueue(FLOW, {}, frozenset(FLOW))
    now_ns, put, taken = START, list[Arrival](), list[Arrival]()
    for number, (node, age_s, account, turn) in enumerate(puts):
        now_ns += SECOND // 3
        stamp_ns = now_ns - age_s * SECOND
        sample = SampleArrived(now_ns, node, Sample(node, number, stamp_ns, "", Encoding.UTF8))
        put.append(LedgerReport(now_ns, node, {}, bool(age_s % 2)) if account else sample)
        queue.put([put[-1]])
        if not turn:
            got = queue.take(most, 0.25, lambda _: 0.01, now_ns)
            assert bool(got) or not queue.free(now_ns)
            assert len(got) <= most
            taken += got
    now_ns += GRACE_NS
    while len(queue):
        got = queue.take(most, 0.25, lambda _: 0.01, now_ns)
        assert got, "nothing came for so long"
        taken += got
    for name in FLOW:
        assert [a for a in taken if a.node == name] == [a for a in put if a.node == name]
    assert not queue.samples
