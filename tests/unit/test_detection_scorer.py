from dataclasses import replace

import numpy as np
import pytest
import simplejpeg
import torch

from pipeline.core.errors import BadReading, ModelError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.picture_cells import cells_of_cameras
from pipeline.detection.scorer import Scorer, calibration_of
from pipeline.models.scene_model import SceneModel
from pipeline.models.window_vectors import vector_widths, window_vectors
from tests.toy_site import CAMERA, FIRST, HOP_NS, MICROPHONE, SENSORS, Site, commissioned

LIVE = 5000
WRONG = {"object": "video:cam", "sound": "audio:mic", "sensor": "plc", "text": "log"}


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer({"hall": commissioned()[0]}, "cpu")


@pytest.fixture(scope="module")
def normal(scorer):
    return scorer.score(list(Site(seed=1).windows(LIVE, 240)))


def auroc(normal: np.ndarray, strange: np.ndarray) -> float:
    higher = strange[:, None] < normal[None]
    return float((higher + 0.5 * (strange[:, None] == normal[None])).mean())


def p_values(scores) -> np.ndarray:
    return np.array([s.p for s in scores])


@pytest.mark.parametrize("wrong", list(WRONG))
def test_what_is_wrong_is_found_and_named(scorer, normal, wrong):
    site = Site(seed=1, wrong=wrong, wrong_from=LIVE, wrong_to=LIVE + 60)
    scores = scorer.score(list(site.windows(LIVE, 30)))
    assert auroc(p_values(normal), p_values(scores)) > 0.95
    worst = scores[10]
    own = [name for name in worst.notes if name.endswith(WRONG[wrong])]
    assert own, worst.notes
    assert worst.detectors[own[0]] < 1e-3


def test_windows_that_overlap_nearly_wholly_are_not_heard_in_a_row():
    model = commissioned()[0]
    assert calibration_of(model).lasting.windows == model.settings.lasting_windows > 1
    dense = replace(model, length_ns=20 * model.hop_ns)
    assert calibration_of(dense).lasting.windows == 1


def test_notes_say_where_which_and_how_much(scorer):
    def note(wrong: str, detector: str) -> str:
        site = Site(seed=1, wrong=wrong, wrong_from=LIVE, wrong_to=LIVE + 60)
        return scorer.score([site.window(LIVE + 10)])[0].notes[detector]

    assert note("object", "video:cam").endswith(("at upper", "at upper right"))
    assert note("sound", "audio:mic").endswith("louder than usual")
    assert "kHz" in note("sound", "audio:mic")
    assert note("sensor", "sensor:plc").startswith("heat higher than usual (seen 3")
    assert "kernel panic" in note("text", "text:log")


def test_p_values_of_fresh_normal_are_about_uniform(normal):
    p = p_values(normal)
    for level in (0.1, 0.3, 0.5):
        assert 0.3 < (p <= level).mean() / level < 1.8


def test_fresh_normal_stays_within_a_factor_of_the_budget(scorer, normal):
    rules = AlarmSettings(budget="60/hour")
    alarm = Alarm(rules, "hall", scorer.budget("hall", rules).threshold, HOP_NS)
    raised = sum(t.phase.value == "raised" for s in normal for t in alarm.update(s))
    expected = 60 * len(normal) * HOP_NS / 3.6e12
    assert raised <= 4 * expected


def test_a_score_does_not_depend_on_what_is_scored_with_it(scorer):
    site = Site(seed=1, wrong="object", wrong_from=LIVE + 5, wrong_to=LIVE + 9)
    windows = list(site.windows(LIVE, 12))
    windows[3] = Site(seed=1, missing=frozenset({"mic"})).window(LIVE + 3)
    alone = [scorer.score([w])[0] for w in windows]
    assert scorer.score(windows) == alone
    assert scorer.score(windows[:5]) + scorer.score(windows[5:]) == alone
    assert [s for i in range(0, 12, 5) for s in scorer.score(windows[i : i + 5])] == alone


@pytest.mark.parametrize("at_once", [2, 7, 40])
def test_windows_in_a_row_are_scored_together_as_one_by_one_to_the_bit(at_once):
    model = commissioned()[0]
    away = (frozenset(), frozenset({"mic"}), frozenset({"cam", "log"}), frozenset())
    windows = [
        Site(
            seed=1, wrong="object", wrong_from=LIVE + 5, wrong_to=LIVE + 9, missing=away[i // 10]
        ).window(LIVE + i)
        for i in range(40)
    ]
    alone, together = (Scorer({"hall": model}, "cpu") for _ in range(2))
    expected = [score for window in windows for score in alone.score([window])]
    found = [s for i in range(0, 40, at_once) for s in together.score(windows[i : i + at_once])]
    assert found == expected
    assert together.state("hall") == alone.state("hall")


def test_a_model_asked_at_once_has_gaps_where_streams_were_not_seen():
    model = commissioned()[0]
    windows = [model.features(w) for w in Site(seed=1).windows(LIVE, 6)]
    windows[2] = {k: v for k, v in windows[2].items() if k != "cam"}
    cpu = torch.device("cpu")
    together, places, _ = model.score(windows, range(6), model.past(), cpu)
    alone = np.concatenate([model.score([w], [0], model.past(), cpu)[0] for w in windows])
    np.testing.assert_allclose(together, alone, rtol=1e-9, atol=1e-9)
    unseen = [n for n, score in zip(model.names, together[2], strict=True) if np.isnan(score)]
    own = [n for n in model.names if n.startswith(("video:cam/", "things:cam/"))]
    assert unseen[: len(own)] == own
    whole = ["between/cam", "between/mic", "between/plc", "between/log"]
    assert {n for n in unseen[len(own) :] if "|" not in n} == set(whole)
    assert all("cam" in n for n in unseen[len(own) :] if "|" in n)
    assert set(places[2]) == {"mic", "plc", "log"}


def test_who_watches_is_shown_what_was_seen_in_each_window_in_their_order(monkeypatch):
    model, looks, made = commissioned()[0], [], []
    extracted = SceneModel.features
    monkeypatch.setattr(
        SceneModel, "features", lambda self, window: made.append(1) or extracted(self, window)
    )
    windows = list(Site(seed=1).windows(LIVE, 3))
    windows[1] = Site(seed=1, missing=frozenset({"mic"})).window(LIVE + 1)
    scores = Scorer({"hall": model}, "cpu", looks.append).score(windows)
    vectors = [
        window_vectors(model, look, score.detectors)
        for look, score in zip(looks, scores, strict=True)
    ]
    assert len(made) == len(windows)  # and not once more for the vectors
    assert [look.window.index for look in looks] == [window.index for window in windows]
    assert set(vectors[0]) - set(vectors[1]) == {"mic"}
    widths = vector_widths(model)
    assert {name: len(one) for name, one in vectors[0].items()} == widths


def test_scenes_are_scored_side_by_side_with_their_own_models():
    model = commissioned()[0]
    both = Scorer({"hall": model, "yard": replace(model, scene="yard")}, "cpu")
    here, there = Site(seed=1), Site(seed=2, scene="yard")
    mixed = [here.window(LIVE), there.window(LIVE), here.window(LIVE + 1)]
    scores = both.score(mixed)
    assert [s.scene for s in scores] == ["hall", "yard", "hall"]
    assert scores[1] == both.score([mixed[1]])[0]


@pytest.mark.parametrize("stream", ["cam", "mic", "plc", "log"])
def test_a_missing_stream_is_named_and_costs_no_false_alarms(scorer, stream):
    site = Site(seed=1, missing=frozenset({stream}))
    scores = scorer.score(list(site.windows(LIVE, 40)))
    assert all(s.missing == (stream,) for s in scores)
    assert not any(name.endswith(f":{stream}") for s in scores for name in s.detectors)
    p = p_values(scores)
    assert np.isfinite(p).all()
    assert (p < 0.01).mean() < 0.2


def test_what_remains_still_finds_what_it_can(scorer):
    site = Site(0, "sound", LIVE, LIVE + 60, missing=frozenset({"cam", "plc"}))
    scores = scorer.score(list(site.windows(LIVE, 20)))
    assert np.median(p_values(scores)) < 1e-2


def test_nothing_seen_is_not_anomalous(scorer):
    site = Site(seed=1, missing=frozenset({"cam", "mic", "plc", "log"}))
    score = scorer.score([site.window(LIVE)])[0]
    assert score.p == 1.0
    assert score.detectors == {}
    assert score.missing == ("cam", "mic", "plc", "log")


def test_a_stream_that_is_not_in_the_window_is_missing(scorer):
    score = scorer.score([Site(seed=1, streams=(CAMERA, SENSORS)).window(LIVE)])[0]
    assert score.missing == ("mic", "log")
    assert 0 < score.p <= 1


def test_scores_carry_the_windows_place_in_time(scorer):
    score = scorer.score([Site(seed=1).window(LIVE)])[0]
    assert score.index == FIRST + LIVE
    assert score.start_ns == score.index * HOP_NS
    assert score.uncertainty_ns == 1000


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"shape": (100, 60, 3)}, "the shape"),
        ({"rate_hz": 30.0}, "the rate"),
        ({"modality": Modality.AUDIO}, "the modality"),
        ({"name": "other"}, "does not know stream"),
    ],
)
def test_a_stream_unlike_the_learnt_one_is_refused(scorer, change, says):
    with pytest.raises(ModelError, match=says):
        scorer.check("hall", [replace(CAMERA, **change)])


def test_other_channels_rates_and_units_are_refused(scorer):
    with pytest.raises(ModelError, match="channels"):
        scorer.check("hall", [replace(SENSORS, channels=("heat", "current", "door"))])
    with pytest.raises(ModelError, match="the unit is V, but"):
        scorer.check("hall", [replace(SENSORS, unit="V")])
    with pytest.raises(ModelError, match="the unit is A, none, V, but"):
        scorer.check("hall", [replace(SENSORS, units=("A", "", "V"))])
    with pytest.raises(ModelError, match="rate"):
        scorer.check("hall", [replace(MICROPHONE, rate_hz=16000)])


def test_a_camera_of_the_same_aspect_is_accepted():
    model = commissioned()[0]
    camera = replace(CAMERA, shape=(720, 1280, 3))
    large = replace(model, streams=(replace(model.streams[0], info=camera),))
    large.check(replace(camera, shape=(360, 640, 3)))
    with pytest.raises(ModelError, match="the shape"):
        large.check(replace(camera, shape=(480, 640, 3)))


def test_windows_of_another_length_are_refused(scorer):
    window = Site(seed=1).window(LIVE)
    with pytest.raises(ModelError, match=r"windows of 4\.0 s"):
        scorer.score([replace(window, end_ns=window.start_ns + 4 * 10**9)])


def test_scenes_that_share_a_camera_want_pictures_of_one_size():
    model = commissioned()[0]
    finer = replace(model, settings=model.settings.model_copy(update={"picture_cells": 36}))
    with pytest.raises(ModelError, match=r"'hall' .* of 144 cells, .* 'yard' of 36") as refused:
        Scorer({"hall": model, "yard": finer}, "cpu")
    assert refused.value.where == "cam"
    assert "the picture_cells of the other" in refused.value.fix
    sound = replace(finer, streams=[s for s in finer.streams if s.info.name != "cam"])
    assert cells_of_cameras({"hall": model, "yard": sound}) == {"cam": 144}


def test_pictures_as_small_as_the_camera_gives_them_are_of_one_size():
    def learnt(cells: int) -> SceneModel:
        model = commissioned()[0]
        (camera,) = (s for s in model.streams if s.info.name == "cam")
        small = replace(camera, info=replace(camera.info, shape=(30, 40, 3)))
        settings = model.settings.model_copy(update={"picture_cells": cells})
        return replace(model, settings=settings, streams=[small])

    assert cells_of_cameras({"hall": learnt(144), "yard": learnt(100)}) == {"cam": 144}


def test_a_scene_without_model_is_refused(scorer):
    with pytest.raises(ModelError, match="no model"):
        scorer.score([replace(Site().window(0), scene="cellar")])


def test_cuda_is_refused_where_there_is_none():
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ModelError, match="no CUDA"):
        Scorer({}, "cuda")
    assert Scorer({}, "auto").device.type == "cpu"


def test_prepare_shrinks_pictures_and_leaves_the_rest(scorer):
    frame = np.full((480, 800, 3), 90, np.uint8)
    jpeg = Sample("cam", 0, 0, simplejpeg.encode_jpeg(frame), Encoding.JPEG)
    small = scorer.prepare(jpeg)
    assert small.encoding is Encoding.RAW
    assert small.data.shape == (90, 150, 3)
    line = Sample("log", 0, 0, "hello", Encoding.UTF8)
    assert scorer.prepare(line) is line
    with pytest.raises(BadReading):
        scorer.prepare(Sample("cam", 0, 0, b"broken", Encoding.JPEG))


def test_an_unknown_camera_is_prepared_like_any(scorer):
    info = StreamInfo("new", Modality.VIDEO, 5, (480, 800, 3))
    sample = Sample(info.name, 0, 0, np.zeros(info.shape, np.uint8), Encoding.RAW)
    assert scorer.prepare(sample).data.shape == (90, 150, 3)
