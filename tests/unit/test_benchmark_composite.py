from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.core.explanation import Box
from pipeline.detection.score import WindowScore
from pipeline.models.settings import DetectorSettings
from pipeline.training.labels import Label
from tests.benchmarks.real.composite import Variant, measure, table
from tests.benchmarks.real.composite_answers import answered
from tests.benchmarks.real.composite_cause import (
    DOOR,
    HEARD,
    HUM,
    Activity,
    Cue,
    Script,
    Span,
    Visit,
    running,
)
from tests.benchmarks.real.composite_figures import RULES, alarms, levels, pictured
from tests.benchmarks.real.composite_material import Clip, CutOut, Material, Session
from tests.benchmarks.real.composite_parts import LENGTH_S, Stretch, kept, render
from tests.benchmarks.real.composite_readings import CODES, readings
from tests.benchmarks.real.composite_script import BETWEEN, SHIFT_S, Kind, make_script
from tests.benchmarks.real.composite_streams import Shown, pictures, sound
from tests.benchmarks.synthetic_sites import HOP_NS, HOPS, SCENE, SOUND_HZ, START_NS, Part
from tests.explained_samples import with_

EMPTY, COMING, STAYING, LEAVING, STRANGER = 40, 80, 120, 160, 220
CHANNELS = ("warmth", "damp", "current", "flow")


def stretch(grey: int, count: int) -> np.ndarray:
    return np.full((count, 36, 64, 3), grey, np.uint8)


def material() -> Material:
    """Grey pictures, steady tones and constant readings: each tells what it is."""
    tone = np.sin(np.arange(SOUND_HZ // 4) / 5).astype(np.float32)
    names = {DOOR, *(name for sounds in HEARD.values() for name in sounds)}
    activity = np.repeat([0, *CODES.values()], 400)
    return Material(
        clips=(Clip(stretch(COMING, 10), stretch(STAYING, 20), stretch(LEAVING, 10)),),
        empty=(stretch(EMPTY, 12),),
        strange=(CutOut(np.full((8, 8, 3), STRANGER, np.float64), np.ones((8, 8))),),
        floor=np.random.default_rng(0).normal(0, 1, SOUND_HZ).astype(np.float32),
        sounds={name: (tone,) for name in names},
        unseen=(tone,),
        hum=np.sin(np.arange(SOUND_HZ) / 20).astype(np.float32),
        climate=(Session(np.stack([activity, -activity], axis=1).astype(np.float64), activity),),
        running=np.tile([1.0, 2.0], (90, 1)) + np.arange(90)[:, None] % 2 * 0.01,
        resting=np.zeros(2),
        broken=np.full((90, 2), 5.0),
    )


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def inside(at_s: float, spans: list[tuple[float, float]], more_s: float = 0.0) -> bool:
    return any(low - more_s <= at_s <= high + more_s for low, high in spans)


def test_in_an_ordinary_script_all_streams_follow_one_cause():
    script = make_script(900, 5)
    assert not (script.labels or script.pasted or script.faults)
    assert len(script.pictured) == len(script.sensed) > 10
    for visit, sensed in zip(script.pictured, script.sensed, strict=True):
        assert 0 < sensed.start_s - visit.start_s < 2 and sensed.activity is visit.activity
        heard = {c.sort for c in script.cues if visit.start_s - 1 <= c.at_s <= visit.end_s + 1}
        assert {DOOR} < heard <= {DOOR, HUM, *HEARD[visit.activity]}
        assert (HUM in heard) == (visit.activity is Activity.MACHINE)
    visits = [(one.start_s, one.end_s) for one in script.pictured]
    assert all(inside(cue.at_s, visits, 1.0) for cue in script.cues)


def test_two_scripts_differ_and_one_is_always_the_same():
    assert make_script(300, 1) == make_script(300, 1)
    assert make_script(300, 1) != make_script(300, 2)


@pytest.fixture(scope="module")
def wrong() -> Script:
    return make_script(3600, 7, wrong=True)


def spans_of(script: Script, kind: Kind) -> list[tuple[float, float]]:
    found = [(one.start_s, one.end_s) for one in script.labels if one.kind == kind]
    assert len(found) >= 4
    return found


def test_what_one_stream_shows_is_where_the_label_says(wrong):
    assert spans_of(wrong, Kind.OBJECT) == [(one.start_s, one.end_s) for one in wrong.pasted]
    assert spans_of(wrong, Kind.FAULT) == [(one.start_s, one.end_s) for one in wrong.faults]
    backwards = [(one.start_s, one.end_s) for one in wrong.pictured if one.backwards]
    assert spans_of(wrong, Kind.REVERSED) == backwards
    unseen = [(c.at_s, c.at_s + (c.length_s or 0)) for c in wrong.cues if c.unseen]
    assert np.allclose(spans_of(wrong, Kind.SOUND), unseen)
    machine = [span for visit in wrong.sensed if (span := running(visit)) is not None]
    for low, high in spans_of(wrong, Kind.FAULT):
        assert inside(low, [(one.start_s, one.end_s) for one in machine])
        assert inside(high, [(one.start_s, one.end_s) for one in machine])


def test_what_no_stream_shows_alone_is_where_the_label_says(wrong):
    visits = [(one.start_s, one.end_s) for one in wrong.pictured]
    felt = [(one.start_s, one.end_s) for one in wrong.sensed]
    for low, high in spans_of(wrong, Kind.SILENT):
        assert (low, high) in visits
        assert not [c for c in wrong.cues if low - 0.5 < c.at_s < high]
    for low, high in spans_of(wrong, Kind.UNSEEN):
        assert not inside((low + high) / 2, visits) and not inside((low + high) / 2, felt)
        assert len([c for c in wrong.cues if low - 0.5 <= c.at_s <= high + 0.5]) >= 3
    for low, high in spans_of(wrong, Kind.SENSORS):
        middle = (low + high) / 2
        assert inside(middle, visits) != inside(middle, felt)
    for low, high in spans_of(wrong, Kind.SHIFTED):
        heard = [c.at_s for c in wrong.cues if low - 0.5 < c.at_s < high]
        assert SHIFT_S[0] - 0.5 <= min(heard) - low <= SHIFT_S[1] + 0.5


def test_outside_of_labels_nothing_is_wrong(wrong):
    visits = [(one.start_s, one.end_s) for one in wrong.pictured]
    labels = [(one.start_s, one.end_s) for one in wrong.labels]
    assert all(inside(cue.at_s, [*visits, *labels], 1.0) for cue in wrong.cues)
    for visit in wrong.pictured:
        if not any(low < visit.end_s and visit.start_s < high for low, high in labels):
            own = {c.sort for c in wrong.cues if visit.start_s - 1 < c.at_s < visit.end_s + 1}
            assert own <= {DOOR, HUM, *HEARD[visit.activity]}


def scene() -> Script:
    """A visit with the machine, and all that may be put in."""
    visit = Visit(4.0, 12.0, Activity.MACHINE)
    return Script(
        20.0,
        pictured=[visit],
        cues=[Cue(5.0, "knock", 3), Cue(16.0, "", 1, 2.0, unseen=True)],
        sensed=[visit],
        pasted=[Span(15.0, 17.0, 4)],
        faults=[Span(7.0, 9.0, 11)],
    )


def test_the_picture_shows_the_visit_and_the_stranger():
    shown = list(pictures(scene(), material(), 1))
    assert len(shown) == 200
    greys = {Shown.EMPTY: EMPTY, Shown.COMING: COMING, Shown.STAYING: STAYING}
    for at_s, what in ((2.0, Shown.EMPTY), (4.7, Shown.COMING), (8.0, Shown.STAYING)):
        picture, said = shown[round(at_s * 10)]
        assert said is what and abs(float(picture.mean()) - greys[what]) < 8
    assert shown[118][1] is Shown.LEAVING
    assert shown[130][1] is Shown.EMPTY
    assert [what is Shown.STRANGE for _, what in shown].count(True) == 20
    assert shown[160][0].max() > STRANGER - 20 > shown[180][0].max()


def test_a_visit_backwards_begins_with_leaving():
    script = Script(20.0, pictured=[Visit(4.0, 12.0, Activity.READ, backwards=True)])
    shown = list(pictures(script, material(), 1))
    assert abs(float(shown[47][0].mean()) - LEAVING) < 8
    assert {shown[at][1] for at in range(45, 115)} == {Shown.STRANGE}


def test_what_is_heard_is_heard_when_it_should_be():
    heard = sound(scene(), material(), 1).astype(np.float64)
    power = np.sqrt((heard.reshape(-1, SOUND_HZ // 4) ** 2).mean(axis=1))  # a quarter second each
    floor = np.median(power)
    loud = np.flatnonzero(power > 2 * floor) / 4
    assert loud[0] == 5.0 and set(loud[1:]) == set(np.arange(16.0, 18.0, 0.25))


def test_readings_follow_the_visit_the_machine_and_its_fault():
    found = readings(scene(), material(), 1)
    assert found.shape == (200, 4)
    at = {at_s: found[round(at_s * 10)] for at_s in (3.0, 6.5, 8.0, 11.5, 19.0)}
    assert np.allclose([at[3.0][0], at[11.5][0]], [0, CODES[Activity.MACHINE]], atol=0.5)
    assert np.allclose(at[6.5][2:], [1, 2], atol=0.05)
    assert np.allclose(at[8.0][2:], 5)
    assert np.allclose(at[19.0][2:], 0, atol=0.01)
    assert np.abs(np.diff(found[:, 0])).max() < 0.5  # one session goes over into another


def test_parts_are_kept_as_the_script_says(tmp_path):
    script = scene()
    script.labels.extend(make_script(600, 7, wrong=True).labels[:1])
    render(script, material(), 1, tmp_path / "one")
    made = kept([(script, tmp_path / "one")], Part.NORMAL, CHANNELS)
    assert made.part.labels[0].start_s == script.labels[0].start_s + made.part.begin_s
    windows = list(made.part.windows())
    shown = pictured(made.shown)
    assert len(windows) == len(shown) == 37
    assert shown[2 * 8] == Shown.STAYING and shown[0] == Shown.EMPTY
    assert windows[0].slices["sensors"].info.channels == CHANNELS


def scored(count: int, p: np.ndarray, first: int = 0) -> list[WindowScore]:
    starts = [START_NS + (first + n) * HOP_NS for n in range(count)]
    length = HOPS * HOP_NS
    return [
        WindowScore("site", at // HOP_NS, at, at + length, float(one))
        for at, one in zip(starts, p, strict=True)
    ]


def test_what_no_stream_shows_is_compared_with_the_same_picture():
    script = make_script(600, 7, wrong=True)
    label = replace(script.labels[0], start_s=500.0, end_s=520.0, kind=Kind.SILENT.value)
    shown = np.tile(np.repeat([Shown.EMPTY, Shown.STAYING], 40), 30)[:2000]
    by_picture = np.where(shown == Shown.STAYING, 1e-3, 0.5)
    normal, wrong = scored(900, by_picture[:900]), scored(1100, by_picture[900:], 900)
    found = levels(normal, wrong, [label], shown)
    assert found.kinds[Kind.SILENT] == 0.5  # the picture alone tells nothing
    assert np.isnan(found.kinds[Kind.OBJECT])
    truth = np.zeros(2000)
    truth[997:1040] = 5  # windows that hold a hop of it
    assert levels(normal, wrong, [label], shown, truth).between == 1.0


def test_alarms_beside_the_labels_lower_the_score_of_events():
    label = replace(make_script(600, 7, wrong=True).labels[0], start_s=100.0, end_s=110.0)
    p = np.full(1000, 0.5)
    p[200:214] = 1e-6
    found = alarms(scored(1000, np.full(1000, 0.5)), scored(1000, p), [label], 3.0)
    assert (found.f1, found.share(), found.false, found.beside) == (1.0, 1.0, 0, 0)
    p[600:610] = 1e-6
    found = alarms(scored(1000, p), scored(1000, p), [label], 3.0)
    assert found.f1 == pytest.approx(2 / 3) and found.beside == 1 and found.false == 2
    assert BETWEEN and found.per_hour > 0


@pytest.mark.parametrize("how", [{}, {"apart": True}, {"everybody": True}])
def test_a_small_site_is_learnt_judged_and_told(
    tmp_path: Path, one_thread, monkeypatch: pytest.MonkeyPatch, how: dict[str, bool]
):
    monkeypatch.setitem(LENGTH_S, Stretch.LEARN, 80)
    plan = {Part.TRAIN: (120, False), Part.NORMAL: (100, False), Part.WRONG: (170, True)}
    parts = {}
    for number, (part, (length_s, bad)) in enumerate(plan.items()):
        script = make_script(length_s, 20 + number, wrong=bad)
        render(script, material(), number, tmp_path / part)
        parts[part] = kept([(script, tmp_path / part)], part, CHANNELS)
    assert parts[Part.WRONG].part.labels
    found = measure(parts, Variant(DetectorSettings(evidence=()), **how))
    assert {"all", "video:camera", "audio:microphone", "loudness:microphone"} < set(found.rows)
    assert found.rows["all ones"].f1 == 0.0
    assert (found.alarms.normal_s == 0.0) is ("everybody" in how)
    said = "\n".join(table({"fusewatch": [found]}))
    for row in ("fusewatch", "sensor:sensors", "motion:camera", "random", "all ones"):
        assert f"\n{row} " in said


def loud(first: int, part_s: int, beside: float | None = None) -> list[WindowScore]:
    """Five seconds of something loud in the camera, in otherwise quiet scores, and what is said
    beside it in the last three."""
    made = []
    for number in range(part_s * 2):
        index = START_NS // HOP_NS + first + number
        seen = 20 <= number < 30
        detectors = {"video:camera": 1e-6 if seen else 0.5}
        if beside is not None:
            detectors["odd"] = 10.0**-beside if 24 <= number < 30 else 0.5
        why = with_(
            contributions={"camera": 6.0},
            boxes=(Box("camera", 0.4, 0.4, 0.6, 0.6, 6.0),),
            bands=(),
            channels=(),
        )
        start_ns = index * HOP_NS
        made.append(WindowScore(
            SCENE, index, start_ns, start_ns + HOPS * HOP_NS, min(detectors.values()), detectors,
            explanation=why if seen else None,
        ))  # fmt: skip
    return made


@pytest.mark.parametrize("beside", [None, 2.0, 4.0])
def test_answers_hold_back_what_was_answered_and_nothing_that_is_heard_beside_it(
    beside: float | None,
):
    normal, wrong = [*loud(0, 60), *loud(120, 60)], loud(240, 60, beside)
    begin_s = (wrong[20].end_ns - HOP_NS - START_NS) / 1e9
    kind = Kind.SILENT.value
    labels = [Label(begin_s, begin_s + 5.0, kind)]
    found, answers = answered(normal, wrong, labels, threshold=3.0)
    assert answers == 1  # the second is like it
    (pair,) = found.found
    assert (pair[1] is not None) is (beside == 4.0)
    assert found.beside == 0
    if pair[1] is not None:
        assert 2.0 <= pair[1].raised_s - begin_s <= 2.0 + RULES.clear_after_s + 1.0
