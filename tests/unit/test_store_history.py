from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from pipeline.core.errors import StoreError
from pipeline.store import ScoreHistory, ScoreMinute, coarser


@pytest.fixture
def history(tmp_path: Path):
    opened = ScoreHistory(tmp_path / "history.db")
    yield opened
    opened.close()


def test_minutes_are_read_back_in_order_and_only_those_of_the_span(history) -> None:
    late, early = ScoreMinute(12, 120, 0, 2.5, {"video:cam": 2.5}), ScoreMinute(10, 120, 3, 0.5)
    history.put("hall", [late, early])
    history.put("yard", [ScoreMinute(11, 1, 0, 9.0)])
    assert history.between("hall", 10, 13) == [early, late]
    assert history.between("hall", 10, 12) == [early]
    assert history.first_minute("hall") == 10
    assert history.first_minute("cellar") is None


def test_a_minute_written_twice_keeps_the_worse_window_and_the_most_windows(history) -> None:
    history.put("hall", [ScoreMinute(10, 60, 1, 3.0, {"between": 3.0})])
    history.put("hall", [ScoreMinute(10, 120, 0, 1.0, {"audio:mic": 1.0})])
    assert history.between("hall", 0, 99) == [ScoreMinute(10, 120, 1, 3.0, {"between": 3.0})]
    history.put("hall", [ScoreMinute(10, 2, 0, 4.0, {"audio:mic": 4.0})])
    assert history.between("hall", 0, 99) == [ScoreMinute(10, 120, 1, 4.0, {"audio:mic": 4.0})]


def test_what_is_older_can_be_forgotten(history) -> None:
    history.put("hall", [ScoreMinute(m, 1, 0, 0.0) for m in (8, 9, 10)])
    assert history.forget_before(10) == 2
    assert [m.minute for m in history.between("hall", 0, 99)] == [10]


def test_a_minute_tells_its_worst_window() -> None:
    minute = ScoreMinute(7, 0, 0, 0.0)
    for score, seen in ((0.2, True), (2.0, False), (1.0, True)):
        minute = minute.with_window(score, {"between": score}, seen)
    assert minute == ScoreMinute(7, 3, 1, 2.0, {"between": 2.0})


def test_coarser_minutes_tell_the_worst_and_count_all() -> None:
    minutes = [ScoreMinute(m, 10, m == 4, float(m % 3), {"d": float(m)}) for m in range(2, 7)]
    assert coarser(minutes, 3) == [
        ScoreMinute(0, 10, 0, 2.0, {"d": 2.0}),
        ScoreMinute(3, 30, 1, 2.0, {"d": 5.0}),
        ScoreMinute(6, 10, 0, 0.0, {"d": 6.0}),
    ]


def test_a_history_that_is_not_there_is_an_error_for_readers(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match="no such store"),
        closing(ScoreHistory(tmp_path / "none.db", create=False)),
    ):
        pass
