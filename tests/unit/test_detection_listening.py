"""What detectors say by themselves during an event that others are louder in."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.event import Event, Heard, Phase, from_json, subjects, to_json
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.events import event_of, summary
from pipeline.detection.listening import Listening
from pipeline.detection.score import WindowScore
from pipeline.detection.transition import Transition

HOP_NS, LENGTH_NS = 500_000_000, 2_000_000_000
SECOND_NS = 1_000_000_000
THRESHOLD = 3.0
RULES = AlarmSettings(min_duration_s=1.0, clear_after_s=2.0, update_every_s=10.0)
NOTES = {"video:cam": "motion", "odd": "cam and mic do not belong together"}


def window(index: int, **levels: float) -> WindowScore:
    """A window of these scores, ``_`` for the colon in a detector's name."""
    detectors = {name.replace("_", ":"): 10.0**-level for name, level in levels.items()}
    start_ns = index * HOP_NS
    least = min(detectors.values(), default=1.0)
    end_ns = start_ns + LENGTH_NS
    notes = {name: note for name, note in NOTES.items() if detectors.get(name, 1.0) <= 0.01}
    return WindowScore("hall", index, start_ns, end_ns, least, detectors, notes)


def listened(*levels: float | None) -> dict[str, float]:
    """What is heard of a detector that has these scores, one after the other; None: no window."""
    listening = Listening()
    for index, level in enumerate(levels, 100):
        if level is None:
            listening.pause()
            continue
        score = window(index, odd=level)
        listening.take(score, THRESHOLD, score.end_ns - HOP_NS, SECOND_NS)
    return {name: one.score for name, one in listening.heard.items()}


def run(alarm: Alarm, levels: list[dict[str, float]], first: int = 100) -> list[Transition]:
    scores = (window(number, **one) for number, one in enumerate(levels, first))
    return [transition for score in scores for transition in alarm.update(score)]


def alarm() -> Alarm:
    return Alarm(RULES, "hall", THRESHOLD, HOP_NS)


def test_who_stays_over_the_threshold_for_as_long_as_an_alarm_takes_is_heard() -> None:
    assert listened(3.5) == {}
    assert listened(3.5, 2.9, 3.5) == {}
    assert listened(3.5, None, 3.5) == {}
    assert listened(3.2, 3.5) == {"odd": 3.5}
    assert listened(3.9, 3.5, 1.0) == {"odd": 3.9}
    assert listened(3.5, 3.5, 1.0, 5.0) == {"odd": 3.5}  # one window of 5 is no stretch
    assert listened(3.5, 3.5, 1.0, 4.0, 4.2) == {"odd": 4.2}


def test_what_is_hidden_by_something_louder_is_told_within_two_seconds() -> None:
    """A stranger stands in the picture all the while; after five seconds his steps are missing."""
    loud, both = {"video_cam": 6.0, "odd": 1.0}, {"video_cam": 6.0, "odd": 4.0}
    found = run(alarm(), [loud] * 10 + [both] * 4 + [loud] * 10)
    assert [one.phase for one in found] == [Phase.RAISED, Phase.UPDATED]
    raised, updated = (event_of(one, {}) for one in found)
    assert list(raised.heard or {}) == ["video:cam"]
    assert raised.summary == "Motion (cam); " + raised.summary.partition("; ")[2]
    assert updated.heard == {"odd": Heard(4.0, NOTES["odd"]), "video:cam": Heard(6.0, "motion")}
    assert updated.summary.endswith("; beside that cam and mic do not belong together.")
    assert updated.end_ns - raised.end_ns == 5 * SECOND_NS


def test_another_detector_of_the_same_stream_is_no_news() -> None:
    loud, both = {"video_cam": 6.0}, {"video_cam": 6.0, "things_cam": 4.0}
    assert len(run(alarm(), [loud] * 10 + [both] * 6)) == 1


def test_news_are_not_told_more_often_than_an_event_may_clear() -> None:
    """Streams that join one after the other make one update."""
    levels = [{"video_cam": 6.0}] * 2
    for names in (("audio_mic",), ("audio_mic", "odd"), ("audio_mic", "odd", "sensor_plc")):
        levels += [{"video_cam": 6.0} | dict.fromkeys(names, 4.0)] * 2
    found = run(alarm(), levels)
    assert [one.phase for one in found] == [Phase.RAISED, Phase.UPDATED]
    assert subjects(found[-1].heard) == {"cam", "mic", "odd"}


def test_news_wait_no_longer_than_any_update() -> None:
    rules = RULES.model_copy(update={"update_every_s": 1.0, "clear_after_s": 30.0})
    loud, both = {"video_cam": 6.0}, {"video_cam": 6.0, "odd": 4.0}
    found = run(Alarm(rules, "hall", THRESHOLD, HOP_NS), [loud] * 2 + [both] * 2)
    assert [one.phase for one in found] == [Phase.RAISED, Phase.UPDATED]


def test_what_the_summary_says_already_is_not_said_twice() -> None:
    peak = replace(window(1, video_cam=6.0), notes={"video:cam": "motion"})
    heard = {"things:cam": Heard(5.0, "something new"), "odd": Heard(3.0), "joint": Heard(3.0, "x")}
    assert summary(peak, heard=heard) == summary(peak)[:-1] + "; beside that x."
    alike = {"between": Heard(4.0, "a and b"), "odd": Heard(5.0, "a and b")}
    assert summary(peak, heard=alike) == summary(peak)[:-1] + "; beside that a and b."
    assert summary(replace(peak, notes={"odd": "a and b"}), heard=alike).lower().count("a and") == 1


def test_what_a_channel_showed_is_told_once_where_both_streams_of_a_pair_speak() -> None:
    notes = {"odd": "a does not fit b; heat seen 3", "between": "b does not fit a; heat seen 3"}
    said = summary(replace(window(1, odd=4.0, between=3.0), notes=notes))
    assert said.startswith("A does not fit b; heat seen 3; b does not fit a; about")


@given(
    levels=st.lists(
        st.fixed_dictionaries({"video_cam": st.sampled_from([1.0, 3.5, 6.0])}, optional={
            "odd": st.sampled_from([1.0, 3.5, 4.0]), "audio_mic": st.sampled_from([3.0, 5.0]),
        }),
        max_size=40,
    ),
    cut=st.integers(0, 40),
)  # fmt: skip
def test_an_alarm_that_was_restored_has_heard_the_same(
    levels: list[dict[str, float]], cut: int
) -> None:
    whole = run(alarm(), levels)
    first = alarm()
    before = run(first, levels[:cut])
    after = run(alarm().restore(first.state()), levels[cut:], 100 + len(levels[:cut]))
    assert before + after == whole


def test_events_of_before_are_read_and_written_as_they_were() -> None:
    found = run(alarm(), [{"video_cam": 6.0}] * 4)
    event = event_of(found[0], {})
    assert from_json(to_json(event)) == event
    assert b'"heard":{"video:cam":{"note":"motion","score":6.0}}' in to_json(event)
    old = Event(**{n: getattr(event, n) for n in event.__struct_fields__ if n != "heard"})
    assert old.heard is None
    assert b"heard" not in to_json(old)
    assert from_json(to_json(old)) == old
