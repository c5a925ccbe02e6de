"""Each anomaly of the synthetic site is physically there, exactly within its label."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.core.errors import ConfigError
from pipeline.core.sample import Modality
from pipeline.sources.scene import SceneSourceSettings, labels, write_labels
from pipeline.sources.synthetic.reel import Reel
from pipeline.sources.synthetic.settings import VARIANTS, Kind

AT_S, LENGTH_S = 41.3, 6.0
FROM_S, TO_S = 38, 51
SIZE = (96, 64)
CASES = [(kind, variant) for kind in Kind for variant in VARIANTS[kind]]


def site(anomalies, **more):
    given = {"place": 2, "seed": 5, "size": SIZE, "audio_hz": 8000, "jpeg_quality": None}
    return SceneSourceSettings(**(given | {"anomalies": anomalies} | more))


class Normal:
    """The site without anomalies, rendered once."""

    def __init__(self) -> None:
        reel = Reel(site("none"))
        self.frames = {k: reel.frame(k) for k in range(FROM_S * 10, TO_S * 10)}
        self.pcm = reel.sound(FROM_S * 8000, (TO_S - FROM_S) * 8000)
        self.reading = reel.reading


def differing_s(reel: Reel, normal: Normal) -> dict[Modality, np.ndarray]:
    """Scene seconds at which the samples differ from the normal ones, by modality."""
    frames, first = normal.frames, FROM_S * 8000
    video = [k / 10 for k in frames if not np.array_equal(reel.frame(k), frames[k])]
    audio = np.nonzero((reel.sound(first, len(normal.pcm)) != normal.pcm)[:, 0])[0]
    sensor = [k / 10 for k in frames if not np.array_equal(reel.reading(k), normal.reading(k))]
    found = {
        Modality.VIDEO: np.array(video),
        Modality.AUDIO: (audio + first) / 8000,
        Modality.SENSOR: np.array(sensor),
    }
    return {modality: times for modality, times in found.items() if len(times)}


@pytest.fixture(scope="module")
def normal() -> Normal:
    return Normal()


@pytest.mark.parametrize(("kind", "variant"), CASES)
def test_an_anomaly_changes_exactly_the_modalities_and_the_span_of_its_label(normal, kind, variant):
    one = {"kind": kind, "at_s": AT_S, "duration_s": LENGTH_S, "variant": variant}
    settings = site([one])
    (label,) = labels(settings, from_s=0, to_s=100)
    found = differing_s(Reel(settings), normal)

    assert (label.kind, label.variant) == (kind, variant)
    assert {str(m) for m in found} == set(label.altered)
    for times in found.values():
        assert times.min() >= label.start_s
        assert times.max() < label.end_s
    assert label.start_s >= AT_S - 0.01
    assert label.end_s <= AT_S + LENGTH_S + 0.01
    assert min(t.min() for t in found.values()) <= label.start_s + 0.8
    assert max(t.max() for t in found.values()) >= label.end_s - 1.0


@pytest.mark.parametrize("variant", VARIANTS[Kind.V])
def test_the_box_of_an_object_holds_the_pixels_that_changed(normal, variant):
    one = {"kind": "V", "at_s": AT_S, "duration_s": LENGTH_S, "variant": variant}
    settings = site([one])
    (label,) = labels(settings, from_s=0, to_s=100)
    reel = Reel(settings)
    changed = np.zeros((SIZE[1], SIZE[0]))
    for k in range(416, 470, 6):
        changed += np.abs(reel.frame(k).astype(int) - normal.frames[k]).sum(axis=2) > 90
    rows, columns = np.nonzero(changed)
    assert len(rows) > 0
    x0, y0, x1, y1 = label.box
    inside = (columns >= x0 * SIZE[0] - 3) & (columns <= x1 * SIZE[0] + 3)
    inside &= (rows >= y0 * SIZE[1] - 3) & (rows <= y1 * SIZE[1] + 3)
    assert inside.mean() > 0.95


def test_somebody_silent_is_seen_by_the_motion_sensor_but_is_not_heard(normal):
    settings = site([{"kind": "X1", "at_s": AT_S, "duration_s": LENGTH_S}])
    (label,) = labels(settings, from_s=0, to_s=100)
    assert label.modalities == ("audio", "video")
    assert label.altered == ("sensor", "video")
    reel, middle = Reel(settings), round((label.start_s + label.end_s) * 5)
    assert reel.reading(middle)[4] == 1.0
    assert np.array_equal(reel.sound(FROM_S * 8000, len(normal.pcm)), normal.pcm)


def test_a_shifted_modality_shows_another_time_of_the_same_world(normal):
    one = {"kind": "X4", "at_s": AT_S, "duration_s": LENGTH_S, "variant": "sensor"}
    reel = Reel(site([one]))
    (anomaly,) = reel.plan.between(0.0, 100.0)
    by = round(anomaly.shift.by_s * 10)
    assert abs(anomaly.shift.by_s) >= 1.5
    assert np.array_equal(reel.reading(440), normal.reading(440 + by))


def test_a_schedule_goes_through_its_kinds_and_leaves_room_between():
    settings = site({"every_s": 15, "kinds": ["V", "X2", "S"], "first_s": 10}, duration_s=200)
    found = labels(settings)
    assert [label.kind for label in found[:6]] == ["V", "X2", "S", "V", "X2", "S"]
    gaps = [b.start_s - a.end_s for a, b in pairwise(found)]
    assert min(gaps) > 0


def test_a_schedule_can_bring_the_same_again_at_its_next_turn():
    wanted = {"every_s": 15, "kinds": ["V", "A"], "again_after": 2}
    reel = Reel(site(wanted))
    thing, sound, again, once_more = reel.plan.between(0.0, 75.0)
    assert (thing.variant, thing.box) == (again.variant, again.box)
    assert np.array_equal(sound.sounding.wave, once_more.sounding.wave)
    assert once_more.start_s - sound.start_s == pytest.approx(30.0)


def test_a_schedule_names_only_what_the_streams_can_show():
    settings = site({"every_s": 15}, duration_s=300, video=None)
    assert {label.kind for label in labels(settings)} == {"A", "S", "X3", "X4"}
    assert all("video" not in label.modalities for label in labels(settings))


def test_labels_do_not_depend_on_the_span_they_are_asked_for():
    settings = site({"every_s": 15})
    everything = labels(settings, from_s=0, to_s=400)
    later = labels(settings, from_s=200, to_s=400)
    assert later == [label for label in everything if label.end_s > 200]


def test_labels_of_an_endless_schedule_need_an_end():
    with pytest.raises(ConfigError, match="duration_s"):
        labels(site({"every_s": 15}))


def test_written_labels_count_from_the_begin_of_the_recording(tmp_path):
    settings = site({"every_s": 15}, from_s=100.0, duration_s=60.0)
    path = tmp_path / "labels.json"
    written = write_labels(settings, path)
    read = json.loads(path.read_text())
    assert len(read) == len(written) >= 3
    assert {"start_s", "end_s", "kind", "modalities", "altered", "box"} <= read[0].keys()
    absolute = labels(settings)
    assert read[0]["start_s"] == pytest.approx(absolute[0].start_s - 100.0, abs=1e-5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"anomalies": [{"kind": "X1", "at_s": 5}], "audio": None}, "switched off"),
        ({"anomalies": [{"kind": "V", "at_s": 5, "variant": "cow"}]}, "write one of: crate"),
        ({"anomalies": {"every_s": 6, "duration_s": 6}}, "not be longer than every_s"),
        ({"video": None, "audio": None, "sensor": None}, "at least one"),
        ({"video": "a", "audio": "a"}, "different names"),
        ({"size": (8, 8)}, "between 32 and 4096"),
        ({"speed": -1}, "not be negative"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_a_reason(wrong, words):
    with pytest.raises(ValidationError, match=words):
        SceneSourceSettings(**wrong)
