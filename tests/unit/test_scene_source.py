"""The synthetic site played against a clock."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.core.clock import ManualClock
from pipeline.core.errors import SourceEnded, SourceUnavailable
from pipeline.sources.base import SOURCES, SourceContext
from pipeline.sources.scene import SceneSource, SceneSourceSettings
from pipeline.sources.synthetic.reel import Reel
from pipeline.sources.synthetic.settings import Kind

SECOND_NS = 1_000_000_000
NOW_NS = 1_750_000_000 * SECOND_NS
SMALL = {"size": (96, 64), "audio_hz": 8000, "jpeg_quality": None}


def opened(clock, **more) -> SceneSource:
    settings = SceneSourceSettings(**(SMALL | more))
    source = settings.build(SourceContext(clock, lambda *_: None))
    source.open()
    return source


def drain(source):
    found = []
    while batch := source.read(0.0):
        found += batch
    return found


def test_the_kind_is_found_in_the_registry():
    assert SOURCES.settings("scene") is SceneSourceSettings
    assert "synthetic" not in SOURCES.kinds()


def test_settings_read_like_yaml():
    settings = SceneSourceSettings.model_validate(
        {
            "type": "scene",
            "size": [320, 180],
            "speed": "max",
            "start": "2026-03-01T08:00:00+00:00",
            "anomalies": [{"kind": "X2", "at_s": 30, "duration_s": 5}],
        }
    )
    assert settings.size == (320, 180)
    assert settings.start_ns == int(datetime(2026, 3, 1, 8, tzinfo=UTC).timestamp()) * SECOND_NS
    assert settings.anomalies[0].kind is Kind.X2
    assert SceneSourceSettings.model_validate(settings.model_dump(mode="json")) == settings


def test_at_live_speed_samples_come_when_they_are_due():
    clock = ManualClock(NOW_NS)
    source = opened(clock)
    first = source.read(0.0)
    assert {s.stream for s in first} == {"site-camera", "site-sensors"}
    assert {s.timestamp_ns for s in first} == {NOW_NS}
    assert source.read(0.0) == []
    clock.advance(SECOND_NS)
    later = drain(source)
    assert sum(s.stream == "site-microphone" for s in later) == 10
    assert max(s.timestamp_ns for s in later) <= clock.now_ns()
    microphone = [s for s in later if s.stream == "site-microphone"]
    assert microphone[-1].timestamp_ns + SECOND_NS // 10 <= clock.now_ns()


def test_a_long_pause_is_caught_up_in_bites_without_a_gap():
    clock = ManualClock(NOW_NS)
    source = opened(clock)
    clock.advance(5 * SECOND_NS)
    first = source.read(0.0)
    assert max(s.timestamp_ns for s in first) <= NOW_NS + SECOND_NS
    frames = [s for s in [*first, *drain(source)] if s.stream == "site-camera"]
    steps = {b.timestamp_ns - a.timestamp_ns for a, b in pairwise(frames)}
    assert steps == {SECOND_NS // 10}
    assert len(frames) == 51


def test_opened_again_the_site_goes_on_where_the_clock_is():
    clock = ManualClock(NOW_NS)
    source = opened(clock)
    clock.advance(SECOND_NS)
    drain(source)
    source.close()
    source.close()
    clock.advance(9 * SECOND_NS)
    source.open()
    again = source.read(0.0)
    assert min(s.timestamp_ns for s in again) >= NOW_NS + 10 * SECOND_NS
    assert all(s.position == 0 for s in again)


def test_a_new_reader_of_the_same_settings_goes_on_and_one_of_a_copy_begins_anew():
    clock = ManualClock(NOW_NS)
    settings = SceneSourceSettings(**SMALL, video=None, audio=None)
    context = SourceContext(clock, lambda *_: None)
    first = settings.build(context)
    first.open()
    clock.advance(7 * SECOND_NS)
    second, anew = settings.build(context), settings.model_copy().build(context)
    second.open()
    anew.open()
    here, begin = second.read(0.0)[0], anew.read(0.0)[0]
    assert here.timestamp_ns == begin.timestamp_ns == clock.now_ns()
    site = Reel(settings)
    assert (here.data == site.reading(70)).all()
    assert (begin.data == site.reading(0)).all()
    assert settings == SceneSourceSettings(**SMALL, video=None, audio=None)


def test_a_start_of_now_puts_from_s_at_the_opening():
    source = opened(ManualClock(NOW_NS), from_s=600.0)
    assert source.read(0.0)[0].timestamp_ns == NOW_NS


def test_a_fixed_start_is_the_site_time_of_scene_second_zero():
    start = datetime(2025, 1, 1, tzinfo=UTC)
    source = opened(ManualClock(NOW_NS), start=start, from_s=60.0, speed="max")
    stamps = [s.timestamp_ns for s in source.read(0.0)]
    assert stamps[0] == int(start.timestamp()) * SECOND_NS + 60 * SECOND_NS
    assert stamps == sorted(stamps)


def test_at_full_speed_every_sample_comes_without_the_clock_moving_and_then_it_ends():
    source = opened(ManualClock(NOW_NS), speed=0, duration_s=2.0)
    found = []
    with pytest.raises(SourceEnded):
        for _ in range(100):
            found += source.read(0.0)
    assert len(found) == 60
    stamps = [s.timestamp_ns for s in found]
    assert stamps == sorted(stamps)


def test_at_double_speed_twice_as_much_is_due():
    clock = ManualClock(NOW_NS)
    source = opened(clock, speed=2.0, video=None, audio=None)
    clock.advance(SECOND_NS)
    assert len(drain(source)) == 21


def test_a_waiting_read_is_woken_by_close():
    source = opened(ManualClock(NOW_NS), fps=0.01, audio=None, sensor=None)
    source.read(0.0)
    reader = threading.Thread(target=source.read, args=(60.0,))
    reader.start()
    # Closing from another thread is not part of the contract, but nothing may hang on it.
    source._closed.set()
    reader.join(20.0)
    assert not reader.is_alive()


def test_reading_a_closed_scene_says_so():
    source = opened(ManualClock(NOW_NS))
    source.close()
    with pytest.raises(SourceUnavailable, match="not open"):
        source.read(0.0)


def test_no_part_of_the_scene_uses_a_global_generator():
    folder = Path(__file__).resolve().parents[2] / "pipeline" / "sources" / "synthetic"
    for path in folder.glob("*.py"):
        text = path.read_text()
        assert "default_rng" not in text
        assert "import random" not in text
        assert "np.random.seed" not in text
