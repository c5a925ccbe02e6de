"""What a recording has not seen, by the site's own time."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from pipeline.training.unseen import unseen

BERLIN = ZoneInfo("Europe/Berlin")


def windows(start: str, minutes: float) -> np.ndarray:
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    count = int(minutes * 120)
    first_ns = int(begin.timestamp()) * 10**9
    return first_ns + np.arange(count, dtype=np.int64) * 500_000_000


def said(start: str, minutes: float, zone=UTC, lights=None) -> str:
    return "; ".join(unseen(windows(start, minutes), lights or {}, zone).warnings)


def test_a_working_hour_lacks_night_weekend_and_weather():
    told = said("2026-11-26T09:00", 40)  # a Thursday
    assert "no night" in told
    assert "no weekend" in told
    assert "one weather" in told
    assert "no day" not in told
    assert "no working day" not in told


def test_the_hours_are_those_of_the_site():
    found = unseen(windows("2026-06-26T21:10", 30), {}, BERLIN)
    assert found.seen.startswith("Fri 26 Jun 23:10 to 23:39 (CEST), in 1 of the 24 hours")
    assert not any("no night" in one for one in found.warnings)
    assert any("no day:" in one for one in found.warnings)
    assert "no night" in said("2026-06-26T21:10", 30, ZoneInfo("America/New_York"))


def test_a_week_lacks_nothing():
    assert said("2026-11-23T00:00", 7 * 24 * 60, lights={"cam": [20.0, 120.0] * 50}) == ""


def test_a_day_lacks_the_weekend_only_and_a_night_with_morning_names_its_hours():
    assert said("2026-11-26T00:00", 24 * 60).startswith("no weekend")
    assert "nothing of the hours 9 to 22" in said("2026-11-26T22:00", 11 * 60)
    assert "no working day" in said("2026-11-28T09:00", 60)


def test_light_that_hardly_changed_is_told_and_darkness_is_no_change():
    assert "one light only before cam" in said("2026-11-26T09:00", 5, lights={"cam": [100, 110]})
    assert "one light" not in said("2026-11-26T09:00", 5, lights={"cam": [60, 110] * 20})
    assert "one light only" in said("2026-11-26T09:00", 5, lights={"cam": [1, 4] * 20})
    assert "one light" not in said("2026-11-26T09:00", 5, lights={"cam": []})


def test_nothing_recorded_says_so():
    assert unseen(np.zeros(0, np.int64), {}).seen == "nothing"


def test_a_recording_over_midnight_names_both_days():
    found = unseen(windows("2026-11-26T23:00", 120), {}, UTC)
    assert found.seen.startswith("Thu 26 Nov 23:00 to Fri 27 Nov 00:59")
