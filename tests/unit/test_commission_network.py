"""A trained network of a scene as a detector of its model."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from nodes.train_scene import saved_network
from pipeline.core.errors import ModelError, ModelFileError
from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import SensorSlice, TextSlice, Window
from pipeline.detection.scorer import Scorer
from pipeline.models.checkpoint import KIND, load_model, save_model
from pipeline.models.fusion_model import FusionModel, FusionModelSettings
from pipeline.models.network_file import SavedNetwork
from pipeline.models.network_verdict import NetworkVerdict, verdict_of
from pipeline.models.quality import Quality
from pipeline.models.scene_model import SceneModel
from pipeline.models.settings import DetectorSettings, Evidence
from pipeline.models.stream_model import make_extractor
from pipeline.models.tensor_file import read_tensors
from pipeline.training.commissioning import commission
from pipeline.training.commissioning_report import CommissioningReport
from pipeline.training.labels import Label
from pipeline.training.metrics import auroc
from pipeline.training.network_rows import NetworkRows
from pipeline.training.scene_training import SceneTrainingSettings, build_network, train_scene
from tests.model_samples import one_thread  # noqa: F401 - a fixture
from tests.toy_causes import DATA, FIRST, HOP_NS, LENGTH_NS, STREAMS, readings, scene_of, windows
from tests.toy_site import CAMERA, MICROPHONE, SENSORS, Site

pytestmark = pytest.mark.usefixtures("one_thread")

SECONDS, LOOK_BACK, OVERLAP = 160, 4, 3
LOOP = {"steps": 60, "learning_rate": 6e-3, "evaluate_every": 20}
SETTINGS = SceneTrainingSettings.model_validate(
    {
        "network": {
            "encoders": {"sensor": {"type": "sensor_gru", "width": 16, "steps": 10}},
            "width": 16, "queries": 2, "fusion": {"type": "concat", "hidden": 32},
            "context": {"type": "gru", "hidden": 16},
        },
        "phases": [
            {"type": "alignment", "batch": 72, "loop": LOOP},
            {"type": "normality", "batch": 8, "run_s": 6.0, "windows": LOOK_BACK, "loop": LOOP},
        ],
        "data": DATA.model_dump(),
    }
)  # fmt: skip
DETECTOR = DetectorSettings(block_s=10.0, folds=3, evidence=(Evidence.BETWEEN,))
LATER, LIVE = FIRST + 10_000, FIRST + 20_000


@lru_cache(maxsize=1)
def network() -> NetworkVerdict:
    torch.set_num_threads(1)
    model = build_network(SETTINGS, STREAMS)
    normal = scene_of(model, readings(SECONDS))
    trained = train_scene(model, STREAMS, normal, SETTINGS, progress=lambda *_: None)
    assert trained.looks_back == LOOK_BACK
    return verdict_of(saved_network(trained, "toy"))


@lru_cache(maxsize=1)
def learnt() -> tuple[SceneModel, CommissioningReport]:
    """Commissioned from other normal time than the network was trained on."""
    later = windows(readings(200, seed=3), LATER)
    return commission("toy", later, DETECTOR, network=network())


def live(seed: int = 5, seconds: int = 60, labels: tuple[Label, ...] = ()) -> list[Window]:
    return windows(readings(seconds, seed, labels), LIVE)


def levels(model: SceneModel, shown: list[Window]) -> np.ndarray:
    scores = Scorer({"toy": model}).score(shown)[LOOK_BACK - 1 :]  # of those before it is silent
    return np.array([-np.log10(score.detectors["network"]) for score in scores])


def test_it_is_a_detector_that_is_calibrated_by_windows_new_to_it():
    model, report = learnt()
    assert model.names[-2:] == ("network/a", "network/b")
    assert np.isfinite(model.held.scores[LOOK_BACK - 1 :]).all()
    assert report.detectors["network"].windows == len(model.held.end_ns) - LOOK_BACK + 1
    assert 0.2 < report.detectors["network"].median < 0.4
    assert any("a trained network, too" in told for told in report.abilities.can)


def test_streams_that_do_not_belong_together_are_found_by_it_and_usual_ones_are_not():
    model, _ = learnt()
    right, wrong = levels(model, live()), levels(model, live(labels=(Label(0.0, 60.0, "apart"),)))
    truth = np.repeat([False, True], [len(right), len(wrong)])
    assert auroc(truth, np.concatenate([right, wrong])) > 0.9
    assert (right > 2).mean() < 0.05


def test_what_it_says_is_put_in_words_and_explained_as_between_streams():
    model, _ = learnt()
    shown = live(labels=(Label(0.0, 60.0, "apart"),))
    scores = [s for s in Scorer({"toy": model}).score(shown) if "network" in s.notes]
    assert scores
    loudest = min(scores, key=lambda score: score.detectors["network"])
    assert "do not" in loudest.notes["network"]
    assert loudest.explanation is not None
    assert set(loudest.explanation.contributions) == {"a", "b"}


def test_an_encoder_of_the_detectors_own_features_does_not_make_them_twice():
    site = Site(streams=(CAMERA, MICROPHONE, SENSORS))
    frozen = {modality.value: "frozen_features" for modality in (s.modality for s in site.streams)}
    network = FusionModelSettings.model_validate({"encoders": frozen})
    chosen = SETTINGS.model_copy(update={"network": network})
    memo = {"length_ns": LENGTH_NS, "hop_ns": HOP_NS, "picture_cells": 144, "windows": 4}
    model = build_network(chosen, site.streams)
    saved = SavedNetwork(model, site.streams, "scene", memo=memo | {"learnt": ()})
    verdict, window = verdict_of(saved), site.window(0)
    for name, part in window.slices.items():
        features = make_extractor(part.info, DetectorSettings()).extract(part)
        assert features is not None
        nothing_seen = replace(part, coverage=0.0)
        if isinstance(nothing_seen, SensorSlice):
            nothing_seen = replace(nothing_seen, present=np.zeros_like(nothing_seen.present))
        spared, own = verdict.prepare(nothing_seen, features), verdict.prepare(part)
        assert own is not None and spared is not None
        np.testing.assert_array_equal(spared, own)
        few = replace(features, places=features.places[:1])  # those of another detector
        assert verdict.prepare(nothing_seen, few) is None, name


@pytest.mark.parametrize("kind", ["text", "frozen_features"])
def test_a_live_line_is_to_it_what_the_same_line_was_on_import(kind: str) -> None:
    """Import takes the time off that a line tells; what is read live has it still."""
    info = StreamInfo("log", Modality.TEXT)
    saying, told = "May  1 12:00:00 host app: ready", "host app: ready"
    live, imported = (TextSlice(info, np.zeros(1, np.int64), (x,), 1.0) for x in (saying, told))
    for timeless in (True, False):
        options = {"encoders": {"text": kind}, "timeless_lines": timeless}
        network = FusionModel(FusionModelSettings.model_validate(options), [info])
        seen, as_imported = network.prepare_stream(live), network.prepare_stream(imported)
        assert seen is not None and as_imported is not None
        assert np.array_equal(seen, as_imported, equal_nan=True) is timeless


def test_lines_that_the_detector_reads_otherwise_are_made_for_it() -> None:
    info = StreamInfo("log", Modality.TEXT)
    part = TextSlice(info, np.zeros(1, np.int64), ("May  1 12:00:00 host app: ready",), 1.0)
    options = {"encoders": {"text": "frozen_features"}, "timeless_lines": False}
    network = FusionModelSettings.model_validate(options)
    memo = {"length_ns": LENGTH_NS, "hop_ns": HOP_NS, "picture_cells": 144, "windows": 4}
    chosen = SETTINGS.model_copy(update={"network": network})
    streams = (info, SENSORS)
    model = build_network(chosen, streams)
    verdict = verdict_of(SavedNetwork(model, streams, "scene", memo=memo | {"learnt": ()}))
    features = make_extractor(info, DetectorSettings()).extract(part)
    assert features is not None
    np.testing.assert_array_equal(verdict.prepare(part, features), verdict.prepare(part))


def test_what_it_learnt_from_does_not_calibrate_it():
    same = windows(readings(SECONDS))
    model, report = commission("toy", same, DETECTOR, network=network())
    known = set(scene_of(network().saved.network, readings(SECONDS)).split(DATA).learn.tolist())
    new = np.isfinite(model.held.scores[:, -1])
    assert report.detectors["network"].windows == new.sum()
    for at in np.flatnonzero(new):  # neither overlaps what was learnt, nor looks back on it
        assert not known & set(range(at - OVERLAP - LOOK_BACK + 1, at + OVERLAP + 1))
    assert new.sum() >= 60
    assert any(f"calibrated by the {new.sum() / 120:.1f} minutes" in w for w in report.warnings)
    assert not any("calibrated by the" in w for w in learnt()[1].warnings)
    assert np.isfinite(model.held.scores[:, 0]).all()


def test_recordings_that_it_knows_by_heart_are_refused():
    with pytest.raises(ModelError, match=r"only \d+ windows .* new to it.*held_every"):
        commission("toy", windows(readings(SECONDS))[:200], DETECTOR, network=network())


def test_the_model_file_keeps_it_to_the_last_bit(tmp_path: Path):
    model, _ = learnt()
    saved = save_model(model, tmp_path / "toy.model")
    loaded = load_model(tmp_path / "toy.model")
    assert loaded.digest == saved.digest
    assert loaded.network is not None
    assert loaded.network.memo == network().memo
    ours, theirs = (Scorer({"toy": one}, "cpu").score(live()) for one in (saved, loaded))
    assert ours == theirs
    assert {"network"} <= ours[-1].detectors.keys()


def test_a_model_without_one_is_written_as_before(tmp_path: Path):
    model, _ = commission("toy", windows(readings(100, seed=3), LATER), DETECTOR)
    save_model(model, tmp_path / "toy.model")
    content = read_tensors(tmp_path / "toy.model", KIND)
    assert content.description.network is None
    assert not [name for name in content.tensors if name.startswith("network")]
    assert load_model(tmp_path / "toy.model").network is None


def test_a_network_that_does_not_fit_its_weights_is_refused(tmp_path: Path):
    model, _ = learnt()
    assert model.network is not None
    wide = model.network.saved.network.settings.model_copy(update={"width": 24})
    other = SavedNetwork(FusionModel(wide, STREAMS), STREAMS, "scene", memo={})
    strange = replace(model, network=NetworkVerdict(other, model.network.memo))
    save_model(strange, tmp_path / "toy.model")
    with pytest.raises(ModelFileError, match="its trained network"):
        load_model(tmp_path / "toy.model")


def test_it_is_silent_until_a_stream_that_was_missing_was_there_in_all_it_looks_back_on():
    model, _ = learnt()
    shown = live(seconds=12)
    away = 2 * LOOK_BACK
    shown[away] = replace(shown[away], slices={"a": shown[away].slices["a"]})
    scores = Scorer({"toy": model}, "cpu").score(shown)
    silent = [n for n, score in enumerate(scores) if "network" not in score.detectors]
    assert silent == [*range(LOOK_BACK - 1), *range(away, away + LOOK_BACK)]
    assert len(scores) > away + LOOK_BACK
    assert all(np.isfinite(score.p) for score in scores)


def test_windows_scored_one_by_one_and_after_a_crash_are_scored_as_in_a_row():
    model, _ = learnt()
    shown = live(seconds=12)
    whole = Scorer({"toy": model}, "cpu").score(shown)
    before, after = Scorer({"toy": model}, "cpu"), Scorer({"toy": model}, "cpu")
    first = [before.score([window])[0] for window in shown[:7]]
    after.restore("toy", before.state("toy"))
    assert [*first, *after.score(shown[7:])] == whole
    assert Scorer({"toy": model}, "cpu").score(shown[7:]) != whole[7:]  # it does look back


def test_it_counts_as_far_as_the_worst_of_its_streams_can_be_trusted():
    model, _ = learnt()
    exponents = model.exponents({"a": Quality(1.0), "b": Quality(0.3, "stuck")})
    assert exponents is not None
    assert exponents.shape == (len(model.names),)
    assert exponents[-2:].tolist() == [0.3, 0.3]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hop_ns": 10**9}, r"windows: 2 s every 0.5 s, but the network learnt 2 s every 1 s"),
        ({"picture_cells": 99}, r"cam: .*99 cells, the detector of 144.*picture_cells: 99"),
    ],
)
def test_windows_unlike_those_it_was_trained_on_are_refused(change: dict[str, int], says: str):
    memo = {"length_ns": LENGTH_NS, "hop_ns": HOP_NS, "picture_cells": 144, "windows": 4}
    site = untrained(memo | {"learnt": ()} | change)
    with pytest.raises(ModelError, match=says):
        NetworkRows(site, DetectorSettings()).add(Site(streams=(CAMERA, SENSORS)).window(0), {})


def test_streams_unlike_those_it_was_trained_on_are_refused():
    site = untrained({"length_ns": LENGTH_NS, "hop_ns": HOP_NS, "picture_cells": 144,
                      "windows": 4, "learnt": ()})  # fmt: skip
    rows = NetworkRows(site, DetectorSettings())
    with pytest.raises(ModelError, match=r"knows stream 'plc', which is not there"):
        rows.add(Site(streams=(CAMERA,)).window(0), {})
    other = replace(SENSORS, channels=("current", "warmth", "door"))
    with pytest.raises(ModelError, match=r"plc: the list of channels.*train the network again"):
        rows.add(Site(streams=(CAMERA, other)).window(0), {})


def test_a_network_without_the_phase_says_what_it_lacks():
    saved = network().saved
    with pytest.raises(ModelError, match="phase 'normality' last"):
        verdict_of(replace(saved, memo={"scene": "toy"}))  # fine-tuned since
    with pytest.raises(ModelError, match="remembers cannot be used"):
        verdict_of(replace(saved, memo=saved.memo | {"windows": "many"}))
    bare = FusionModel(FusionModelSettings(), STREAMS)
    with pytest.raises(ModelError, match="which stream was swapped"):
        verdict_of(replace(saved, network=bare))


def untrained(memo: dict[str, object]) -> NetworkVerdict:
    streams = (CAMERA, SENSORS)
    return verdict_of(SavedNetwork(build_network(SETTINGS, streams), streams, "scene", memo=memo))
