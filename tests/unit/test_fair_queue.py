"""Arrivals that wait are taken by what they cost: who floods keeps nobody else waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.arrival_turns import TURN_S, ArrivalTurns
from nodes.fair_queue import FairQueue
from pipeline.core.arrival import Arrival, SampleArrived
from pipeline.core.clock import ManualClock
from pipeline.core.sample import Encoding, Sample

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
CREDIT = 4000


def sample(node: str, number: int, at_ns: int) -> SampleArrived:
    return SampleArrived(at_ns, node, Sample(node, number, at_ns, "", Encoding.UTF8))


class Line:
    """Samples on their way, of which each node may have so many under way as its credit allows."""

    def __init__(self, clock: ManualClock, sent: Mapping[str, list[int]]) -> None:
        self._clock = clock
        self._waits = {node: deque(enumerate(all_)) for node, all_ in sent.items()}
        self.most = 0

    def poll(self, timeout_s: float, waiting: Mapping[str, int]) -> list[Arrival]:
        heads = [queue[0][1] for queue in self._waits.values() if queue]
        if timeout_s and heads:
            self._clock.move_to(min(heads))
        now_ns, found = self._clock.now_ns(), list[Arrival]()
        for node, queue in self._waits.items():
            held = waiting.get(node, 0)
            while queue and queue[0][1] <= now_ns and held < CREDIT:
                found.append(sample(node, queue.popleft()[0], now_ns))
                held += 1
            self.most = max(self.most, held)
        return found


def ages(sent: Mapping[str, list[int]], cost_s: float, seconds: float) -> dict[str, list[float]]:
    """How old each sample is when it is done, by node; one costs `cost_s` of the node's time."""
    clock = ManualClock(START)
    queue, line = FairQueue({}, {}), Line(clock, sent)
    turns = ArrivalTurns(line, clock, queue, lambda _flow: cost_s)
    found: dict[str, list[float]] = {node: [] for node in sent}
    last_ns = 0
    while clock.now_ns() < START + seconds * SECOND:
        before_ns = clock.now_ns()
        for arrival in turns.take(0.05):
            assert arrival.arrival_ns >= last_ns
            last_ns = arrival.arrival_ns
            if isinstance(arrival, SampleArrived):
                clock.move_to(clock.now_ns() + round(cost_s * SECOND))
                stamp_ns = arrival.sample.timestamp_ns
                age_ns = clock.now_ns() - sent[arrival.node][arrival.sample.sequence]
                found[arrival.node].append(age_ns / SECOND)
                assert stamp_ns >= START
        if clock.now_ns() == before_ns:
            clock.move_to(before_ns + SECOND // 100)
    assert line.most <= CREDIT
    return found


def steady(rate_hz: float, seconds: float) -> list[int]:
    return [START + round(i / rate_hz * SECOND) for i in range(int(rate_hz * seconds))]


def test_a_scene_that_floods_does_not_make_another_wait() -> None:
    calm = ages({"b": steady(20, 20)}, 0.01, 20)
    flooded = ages({"a": steady(200, 20), "b": steady(20, 20)}, 0.01, 20)
    assert max(calm["b"]) < 0.05
    assert max(flooded["b"]) < 2 * TURN_S + 0.1
    assert max(flooded["a"]) > 5.0  # which cannot be helped


def test_a_backlog_of_minutes_does_not_make_another_wait_and_is_held_by_its_credit() -> None:
    flooded = ages({"a": [START] * 8_000, "b": steady(20, 10)}, 0.002, 10)
    assert max(flooded["b"]) < 2 * TURN_S + 0.1
    assert len(flooded["a"]) > 0.9 * (10 / 0.002 - 20 * 10), "what b leaves is all a's"


def test_who_costs_much_gets_no_more_time_than_who_costs_little() -> None:
    queue = FairQueue({}, {})
    costs = {"dear": 0.05, "cheap": 0.001}
    for number in range(10_000):
        queue.put([sample("dear", number, 1), sample("cheap", number, 1)])
    taken = {"dear": 0, "cheap": 0}
    for _ in range(40):
        for arrival in queue.take(256, 0.25, costs.__getitem__, 1):
            taken[arrival.node] += 1
    spent = {node: count * costs[node] for node, count in taken.items()}
    assert 0.9 < spent["dear"] / spent["cheap"] < 1.1
    assert sum(spent.values()) < 40 * 0.25 + 0.1


def test_a_queue_of_two_scenes_gets_two_parts() -> None:
    queue = FairQueue({"n1": "both", "n2": "both"}, {"both": 2.0})
    for number in range(5000):
        queue.put([sample("n1", number, 1), sample("n2", number, 1), sample("other", number, 1)])
    taken = [a.node for _ in range(40) for a in queue.take(90, 0.25, lambda _: 0.0, 1)]
    both = sum(node != "other" for node in taken)
    assert 1.9 < both / (len(taken) - both) < 2.1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=120),
    st.integers(1, 40),
    st.dictionaries(st.sampled_from("abc"), st.floats(0, 1), min_size=3),
)
def test_nothing_is_lost_and_each_node_stays_in_order(
    puts: list[tuple[str, int]], most: int, costs: dict[str, float]
) -> None:
    queue, put, taken = FairQueue({"a": "ab", "b": "ab"}, {}), [], []
    for number, (node, turns) in enumerate(puts):
        put.append(sample(node, number, number))
        queue.put([put[-1]])
        if not turns:
            turn = queue.take(most, 0.25, lambda f: costs[f[0]], 1)
            assert 1 <= len(turn) <= most
            taken += turn
    while len(queue):
        taken += queue.take(most, 0.25, lambda f: costs[f[0]], 1)
    for flow in ("ab", "c"):
        assert [a for a in taken if a.node in flow] == [a for a in put if a.node in flow]
    assert not queue.samples
