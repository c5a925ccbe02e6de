"""Recorded time: what was recorded, and pieces of it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.recording.coverage import Coverage

SPANS = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 80)).map(lambda s: (s[0], s[0] + s[1])),
    max_size=6,
)


def test_recordings_that_touch_or_overlap_are_one_stretch() -> None:
    assert Coverage([(20, 30), (0, 10), (10, 15), (12, 18)]).spans == ((0, 18), (20, 30))


def test_what_lies_between_two_recordings_does_not_count() -> None:
    coverage = Coverage([(0, 10), (100, 110)])
    assert coverage.total_ns == 20
    assert coverage.before(105, 8) == 7
    assert coverage.after(7, 8) == 105


def test_there_is_nothing_before_the_beginning_nor_after_the_end() -> None:
    coverage = Coverage([(50, 60), (70, 80)])
    assert coverage.before(75, 1000) == 50
    assert coverage.after(75, 1000) == 80


def test_a_gap_holds_nothing() -> None:
    coverage = Coverage([(0, 10), (100, 110)])
    assert coverage.holds(9, 50)
    assert coverage.holds(50, 100)
    assert not coverage.holds(10, 99)


def test_what_two_hold_counts_once() -> None:
    coverage = Coverage([(0, 10), (100, 110)])
    assert coverage.shared_ns(Coverage([(5, 105), (300, 400)])) == 10
    assert coverage.shared_ns(Coverage([(10, 100)])) == 0


def test_no_recording_makes_no_pieces() -> None:
    assert Coverage([]).pieces(10) == []
    assert Coverage([(5, 5)]).pieces(10) == []


@given(SPANS, st.integers(1, 100))
def test_pieces_touch_and_hold_about_as_much_each(spans: list[tuple[int, int]], each: int) -> None:
    coverage = Coverage(spans)
    pieces = coverage.pieces(each)
    if not coverage.spans:
        return
    assert pieces[0][0] == coverage.spans[0][0]
    assert pieces[-1][1] == coverage.spans[-1][1]
    assert all(one[1] == other[0] for one, other in pairwise(pieces))
    held = [sum(max(0, min(e, b) - max(s, a)) for s, e in coverage.spans) for a, b in pieces]
    assert sum(held) == coverage.total_ns
    assert held[:-1] == [each] * (len(pieces) - 1)
    assert held[-1] <= max(1.5 * each, coverage.total_ns if len(pieces) == 1 else 0)


@given(SPANS, st.integers(0, 600), st.integers(1, 100))
def test_going_back_finds_so_much_recorded_time(
    spans: list[tuple[int, int]], at: int, length: int
) -> None:
    coverage = Coverage(spans)
    begin = coverage.before(at, length)
    held = sum(max(0, min(e, at) - max(s, begin)) for s, e in coverage.spans)
    reachable = sum(max(0, min(e, at) - s) for s, e in coverage.spans)
    assert held == min(length, reachable)
