"""A fusion node takes what arrived in turns that end, whatever one poll brings."""

from __future__ import annotations

from nodes.arrival_turns import AWAY_NS, ArrivalTurns
from pipeline.core.arrival import Arrival, StreamEnded, fusion_began
from pipeline.core.clock import ManualClock

SECOND = 1_000_000_000


class Polls:
    """What each poll brings."""

    def __init__(self, *polls: list[Arrival]) -> None:
        self.left = list(polls)

    def poll(self, _timeout_s: float) -> list[Arrival]:
        return self.left.pop(0)


def arrivals(first: int, count: int) -> list[Arrival]:
    return [StreamEnded(number, "n", "a") for number in range(first, first + count)]


def test_a_poll_is_taken_in_turns_and_nothing_is_polled_before_all_of_it_is() -> None:
    polls = Polls(arrivals(1, 7), arrivals(8, 2), [])
    turns = ArrivalTurns(polls, ManualClock(100), most=3)
    taken = [turns.take(0.0) for _ in range(3)]
    assert taken == [arrivals(1, 3), arrivals(4, 3), arrivals(7, 1)]
    assert len(polls.left) == 2
    assert [turns.take(0.0), turns.take(0.0)] == [arrivals(8, 2), []]


def test_timers_do_not_run_ahead_of_what_waits() -> None:
    turns = ArrivalTurns(Polls(arrivals(1, 4)), ManualClock(100), most=3)
    turns.take(0.0)
    assert (turns.waiting, turns.until_ns()) == (True, 4)
    turns.take(0.0)
    assert (turns.waiting, turns.until_ns()) == (False, 100)


def test_that_the_node_was_away_comes_before_what_arrived_once_however_many_turns_it_takes() -> (
    None
):
    clock = ManualClock(100 * SECOND)
    turns = ArrivalTurns(Polls(arrivals(1, 3), []), clock, most=2)
    clock.advance(AWAY_NS)
    assert turns.take(0.0) == [fusion_began(1), *arrivals(1, 1)]
    assert turns.take(0.0) == arrivals(2, 2)
    clock.advance(AWAY_NS)
    assert turns.take(0.0) == [fusion_began(clock.now_ns())]
