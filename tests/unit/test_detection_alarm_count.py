"""What a scene raised lately, counted from its scores, beside what its alarm does."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.event import Phase
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.alarm_count import REMEMBERED, AlarmCount, CountState
from pipeline.detection.score import WindowScore

HOP_NS = 500_000_000
THRESHOLD = 3.0
RARE = "1/week"  # forgets next to nothing within a test


def counted(levels, rules: AlarmSettings) -> AlarmCount:
    """A count after windows of these levels; None is a window that never came."""
    count = AlarmCount(rules, THRESHOLD, HOP_NS)
    for index, level in enumerate(levels, 100):
        if level is not None:
            count.take(index * HOP_NS, level)
    return count


def raised_by_the_alarm(levels, rules: AlarmSettings) -> int:
    alarm, raised = Alarm(rules, "hall", THRESHOLD, HOP_NS), 0
    for index, level in enumerate(levels, 100):
        if level is not None:
            end_ns = index * HOP_NS
            score = WindowScore("hall", index, end_ns - HOP_NS, end_ns, 10.0**-level)
            raised += sum(t.phase is Phase.RAISED for t in alarm.update(score))
    return raised


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([None, 0.0, 1.4, 2.3, 2.5, 3.5, 4.0]), min_size=1, max_size=80),
    st.builds(
        AlarmSettings,
        budget=st.just(RARE),
        min_duration_s=st.sampled_from([0.0, 0.7, 1.0, 2.0]),
        clear_ratio=st.sampled_from([0.5, 0.8, 1.0]),
        clear_after_s=st.sampled_from([0.0, 1.0, 2.0]),
        cooldown_s=st.just(0.0),
    ),
)
def test_it_counts_what_the_alarm_raises_without_a_cooldown(levels, rules):
    count = counted(levels, rules)
    assert count.state.alarms == pytest.approx(raised_by_the_alarm(levels, rules), abs=1e-3)


def test_windows_that_never_came_end_an_alarm_as_they_end_the_event():
    rules = AlarmSettings(budget=RARE, min_duration_s=1.0, clear_after_s=2.0, cooldown_s=0.0)
    night = [4.0, 4.0, *[None] * 100, 4.0, 4.0]
    assert counted(night, rules).state.alarms == pytest.approx(2, abs=1e-3)
    blink = [4.0, 4.0, *[None] * 3, 4.0, 4.0]
    assert counted(blink, rules).state.alarms == pytest.approx(1, abs=1e-3)


def test_time_is_watched_by_the_window_and_forgotten_with_the_alarms_in_it():
    rules = AlarmSettings(budget="360/hour", min_duration_s=0.0)
    remembered_s = REMEMBERED / rules.false_alarms_hz  # 200 s
    count = counted([4.0], rules)
    for index in range(101, 101 + round(remembered_s / 0.5)):
        count.take(index * HOP_NS, 0.0)
    assert count.state.alarms == pytest.approx(math.exp(-1))
    expected_s = remembered_s * (1 - math.exp(-1 - 0.5 / remembered_s))
    assert count.state.seconds == pytest.approx(expected_s, rel=0.01)


def test_a_budget_is_over_only_when_chance_cannot_explain_it_and_within_up_to_what_it_allows():
    rules = AlarmSettings(budget="6/hour")

    def told(alarms: float, hours: float) -> tuple[bool, bool]:
        count = AlarmCount(rules, THRESHOLD, HOP_NS, CountState(alarms, hours * 3600))
        return count.within_budget, count.over_budget

    assert told(6.0, 1.0) == (True, False)
    assert told(7.0, 1.0) == (False, False)
    assert told(10.0, 1.0) == (False, False)  # at least 5.4 by chance
    assert told(12.0, 1.0) == (False, True)  # at least 6.9
    assert told(0.0, 0.0) == (True, False)


@pytest.mark.parametrize("cut", range(1, 9))
def test_it_goes_on_from_a_saved_state_as_if_nothing_had_been(cut):
    rules = AlarmSettings(budget="60/hour", min_duration_s=1.0, clear_after_s=1.0)
    levels = [4.0, 4.0, 2.5, 1.0, 1.0, 4.0, 1.0, 4.0, 4.0]
    whole = counted(levels, rules)
    saved = msgspec.msgpack.encode(counted(levels[:cut], rules).state)
    again = AlarmCount(rules, THRESHOLD, HOP_NS, msgspec.msgpack.decode(saved, type=CountState))
    for index, level in enumerate(levels[cut:], 100 + cut):
        again.take(index * HOP_NS, level)
    assert again.state == whole.state


@pytest.mark.parametrize(
    ("levels", "alarms"),
    [
        ([4.0, 4.0, 0.0, 4.0, 4.0], 1),  # below for half a second
        ([4.0, 4.0, 0.0, 0.0, 4.0, 4.0], 2),  # for the second that clears
        ([4.0, 4.0, None, 4.0, 4.0], 1),
        ([4.0, 4.0, None, None, 4.0, 4.0], 2),
        ([4.0, 4.0, *[1.5] * 6, 4.0, 4.0], 1),  # at the lower level to the hair
        ([4.0, None, 4.0], 0),
        ([3.0, 3.0], 1),
    ],
)
def test_at_its_very_limits_it_still_counts_what_the_alarm_raises(levels, alarms):
    rules = AlarmSettings(
        budget=RARE, min_duration_s=1.0, clear_ratio=0.5, clear_after_s=1.0, cooldown_s=0.0
    )
    assert raised_by_the_alarm(levels, rules) == alarms
    assert counted(levels, rules).state.alarms == pytest.approx(alarms, abs=1e-3)
