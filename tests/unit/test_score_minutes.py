from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from nodes.score_minutes import KEPT_MINUTES, ScoreMinutes
from pipeline.core.clock import ManualClock
from pipeline.store.score_history import MINUTE_NS, ScoreHistory, ScoreMinute

DAY = 24 * 60
NOW = 20_000 * DAY + 700  # minutes; nowhere near midnight


def test_what_is_too_old_goes_once_a_day_whenever_that_is_and_from_the_start(
    tmp_path: Path,
) -> None:
    clock, history = ManualClock(NOW * MINUTE_NS), ScoreHistory(tmp_path / "history.db")
    with closing(ScoreMinutes(history, clock)) as scores:
        for minutes in (1, 10, DAY, DAY + 10):
            old = NOW + minutes - KEPT_MINUTES - 1
            history.put("hall", [ScoreMinute(old, 1, 0, 0.5)])
            clock.advance((NOW + minutes) * MINUTE_NS - clock.now_ns())
            scores.take([])
            kept = history.between("hall", 0, NOW)
            assert [one.minute for one in kept] == ([old] if minutes % DAY == 10 else [])


def test_a_disk_that_refuses_is_no_reason_to_stop(tmp_path: Path) -> None:
    clock, file = ManualClock(NOW * MINUTE_NS), tmp_path / "history.db"
    with closing(ScoreMinutes(ScoreHistory(file), clock)) as scores:
        with closing(ScoreHistory(file)) as history:
            history.put("hall", [ScoreMinute(7, 1, 0, 0.5)])
        with closing(sqlite3.connect(file)) as other:
            told = "BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
            other.execute(f"CREATE TRIGGER no BEFORE DELETE ON history_minutes {told}")
            clock.advance(MINUTE_NS)
            scores.take([])
            other.execute("DROP TRIGGER no")
        clock.advance(MINUTE_NS)
        scores.take([])  # tried again, as it failed
        with closing(ScoreHistory(file)) as history:
            assert history.first_minute("hall") is None
