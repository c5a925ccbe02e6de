"""Memory is given back when a backlog goes and every few minutes, not at every breath."""

from nodes.memory_return import DEEP, EVERY_NS, MemoryReturn, MemoryRounds
from pipeline.core.clock import ManualClock
from pipeline.transport.memory import give_back


def given(*waiting: int) -> list[int]:
    """After which of these looks memory was given back."""
    found: list[int] = []
    looks: list[int] = []
    watched = MemoryReturn(lambda: found.append(len(looks)))
    for one in waiting:
        watched.look(one)
        looks.append(one)
    return found


def test_what_is_always_under_way_gives_nothing_back() -> None:
    assert given(0, 300, 10, DEEP - 1, 0, 500, 20) == []


def test_a_backlog_gives_back_what_it_held_once() -> None:
    assert given(0, 8 * DEEP, 3 * DEEP, 2 * DEEP, 2 * DEEP, DEEP, 400, 300, 20) == [3, 6]


def test_the_next_backlog_gives_back_too() -> None:
    assert given(DEEP, 0, 100, 2 * DEEP, 10) == [1, 4]


def test_the_library_takes_the_order() -> None:
    assert give_back() in (True, False)
    assert given() == []


def test_rounds_are_minutes_apart() -> None:
    clock = ManualClock(5)
    found: list[int] = []
    rounds = MemoryRounds(clock, lambda: found.append(clock.now_ns()))
    for _ in range(5):
        rounds.look()
        clock.advance(EVERY_NS // 2)
    assert found == [5 + EVERY_NS, 5 + 2 * EVERY_NS]
