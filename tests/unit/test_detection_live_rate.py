import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.live_rate import MOST_SPANS, Watched, live_rates, spent_of

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
NOW = 1_700_000_000 * SECOND


def watched_for(hours: float) -> Watched:
    watched = Watched()
    watched.add(NOW - int(hours * HOUR), NOW)
    return watched


def test_alarms_of_each_period_are_told_beside_what_the_budget_allows() -> None:
    raised = [NOW - minutes * 60 * SECOND for minutes in (3000, 200, 100, 20, 10)]
    hour, day, week = live_rates(raised, watched_for(100), 6 / 3600, NOW)
    assert (hour.raised, day.raised, week.raised) == (2, 4, 5)
    assert hour.budgeted == pytest.approx(6)
    assert (day.watched_s, week.watched_s) == (86400, 100 * 3600)
    assert hour.ratio == pytest.approx(2 / 6)
    assert hour.low < hour.ratio < hour.high


def test_a_budget_is_told_by_what_was_spent_in_the_last_one_of_its_own_periods() -> None:
    weekly = AlarmSettings(budget="2/week")
    day = 24 * HOUR
    raised = [NOW - days * day for days in (8, 6, 3, 1)]

    def words(*raised_ns: int) -> str:
        return spent_of(weekly, raised_ns, [NOW - day], watched_for(10), NOW).words

    assert words() == "0 of 2 a week, within the budget"
    assert words(*raised[:2]) == "1 of 2 a week, within the budget"
    assert words(*raised[:3]) == "2 of 2 a week, all used up"
    assert words(*raised) == "3 of 2 a week, over the budget"
    found = spent_of(weekly, raised, [NOW - day, NOW - 9 * day], watched_for(10), NOW)
    assert (found.real, found.watched_s) == (1, 36000)
    quick = spent_of(AlarmSettings(budget="6/hour"), [NOW - 1], [], watched_for(10), NOW)
    assert (quick.words, quick.watched_s) == ("1 of 6 an hour, within the budget", 3600)


def test_an_alarm_on_the_edge_of_a_period_is_counted_in_one_period_only() -> None:
    hourly = AlarmSettings(budget="1/hour")
    edge = [NOW - HOUR]
    assert spent_of(hourly, edge, edge, watched_for(10), NOW).spent == 1
    assert spent_of(hourly, edge, edge, watched_for(10), NOW).real == 1
    assert spent_of(hourly, edge, edge, watched_for(10), NOW - HOUR).spent == 0
    assert live_rates(edge, watched_for(10), 1 / 3600, NOW)[0].raised == 1
    assert live_rates(edge, watched_for(10), 1 / 3600, NOW - HOUR)[0].raised == 0


def test_only_time_that_was_watched_spends_the_budget() -> None:
    watched = Watched()
    watched.add(NOW - HOUR // 2, NOW - HOUR // 4)
    watched.add(NOW - HOUR // 10, NOW)
    hour = live_rates([], watched, 6 / 3600, NOW)[0]
    assert hour.budgeted == pytest.approx(6 * 0.35)
    assert hour.ratio == 0
    assert hour.high > 1  # no alarm in 21 minutes says little


def test_without_watched_time_there_is_no_ratio() -> None:
    assert all(math.isnan(rate.ratio) for rate in live_rates([], Watched(), 6 / 3600, NOW))


def test_more_than_the_budget_for_long_is_told_as_certain() -> None:
    raised = [NOW - n * HOUR // 20 - 1 for n in range(20 * 24)]
    day = live_rates(raised, watched_for(24), 6 / 3600, NOW)[1]
    assert day.ratio == pytest.approx(20 / 6)
    assert day.low > 2


def test_windows_that_overlap_or_come_again_are_watched_once() -> None:
    watched = Watched()
    for start in (0, 1, 2, 1, 0):
        watched.add(NOW + start * SECOND, NOW + (start + 2) * SECOND)
    assert watched.spans == [(NOW, NOW + 4 * SECOND)]


def test_a_week_is_remembered_and_no_more_spans_than_there_is_room_for() -> None:
    watched = Watched()
    for hour in range(1000):
        watched.add(NOW + hour * HOUR, NOW + hour * HOUR + SECOND)
    assert len(watched.spans) <= 7 * 24 + 1
    for second in range(0, 2000, 2):
        watched.add(NOW + 1000 * HOUR + second * SECOND, NOW + 1000 * HOUR + (second + 1) * SECOND)
    assert len(watched.spans) == MOST_SPANS


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 20)), max_size=40))
def test_spans_stay_in_order_and_apart_whatever_comes(parts: list[tuple[int, int]]) -> None:
    watched = Watched()
    for start, length in parts:
        watched.add(NOW + start, NOW + start + length)
    flat = [edge for span in watched.spans for edge in span]
    assert flat == sorted(set(flat))
    assert Watched(watched.spans).spans == watched.spans
