import itertools
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import StoreError
from pipeline.core.event import Phase, Severity, event_id
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.score import WindowScore
from pipeline.detection.transition import anomaly_score, severity
from tests.explained_samples import BOX, moved, with_

HOP_NS = 500_000_000
LENGTH_NS = 2_000_000_000
THRESHOLD = 3.0
RULES = AlarmSettings(
    min_duration_s=1.0, clear_ratio=0.8, clear_after_s=2.0, cooldown_s=5.0, update_every_s=4.0
)


def window(index: int, level: float) -> WindowScore:
    start = index * HOP_NS
    return WindowScore(
        "hall", index, start, start + LENGTH_NS, 10.0**-level, {"joint": 0.5}, {"joint": "odd"}
    )


def alarm(rules: AlarmSettings = RULES) -> Alarm:
    return Alarm(rules, "hall", THRESHOLD, HOP_NS)


def run(levels, rules: AlarmSettings = RULES, first: int = 100):
    machine = alarm(rules)
    found = []
    for offset, level in enumerate(levels):
        if level is not None:
            found += machine.update(window(first + offset, level))
    return found


def phases(found) -> list[str]:
    return [t.phase.value for t in found]


def test_normal_scores_raise_nothing():
    assert run([0.1, 2.9, 1.0, 2.99] * 20) == []


def test_an_event_is_raised_once_and_cleared_once():
    found = run([0, 0, 4, 4, 4, 0, 0, 0, 0, 0, 0])
    assert phases(found) == ["raised", "cleared"]
    raised, cleared = found
    assert raised.id == cleared.id == event_id("hall", "anomaly", raised.start_ns)
    assert (raised.revision, cleared.revision) == (0, 1)
    assert (raised.scene, raised.alarm) == (cleared.scene, cleared.alarm) == ("hall", "anomaly")


def test_an_event_begins_with_the_part_that_its_first_window_adds():
    raised, cleared = run([0, 0, 4, 4, 4, 0, 0, 0, 0, 0])
    assert raised.start_ns == 102 * HOP_NS + LENGTH_NS - HOP_NS
    assert cleared.end_ns == 104 * HOP_NS + LENGTH_NS


def test_a_peak_shorter_than_the_minimum_duration_is_not_raised():
    assert run([0, 9, 0, 0, 9, 0]) == []
    assert phases(run([0, 9, 9, 0])) == ["raised"]


def test_a_minimum_duration_of_zero_raises_at_once():
    assert phases(run([0, 4], RULES.model_copy(update={"min_duration_s": 0.0}))) == ["raised"]


def test_hysteresis_keeps_an_event_standing_between_the_levels():
    found = run([4, 4, *[2.5] * 6, 4, *[0] * 5])
    assert phases(found) == ["raised", "updated", "cleared"]
    assert found[-1].end_ns == 108 * HOP_NS + LENGTH_NS


def test_bursts_closer_than_the_merge_gap_are_one_event():
    found = run([4, 4, 0, 0, 0, 4, 4, *[0] * 6])
    assert phases(found) == ["raised", "updated", "cleared"]
    assert len({t.id for t in found}) == 1


def test_bursts_further_apart_are_two_events_once_the_cooldown_is_over():
    found = run([4, 4, *[0] * 20, 4, 4, *[0] * 6])
    assert phases(found) == ["raised", "cleared"] * 2
    assert found[0].id != found[2].id


def test_the_cooldown_holds_back_what_is_not_higher():
    assert phases(run([4, 4, *[0] * 5, 3.5, 3.5, *[0] * 6])) == ["raised", "cleared"]


def test_the_cooldown_never_swallows_a_higher_score():
    found = run([4, 4, *[0] * 5, 4.5, 4.5, *[0] * 6])
    assert phases(found) == ["raised", "cleared"] * 2


def ends(found) -> list[float]:
    """When each transition's span ends, in windows after the first one's end."""
    return [(t.end_ns - 100 * HOP_NS - LENGTH_NS) / HOP_NS for t in found]


def test_the_cooldown_lasts_to_its_very_end_and_begins_when_the_event_is_cleared():
    # Held for no time; below for .7 s, that is two windows, clears; then two windows of cooldown.
    quick = RULES.model_copy(
        update={"min_duration_s": 0.0, "clear_after_s": 0.7, "cooldown_s": 1.0}
    )
    found = run([4, 0, 0, 0, 3.5, 3.5, 0, 0], quick)
    assert phases(found) == ["raised", "cleared", "raised", "cleared"]
    assert ends(found) == [0, 0, 5, 5]


CAMERA = with_(contributions={"cam": 3.0})
SOUND = with_(contributions={"mic": 3.0})
AWAY = with_(contributions={"cam": 3.0}, boxes=(moved(BOX, 0.35),))


def run_explained(why, levels=(4, 4, *[0] * 5, 3.5, 3.5, *[0] * 6)):
    """Windows over the threshold explained in turn by `why`, the last of them to the end."""
    machine, found, over = alarm(), [], 0
    for offset, level in enumerate(levels):
        score = window(100 + offset, level)
        if level >= THRESHOLD:
            score = replace(score, explanation=why[min(over, len(why) - 1)])
            over += 1
        found += machine.update(score)
        machine = alarm().restore(machine.state())
    return found


@pytest.mark.parametrize("second", [SOUND, AWAY])
def test_the_cooldown_never_swallows_what_shows_elsewhere(second):
    assert phases(run_explained([CAMERA, CAMERA, CAMERA, second])) == ["raised", "cleared"] * 2


@pytest.mark.parametrize("first", [[CAMERA], [CAMERA, SOUND], [None]])
def test_the_cooldown_holds_back_what_showed_there_before(first):
    second = CAMERA if first != [None] else None
    assert phases(run_explained([*first, second])) == ["raised", "cleared"]


def test_without_explanations_only_the_score_tells_events_apart():
    assert phases(run_explained([None, None, CAMERA])) == ["raised", "cleared"]


def test_what_an_event_showed_is_remembered_without_its_maps_and_not_for_ever():
    places = [with_(contributions={f"cam-{n}": 3.0}) for n in range(40)]
    machine = alarm()
    for n, why in enumerate(places):
        machine.update(replace(window(100 + n, 4.0), explanation=why))
    shown = json.loads(machine.state())["event"]["shown"]
    assert [list(one["contributions"]) for one in shown] == [[f"cam-{n}"] for n in range(24, 40)]


def test_a_state_of_a_fusewatch_that_did_not_remember_where_is_read():
    machine = alarm()
    for n, level in enumerate([4, 4, 0, 0, 0, 0, 4]):
        machine.update(replace(window(100 + n, level), explanation=CAMERA))
    old = json.loads(machine.state())
    assert old.pop("cleared_shown")
    assert old["candidate"].pop("shown")
    again = alarm().restore(json.dumps(old).encode())
    assert again.update(replace(window(107, 3.5), explanation=SOUND)) == []
    assert phases(again.update(replace(window(108, 4.5), explanation=SOUND))) == ["raised"]


def test_what_outlasts_the_cooldown_is_raised_with_its_true_start():
    found = run([4, 4, *[0] * 5, *[3.5] * 20])
    assert phases(found)[:3] == ["raised", "cleared", "raised"]
    assert found[2].start_ns == 107 * HOP_NS + LENGTH_NS - HOP_NS


def test_updates_come_at_most_as_often_as_asked():
    found = run([4.0] * 60)
    assert phases(found) == ["raised", *["updated"] * 7]
    published = [t.end_ns for t in found]
    assert all(b - a >= 4e9 for a, b in itertools.pairwise(published))
    assert [t.revision for t in found] == list(range(8))


def test_the_peak_is_kept_with_its_window():
    found = run([4, 4, 7, 4, *[0] * 5])
    assert found[-1].score == pytest.approx(7.0)
    assert found[-1].peak.index == 102
    assert found[-1].p == pytest.approx(1e-7)
    assert found[-1].peak.notes == {"joint": "odd"}


def test_a_gap_ends_a_candidate():
    assert run([0, 4, None, 4, 0]) == []


def test_a_short_gap_does_not_end_an_event_and_a_long_one_does():
    short = run([4, 4, None, None, 4, *[0] * 6])
    assert phases(short) == ["raised", "cleared"]
    long = run([4, 4, *[None] * 30, 4, 4, *[0] * 6])
    assert phases(long) == ["raised", "cleared"] * 2
    assert long[1].end_ns == 101 * HOP_NS + LENGTH_NS


def test_windows_already_seen_are_ignored():
    machine = alarm()
    first = [t for i in range(4) for t in machine.update(window(100 + i, 4.0))]
    again = [t for i in range(4) for t in machine.update(window(100 + i, 9.0))]
    assert phases(first) == ["raised"]
    assert again == []


def test_a_scene_that_ends_clears_what_stands():
    machine = alarm()
    for i in range(4):
        machine.update(window(100 + i, 4.0))
    assert phases(machine.finish()) == ["cleared"]
    assert not machine.standing
    assert machine.finish() == []


def test_a_p_value_that_is_no_number_or_zero_does_no_harm():
    assert anomaly_score(math.nan) == 0.0
    assert anomaly_score(0.0) == 300.0
    assert anomaly_score(2.0) == 0.0
    assert run([float("nan"), 0.0]) == []


def test_severity_grows_with_rarity_and_length_and_never_falls():
    assert severity(0.1, 0) is Severity.LOW
    assert severity(1.0, 0) is Severity.MEDIUM
    assert severity(2.0, 0) is Severity.HIGH
    assert severity(3.5, 0) is Severity.CRITICAL
    assert severity(0.1, 30 * 10**9) is Severity.MEDIUM
    order = list(Severity)
    steps = [order.index(t.severity) for t in run([3.1, 3.1, 4, 5, 7, 3.1, *[3.1] * 90])]
    assert steps == sorted(steps)
    assert steps[0] == order.index(Severity.LOW)  # short and hardly over the threshold
    assert {t.severity for t in run([3.1] * 20 + [0] * 6)} == {Severity.LOW}


def test_a_budget_is_read_as_a_rate():
    assert AlarmSettings(budget="6/hour").false_alarms_hz == pytest.approx(6 / 3600)
    with pytest.raises(ValueError, match="COUNT/PERIOD"):
        AlarmSettings(budget="often")


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\x80\x04", b'{"version": "x"}'])
def test_a_state_that_cannot_be_read_is_refused(data):
    with pytest.raises(StoreError, match="hall"):
        alarm().restore(data)


@pytest.mark.parametrize("quiet_first", [False, True])
def test_an_alarm_that_gets_another_name_ends_what_stands_under_the_old_one(quiet_first):
    before, told = alarm(), []
    for index in range(100, 105):
        told += before.update(window(index, 0.0 if quiet_first else 4.0))
    renamed = Alarm(RULES.model_copy(update={"name": "intruder"}), "hall", THRESHOLD, HOP_NS)
    renamed.restore(before.state())
    for index, level in enumerate([0.0] * 20 + [5.0] * 5 + [0.0] * 20, start=105):
        told += renamed.update(window(index, level))
    names = [(t.phase, t.alarm) for t in told]
    old = [] if quiet_first else [(Phase.RAISED, "anomaly"), (Phase.CLEARED, "anomaly")]
    assert names == [*old, (Phase.RAISED, "intruder"), (Phase.CLEARED, "intruder")]
    assert all(t.id == event_id("hall", t.alarm, t.start_ns) for t in told)


def test_the_state_of_another_alarm_is_refused():
    other = Alarm(RULES, "cellar", THRESHOLD, HOP_NS)
    with pytest.raises(StoreError, match="cellar"):
        alarm().restore(other.state())


levels = st.lists(
    st.one_of(st.none(), st.floats(0, 6), st.sampled_from([0.0, 2.5, 3.0, 3.5, 4.0])),
    min_size=1,
    max_size=120,
)
rules = st.builds(
    AlarmSettings,
    min_duration_s=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    clear_ratio=st.sampled_from([0.5, 0.8, 1.0]),
    clear_after_s=st.sampled_from([0.0, 1.0, 2.0]),
    cooldown_s=st.sampled_from([0.0, 2.0, 8.0]),
    update_every_s=st.sampled_from([0.5, 2.0, 10.0]),
)


@settings(max_examples=150, deadline=None)
@given(levels, rules, st.data())
def test_killed_and_restored_anywhere_gives_the_same_transitions(sequence, chosen, data):
    whole = run(sequence, chosen)
    cut = data.draw(st.integers(0, len(sequence)))
    before, found = alarm(chosen), []
    for offset, level in enumerate(sequence):
        if offset == cut:
            before = alarm(chosen).restore(before.state())
        if level is not None:
            found += before.update(window(100 + offset, level))
    assert found == whole


@settings(max_examples=150, deadline=None)
@given(levels, rules)
def test_phases_are_in_order_and_times_make_sense(sequence, chosen):
    standing = None
    last_end = 0
    for transition in run(sequence, chosen):
        assert transition.start_ns < transition.end_ns
        if transition.phase is Phase.RAISED:
            assert standing is None
            assert transition.start_ns >= last_end
            assert transition.score >= THRESHOLD
            standing = transition
        else:
            assert standing is not None
            assert transition.id == standing.id
            assert transition.revision == standing.revision + 1
            assert transition.end_ns >= standing.end_ns
            assert transition.score >= standing.score
            standing = None if transition.phase is Phase.CLEARED else transition
        if standing is None:
            last_end = transition.end_ns
