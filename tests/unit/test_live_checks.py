"""What is wrong with streams while a scene is commissioned live."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nodes.commissioning.checks import LiveChecks
from nodes.doctor import Level
from pipeline.core.window import AudioSlice, SensorSlice, VideoSlice, Window
from tests.toy_site import ALL, CAMERA, LOG, MICROPHONE, SENSORS, Site

NAMES = tuple(stream.name for stream in ALL)
MINUTE = 120
SITE = Site()


def checks(*streams) -> LiveChecks:
    made = LiveChecks(tuple(s.name for s in streams), 2.0, 0.5, {})
    for stream in streams:
        made.open(stream)
    return made


def pictures(window: Window, spoil) -> Window:
    part = window.slices["cam"]
    assert isinstance(part, VideoSlice)
    frames = tuple(replace(frame, data=spoil(frame.data)) for frame in part.frames)
    return replace(window, slices={**window.slices, "cam": replace(part, frames=frames)})


def sound(window: Window, spoil) -> Window:
    part = window.slices["mic"]
    assert isinstance(part, AudioSlice)
    made = replace(part, samples=spoil(part.samples).astype(np.float32))
    return replace(window, slices={**window.slices, "mic": made})


def said(made: LiveChecks, stream, windows, spoil=lambda window: window) -> list[str]:
    for window in windows:
        made.take(spoil(window))
    return [f"{f.level} {f.text}" for f in made.findings(600.0) if f.about == stream.name]


def of(stream, spoil=lambda window: window, count=MINUTE) -> list[str]:
    return said(checks(*ALL), stream, SITE.windows(0, count), spoil)


def test_a_healthy_site_has_nothing_wrong_in_its_first_minutes():
    assert [of(stream) for stream in ALL] == [[], [], [], []]


def test_a_picture_that_shows_nothing():
    flat = np.full((60, 100, 3), 90, np.uint8)
    noise = np.random.default_rng(1)

    def grainy(picture, level):
        return np.clip(noise.normal(level, 2, picture.shape), 0, 255).astype(np.uint8)

    for spoil, words in (
        (lambda p: grainy(p, 4), "is black"),
        (lambda p: grainy(p, 250), "is blown out"),
        (lambda p: flat + grainy(p, 1), "is one even grey"),
    ):
        (told,) = of(CAMERA, lambda w, s=spoil: pictures(w, s))
        assert words in told
        assert told.startswith("problem")


def test_a_picture_that_stands_still():
    first = SITE.window(0).slices["cam"].frames[0].data
    (told,) = of(CAMERA, lambda window: pictures(window, lambda _: first))
    assert "stands still" in told


def test_sound_that_is_silent_faint_or_clipped():
    assert "digitally silent" in of(MICROPHONE, lambda w: sound(w, lambda s: s * 0))[0]
    (faint,) = of(MICROPHONE, lambda w: sound(w, lambda s: s * 1e-3))
    assert faint.startswith("note is very quiet: -")
    (clipped,) = of(MICROPHONE, lambda w: sound(w, lambda s: np.clip(s * 60, -1, 1)))
    assert "is clipped in" in clipped


def test_a_channel_that_never_changes_is_told_after_five_minutes_and_named():
    assert of(SENSORS, count=590) == []
    (told,) = of(SENSORS, count=600)
    assert told == "note never changed in 5 minutes: door (0)"


def test_readings_out_of_their_range():
    def beyond(window: Window) -> Window:
        part = window.slices["plc"]
        assert isinstance(part, SensorSlice)
        return replace(window, slices={**window.slices, "plc": replace(part, beyond=("heat",))})

    (told,) = of(SENSORS, beyond)
    assert told == "problem reads out of the range set for it: heat"


def test_a_stream_that_fell_silent_or_has_holes():
    away = Site(missing=frozenset(NAMES))
    assert "was silent" in said(checks(*ALL), CAMERA, away.windows(0, MINUTE))[0]
    assert said(checks(*ALL), LOG, away.windows(0, MINUTE))[0].startswith("note its log")

    def holes(window: Window) -> Window:
        part = replace(window.slices["mic"], coverage=0.6)
        return replace(window, slices={**window.slices, "mic": part})

    assert "40% of the last minute is missing" in of(MICROPHONE, holes)[0]


def test_what_was_mended_is_told_no_longer():
    made = checks(*ALL)
    assert said(made, MICROPHONE, SITE.windows(0, MINUTE), lambda w: sound(w, lambda s: s * 0))
    assert said(made, MICROPHONE, SITE.windows(MINUTE, MINUTE)) == []


def test_a_stream_that_never_came_is_told_but_not_in_the_first_seconds():
    made = LiveChecks(("cam", "mic"), 2.0, 0.5, {})
    made.open(MICROPHONE)
    assert made.findings(5.0) == []
    (told,) = made.findings(30.0)
    assert (told.about, told.level) == ("cam", Level.PROBLEM)
    assert "nothing has come" in told.text
    assert "doctor" in told.fix


def test_readings_that_come_more_seldom_than_one_holds_are_no_silent_sensor():
    slow = replace(SENSORS, rate_hz=1 / 300)
    for holds_s, told in ((30.0, True), (600.0, False)):
        made = LiveChecks((slow.name,), 3600.0, 0.5, {slow.name: holds_s})
        made.open(slow)
        for window in SITE.windows(0, MINUTE):
            part = replace(window.slices[slow.name], coverage=0.0)
            made.take(replace(window, slices={slow.name: part}))
        (found,) = made.findings(600.0)
        assert found.level is Level.PROBLEM
        assert ("a reading every 300 s, and one holds for 30 s" in found.text) is told
        assert ("max_gap_s of the stream to 600 or more" in found.fix) is told


def test_windows_of_two_slow_readings_are_told_once_all_streams_are_known():
    slow = replace(SENSORS, rate_hz=1.0)
    for streams, told in (((slow.name,), True), ((slow.name, "cam"), False)):
        made = LiveChecks(streams, 2.0, 0.5, {})
        made.open(slow)
        found = [one for one in made.findings(600.0) if one.about == "windows"]
        assert [one.level for one in found] == [Level.NOTE] * told


def test_a_stream_that_changes_its_form_meanwhile():
    made = checks(CAMERA)
    made.open(replace(CAMERA, stamp="arrival"))
    assert made.findings(30.0) == []
    made.open(replace(CAMERA, shape=(120, 200, 3)))
    (told,) = made.findings(30.0)
    assert told.text == "changed while it was recorded: 60 x 100 x 3 at 6 Hz became " + (
        "120 x 200 x 3 at 6 Hz"
    )


def test_the_brightness_of_pictures_is_kept_for_what_was_not_seen():
    made = checks(*ALL)
    said(made, CAMERA, SITE.windows(0, 50))
    assert len(made.lights["cam"]) == 50
    assert 70 < np.mean(made.lights["cam"]) < 110
    assert set(made.lights) == {"cam"}
