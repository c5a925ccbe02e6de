"""A fusion node takes what arrived in turns that end, whatever one poll brings."""

from __future__ import annotations

from collections.abc import Mapping

from nodes.arrival_turns import AWAY_NS, ArrivalTurns
from nodes.fair_queue import FairQueue
from pipeline.core.arrival import (
    Arrival,
    SampleArrived,
    SamplesWait,
    StreamEnded,
    fusion_began,
)
from pipeline.core.clock import ManualClock
from pipeline.core.sample import Encoding, Sample

SECOND = 1_000_000_000


class Polls:
    """What each poll brings."""

    def __init__(self, *polls: list[Arrival]) -> None:
        self.left = list(polls)

    def poll(self, _timeout_s: float, _waiting: Mapping[str, int]) -> list[Arrival]:
        return self.left.pop(0) if self.left else []


def arrivals(first: int, count: int) -> list[Arrival]:
    return [StreamEnded(number, "n", "a") for number in range(first, first + count)]


def test_a_poll_is_taken_in_turns_in_each_of_which_what_came_since_is_taken_in() -> None:
    polls = Polls(arrivals(1, 7), arrivals(8, 2), [])
    turns = ArrivalTurns(polls, ManualClock(100), FairQueue({}, {}), most=3)
    taken = [turns.take(0.0) for _ in range(4)]
    assert taken == [arrivals(1, 3), arrivals(4, 3), arrivals(7, 3), []]
    assert not polls.left


def test_the_nodes_of_a_scene_share_the_queue_that_is_given_though_it_is_empty() -> None:
    came: list[Arrival] = [StreamEnded(n, "one" if n < 9 else "two", f"{n}") for n in range(18)]
    queue = FairQueue({"one": "hall", "two": "hall"}, {})
    turns = ArrivalTurns(Polls(came), ManualClock(100), queue, most=10)
    assert turns.take(0.0) == came[:10]


def test_to_the_end_only_what_waits_is_taken() -> None:
    polls = Polls(arrivals(1, 5), arrivals(6, 2))
    turns = ArrivalTurns(polls, ManualClock(100), FairQueue({}, {}), most=3)
    assert [turns.take(0.0), turns.take(0.0, poll=False)] == [arrivals(1, 3), arrivals(4, 2)]
    assert turns.take(0.0, poll=False) == []
    assert len(polls.left) == 1


def test_what_is_taken_later_than_what_came_after_it_counts_as_arrived_then() -> None:
    late = [StreamEnded(n, "slow", "a") for n in range(1, 9)]
    polls = Polls([*late, StreamEnded(9, "quick", "b")], [StreamEnded(20, "quick", "b")], [])
    turns = ArrivalTurns(polls, ManualClock(100), FairQueue({}, {}), most=4)
    taken = [turns.take(0.0) for _ in range(3)]
    assert [(a.node, a.arrival_ns) for a in taken[0]][-1] == ("quick", 9)
    assert taken[1][-1] == StreamEnded(20, "quick", "b")
    assert {a.arrival_ns for turn in taken[2:] for a in turn} == {20}
    stamps = [a.arrival_ns for turn in taken for a in turn]
    assert stamps == sorted(stamps)
    assert len(stamps) == 10


def test_timers_do_not_run_ahead_of_what_waits() -> None:
    turns = ArrivalTurns(Polls(arrivals(1, 4)), ManualClock(100), FairQueue({}, {}), most=3)
    turns.take(0.0)
    assert (turns.waiting, turns.until_ns()) == (True, 4)
    turns.take(0.0)
    assert (turns.waiting, turns.until_ns()) == (False, 100)


def test_that_the_node_was_away_comes_before_what_arrived_once_however_many_turns_it_takes() -> (
    None
):
    clock = ManualClock(100 * SECOND)
    turns = ArrivalTurns(Polls(arrivals(1, 3), []), clock, FairQueue({}, {}), most=2)
    clock.advance(AWAY_NS)
    assert turns.take(0.0) == [fusion_began(1), *arrivals(1, 2)]
    assert turns.take(0.0) == arrivals(3, 1)
    clock.advance(AWAY_NS)
    assert turns.take(0.0) == [fusion_began(clock.now_ns())]


def test_timers_run_no_further_than_the_node_has_looked() -> None:
    clock = ManualClock(100 * SECOND)
    turns = ArrivalTurns(
        Polls(arrivals(1, 2), [StreamEnded(111 * SECOND, "n", "a")]), clock, FairQueue({}, {})
    )
    turns.take(0.0)
    clock.advance(11 * SECOND)  # what it took to take them: nobody looked whether more came
    assert turns.until_ns() == 100 * SECOND
    assert turns.take(0.0)[0] == fusion_began(111 * SECOND)
    assert turns.until_ns() == 111 * SECOND


def waiting(node: str, at_ns: int, count: int) -> list[Arrival]:
    return [
        SampleArrived(at_ns, node, Sample(node, number, at_ns, "", Encoding.UTF8))
        for number in range(count)
    ]


def test_of_a_backlog_a_turn_takes_what_was_captured_within_some_seconds() -> None:
    clock = ManualClock(100 * SECOND)
    backlog = [
        SampleArrived(100 * SECOND, "n", Sample(name, number, number * SECOND, "", Encoding.UTF8))
        for number in range(10)
        for name in ("a", "b")
    ]
    turns = ArrivalTurns(Polls(backlog), clock, FairQueue({}, {}))
    taken = [turns.take(0.0)]
    assert (turns.waiting, turns.until_ns()) == (True, 100 * SECOND)
    while turns.waiting:
        taken.append(turns.take(0.0, poll=False))
    assert [one for turn in taken for one in turn] == backlog
    assert [len(turn) for turn in taken] == [8, 8, 4]


def test_who_has_waited_is_said_once_a_second_before_what_is_taken() -> None:
    clock = ManualClock(100 * SECOND)
    slow, others = waiting("slow", clock.now_ns(), 9), iter(range(99))
    polls = Polls(slow)
    turns = ArrivalTurns(polls, clock, FairQueue({}, {}), most=2)
    said = []
    for _ in range(6):
        taken = turns.take(0.0)
        waits = [one for one in taken if isinstance(one, SamplesWait)]
        assert taken[: len(waits)] == waits
        said += waits
        clock.advance(SECOND // 2)
        polls.left = [[StreamEnded(clock.now_ns(), "quick", f"{next(others)}")]]
    assert [(w.node, w.until_ns / SECOND) for w in said] == [("slow", 101), ("slow", 102)]
    assert all(w.arrival_ns <= w.until_ns for w in said)
