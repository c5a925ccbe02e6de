"""The synthetic site is a pure function of place, seed and time, however it is read."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from pipeline.core.sample import Encoding, Modality
from pipeline.sources.scene import SceneSourceSettings, samples
from pipeline.sources.synthetic.reel import Reel

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "scene_site.json"
SMALL = {"size": (96, 64), "audio_hz": 8000, "jpeg_quality": None}
START_NS = 1_700_000_000_000_000_000


def site(**more):
    return SceneSourceSettings(**(SMALL | {"place": 3, "seed": 11} | more))


def span(settings, from_s, to_s):
    return list(samples(settings, START_NS, from_s=from_s, to_s=to_s))


def of(found, stream):
    return [sample for sample in found if sample.stream == stream]


def same(a, b):
    if isinstance(a.data, bytes):
        return a.data == b.data
    return np.array_equal(a.data, b.data)


def test_the_same_settings_give_the_same_samples():
    settings = site(jpeg_quality=85, anomalies={"every_s": 12})
    one, two = span(settings, 20.0, 24.0), span(settings, 20.0, 24.0)
    assert len(one) == len(two) == 40 + 40 + 40
    assert all(
        same(a, b) and a.timestamp_ns == b.timestamp_ns for a, b in zip(one, two, strict=True)
    )


def test_starting_later_gives_the_same_samples_as_having_read_from_before():
    settings = site(anomalies={"every_s": 12})
    early, late = span(settings, 30.0, 38.0), span(settings, 35.0, 38.0)
    rest = [s for s in early if s.timestamp_ns >= START_NS + 35_000_000_000]
    assert len(rest) == len(late)
    assert all(
        same(a, b) and a.timestamp_ns == b.timestamp_ns for a, b in zip(rest, late, strict=True)
    )


def test_frames_asked_for_backwards_are_the_frames_asked_for_forwards():
    forward, backward = Reel(site()), Reel(site())
    numbers = list(range(600, 640))
    ahead = {k: forward.frame(k) for k in numbers}
    behind = {k: backward.frame(k) for k in reversed(numbers)}
    assert all(np.array_equal(ahead[k], behind[k]) for k in numbers)


def test_sound_does_not_depend_on_how_it_is_chunked():
    settings = site(anomalies={"every_s": 12})
    whole = Reel(settings).sound(100_000, 40_000)
    reel, parts, at = Reel(settings), [], 100_000
    for count in [1, 37, 4_000, 7_999, 12_345, 15_618]:
        parts.append(reel.sound(at, count))
        at += count
    assert np.array_equal(np.concatenate(parts), whole)


def test_the_length_of_audio_chunks_does_not_change_the_sound():
    short = of(span(site(audio_chunk_ms=20), 5.0, 8.0), "site-microphone")
    long = of(span(site(audio_chunk_ms=250), 5.0, 8.0), "site-microphone")
    assert np.array_equal(
        np.concatenate([s.data for s in short]), np.concatenate([s.data for s in long])
    )


def test_seconds_before_zero_and_days_later_exist_as_well():
    reel = Reel(site())
    for k in (-200, 10 * 86_400 * 7):
        assert reel.frame(k).shape == (64, 96, 3)
        assert np.isfinite(reel.reading(k)).all()
        assert reel.sound(k * 800, 800).shape == (800, 1)


def test_samples_come_in_the_order_of_their_stamps():
    found = span(site(), 3.33, 9.0)
    stamps = [s.timestamp_ns for s in found]
    assert stamps == sorted(stamps)
    assert stamps[0] >= START_NS + 3_330_000_000


def test_audio_is_gapless_and_cut_to_the_sample_at_both_ends():
    found = of(span(site(), 3.3305, 9.017), "site-microphone")
    assert found[0].position == 0
    assert found[0].timestamp_ns == START_NS + 26_644 * 125_000
    for a, b in pairwise(found):
        assert b.position == a.position + len(a.data)
    assert sum(len(s.data) for s in found) == 72_136 - 26_644


def test_samples_are_what_the_stream_infos_say():
    settings = site()
    infos = {i.name: i for i in Reel(settings).infos()}
    assert set(infos) == set(settings.stream_names())
    found = span(settings, 0.0, 1.0)
    frame, chunk = of(found, "site-camera")[0], of(found, "site-microphone")[0]
    reading = of(found, "site-sensors")[0]
    assert frame.data.shape == infos["site-camera"].shape
    assert (frame.encoding, frame.data.dtype) == (Encoding.RAW, np.uint8)
    assert (chunk.encoding, chunk.data.dtype, chunk.data.shape) == (
        Encoding.PCM,
        np.int16,
        (800, 1),
    )
    assert len(reading.data) == len(infos["site-sensors"].channels)
    assert all(i.stamp == "exact" for i in infos.values())


def test_frames_are_jpeg_of_the_same_picture_when_asked():
    raw, packed = Reel(site()).image(77), Reel(site(jpeg_quality=92)).image(77)
    assert packed[1] is Encoding.JPEG
    picture = simplejpeg.decode_jpeg(packed[0], colorspace="BGR").astype(float)
    assert np.abs(picture - raw[0]).mean() < 6.0


def test_streams_set_to_null_are_left_out():
    settings = site(video=None, sensor=None)
    assert settings.modalities == {Modality.AUDIO}
    assert {s.stream for s in span(settings, 0.0, 1.0)} == {"site-microphone"}


def test_another_seed_is_another_day_at_the_same_place():
    one, two = Reel(site(seed=1)), Reel(site(seed=2))
    assert one.world.place == two.world.place
    assert not np.array_equal(one.reading(100), two.reading(100))
    assert not np.array_equal(one.sound(0, 8000), two.sound(0, 8000))
    rooms = [np.median([r.frame(k) for k in range(0, 1200, 60)], axis=0) for r in (one, two)]
    assert np.abs(rooms[0] - rooms[1]).mean() < 25.0


def test_places_differ_in_view_and_sound():
    looks, gears = [], set()
    for place in range(4):
        reel = Reel(site(place=place))
        looks.append(reel.frame(50).astype(float))
        gears.add(reel.world.place.machine.gear)
    assert len(gears) > 2
    for a in range(4):
        for b in range(a):
            assert np.abs(looks[a] - looks[b]).mean() > 12.0


@pytest.mark.parametrize("place", [1, 2])
def test_a_site_looks_sounds_and_reads_as_it_did_when_this_was_written(place):
    expected = json.loads(GOLDEN.read_text())[str(place)]
    got = portrait(place)
    assert got["visits"] == pytest.approx(expected["visits"], abs=0.002)
    assert np.abs(np.array(got["thumbnail"]) - expected["thumbnail"]).max() <= 4
    assert got["bands_db"] == pytest.approx(expected["bands_db"], abs=0.5)
    assert got["reading"] == pytest.approx(expected["reading"], abs=0.02)


def portrait(place: int) -> dict:
    """Coarse enough not to depend on the version of NumPy's sine or OpenCV's anti-aliasing."""
    reel = Reel(site(place=place, seed=4))
    frame = reel.frame(300).astype(float)
    sound = reel.sound(80_000, 80_000)[:, 0] / 32768
    power = np.abs(np.fft.rfft(sound)) ** 2
    edges = np.geomspace(20, 4000, 9) * 10
    visits = reel.world.visits.slots.between(0.0, 300.0)
    return {
        "visits": [round(v.start_s, 4) for v in visits],
        "thumbnail": frame.reshape(8, 8, 12, 8, 3).mean(axis=(1, 3)).round(1).tolist(),
        "bands_db": [
            round(float(10 * np.log10(power[int(a) : int(b)].mean())), 2)
            for a, b in pairwise(edges)
        ],
        "reading": reel.reading(300).tolist(),
    }


def rewrite_golden() -> None:
    """Run ``python -m tests.unit.test_scene_streams`` after a change that is meant to show."""
    text = json.dumps({str(place): portrait(place) for place in (1, 2)}, indent=None)
    GOLDEN.write_text(text + "\n")


if __name__ == "__main__":
    rewrite_golden()
