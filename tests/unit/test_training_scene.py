"""Training a scene phase by phase: repeatable, resumable, reported."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.core.errors import ModelError
from pipeline.models.checkpoint import load_model
from pipeline.models.network_file import load_network
from pipeline.training.labelled import LabelledScene, kinds_of, label_scene
from pipeline.training.scene_training import (
    SceneTraining,
    SceneTrainingSettings,
    build_network,
    train_scene,
)
from pipeline.training.scene_training_report import as_json, write_report
from tests.command_line import fusewatch
from tests.model_samples import one_thread  # noqa: F401 - a fixture
from tests.toy_causes import DATA, FIRST, HOP_NS, STREAMS, events, readings, scene_of

pytestmark = pytest.mark.usefixtures("one_thread")

SECONDS = 90
LOOP = {"steps": 6, "evaluate_every": 2}
ENCODER = {"type": "sensor_gru", "width": 16, "steps": 6}
SETTINGS = {
    "network": {
        "encoders": {"sensor": ENCODER}, "width": 16, "queries": 2,
        "fusion": {"type": "concat", "hidden": 16}, "context": {"type": "gru", "hidden": 16},
    },
    "phases": [
        {"type": "self_supervision", "batch": 16, "loop": LOOP},
        {"type": "alignment", "batch": 24, "loop": LOOP},
        {"type": "normality", "batch": 4, "run_s": 4.0, "windows": 4, "loop": LOOP},
        {"type": "fine_tune", "batch": 16, "loop": LOOP, "held": DATA.model_dump()},
    ],
    "data": DATA.model_dump(),
}  # fmt: skip
SMALL = SceneTrainingSettings.model_validate(SETTINGS)
PHASES = ["self_supervision", "alignment", "normality", "fine_tune"]


class CutOff(Exception):
    """The machine fails."""


def train(
    folder: Path | None = None,
    *,
    labels: bool = True,
    resume: bool = False,
    cut_at: tuple[str, int] | None = None,
    settings: SceneTrainingSettings = SMALL,
) -> SceneTraining:
    shown = events(SECONDS)
    model = build_network(settings, STREAMS, kinds_of(shown) if labels else ())
    normal = scene_of(model, readings(SECONDS))
    labelled: LabelledScene | None = None
    if labels:
        first = FIRST + 10_000
        scene = scene_of(model, readings(SECONDS, 7, shown), first)
        labelled = label_scene(scene, shown, first * HOP_NS, kinds_of(shown))

    def told(stage: str, done: int, total: int | None) -> None:
        if (stage, done) == cut_at:
            raise CutOff

    return train_scene(
        model, STREAMS, normal, settings,
        labelled=labelled, folder=folder, resume=resume, progress=told,
    )  # fmt: skip


def weights(trained: SceneTraining) -> dict[str, Tensor]:
    return dict(trained.model.state_dict())


def same(first: SceneTraining, second: SceneTraining) -> bool:
    one, two = weights(first), weights(second)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def whole() -> SceneTraining:
    torch.set_num_threads(1)
    return train()


def test_labels_that_leave_no_normal_time_are_refused():
    model = build_network(SMALL, STREAMS)
    normal = scene_of(model, readings(40)).only(np.arange(0))
    with pytest.raises(ModelError, match="0 windows of normal time are too few"):
        train_scene(model, STREAMS, normal, SMALL, progress=lambda *_: None)


def test_the_phases_follow_each_other_and_each_leaves_something(whole: SceneTraining) -> None:
    assert [p.kind for p in whole.phases] == PHASES
    assert [p.history.steps for p in whole.phases] == [6, 6, 6, 6]
    assert whole.phases[1].after < whole.phases[1].before
    assert "swaps named rightly" in whole.phases[2].figures
    assert whole.phases[3].figures.keys() == {"anomaly AUROC", "kinds named rightly"}
    fresh = build_network(SMALL, STREAMS, kinds_of(events(SECONDS))).state_dict()
    moved = {name for name, value in weights(whole).items() if not torch.equal(value, fresh[name])}
    for part in ("encoders", "mappers", "fusion", "context", "heads"):
        assert any(name.startswith(part) for name in moved)


def test_a_phase_that_only_makes_it_worse_leaves_the_network_as_it_was() -> None:
    good = LOOP | {"steps": 40, "learning_rate": 6e-3}
    wild = LOOP | {"learning_rate": 30.0, "clip_norm": 1e6, "warmup_share": 0.0}
    phases = [{"type": "alignment", "batch": 24, "loop": loop} for loop in (good, wild)]
    once, twice = (
        train(labels=False, settings=SceneTrainingSettings.model_validate(SETTINGS | only))
        for only in ({"phases": phases[:1]}, {"phases": phases})
    )
    last = twice.phases[1]
    start, *looks = [look.held_out or 0.0 for look in last.history.evaluations]
    assert min(looks) > start
    assert (last.before, last.after, last.history.best_step) == (start, start, 0)
    assert same(once, twice)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(whole: SceneTraining) -> None:
    torch.manual_seed(99)  # what is drawn elsewhere has no part in it
    assert same(train(), whole)
    other = SMALL.model_copy(update={"seed": 1})
    assert not same(train(settings=other), whole)


@pytest.mark.parametrize(
    "cut_at",
    [("self_supervision", 3), ("alignment", 5), ("normality", 3), ("fine_tune", 4)],
)
def test_a_run_that_was_cut_off_goes_on_to_the_same_weights(
    whole: SceneTraining, tmp_path: Path, cut_at: tuple[str, int]
) -> None:
    with pytest.raises(CutOff):
        train(tmp_path, cut_at=cut_at)
    resumed = train(tmp_path, resume=True)
    assert same(resumed, whole)
    assert [p.history.best_step for p in resumed.phases] == [
        p.history.best_step for p in whole.phases
    ]


def test_a_run_is_not_gone_on_with_under_other_settings_but_can_be_begun_anew(
    tmp_path: Path,
) -> None:
    train(tmp_path, labels=False)
    other = SMALL.model_copy(update={"seed": 1})
    with pytest.raises(ModelError, match=r"other settings, recordings or labels.*without --resume"):
        train(tmp_path, labels=False, resume=True, settings=other)
    anew = train(tmp_path, labels=False, settings=other)
    assert same(anew, train(labels=False, settings=other))


def test_without_labels_the_phases_that_need_them_are_left_out() -> None:
    trained = train(labels=False)
    assert [p.kind for p in trained.phases] == PHASES[:3]
    assert trained.model.head_names == ("swapped",)
    only = SMALL.model_copy(update={"phases": SMALL.phases[3:]})
    with pytest.raises(ModelError, match="give --labels"):
        train(labels=False, settings=only)


def test_the_report_says_what_was_found(whole: SceneTraining, tmp_path: Path) -> None:
    page = write_report(whole, "hall <1>", tmp_path / "report")
    told = json.loads((tmp_path / "report" / "training.json").read_text())
    assert told == json.loads(json.dumps(as_json(whole, "hall <1>")))
    assert told["windows"]["learnt_from"] + told["windows"]["held_out"] <= SECONDS * 2
    assert told["parameters"] == sum(p.numel() for p in whole.model.parameters())
    looks = told["phases"][1]["looks"]
    assert [look["step"] for look in looks] == [0, 2, 4, 6]
    assert told["phases"][1]["held_out_after"] == pytest.approx(
        min(look["held_out"] for look in looks)
    )
    pairs = [(one["asked"], one["found"]) for one in told["retrieval"]["after"]]
    assert pairs == [("a", "b"), ("b", "a")]
    shown = page.read_text("utf-8")
    assert "hall &lt;1&gt;" in shown
    assert shown.count("<svg") == 4
    for words in ("self-supervision", "median rank", "anomaly AUROC", "by chance", "swap AUROC"):
        assert words in shown
    assert not re.search(
        r"https?://(?!www\.w3\.org)", re.sub(r"<svg.*?</svg>", "", shown, flags=re.S)
    )


CONFIG = """
name: toy
data: data
nodes:
  player:
    sources: [{type: recording, paths: [normal.mcap], streams: [a, b]}]
scenes:
  toy: {streams: [a, b], alarm: {budget: 30/hour}}
alert: {sinks: [{type: console}]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment, normal time, and time with labelled events."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.yaml").write_text(CONFIG)
    (folder / "network.yaml").write_text(json.dumps({"task": "scene", **SETTINGS}))
    shown = [{"start_s": e.start_s, "end_s": e.end_s, "kind": e.kind} for e in events(SECONDS)]
    (folder / "labels.json").write_text(json.dumps(shown))
    for name, seed, labels in (("normal", 0, ()), ("labelled", 7, events(SECONDS))):
        sensors = []
        for stream, values in readings(SECONDS, seed, labels).items():
            times = np.arange(len(values)) / 10
            rows = np.column_stack([times, values])
            file = folder / f"{name}-{stream}.csv"
            np.savetxt(file, rows, "%.4f", ",", header="seconds,x,y,z", comments="")
            sensors += ["--sensors", f"{stream}={file}"]
        target = ["--scene", "toy", "-o", folder / f"{name}.mcap"]
        assert fusewatch("import", *target, *sensors) == 0
    return folder


def command(folder: Path, *more: object) -> int:
    return fusewatch(
        "train", folder / "network.yaml", "--config", folder / "toy.yaml",
        "-r", folder / "normal.mcap", "-o", folder / "out.network",
        "--report", folder / "report", *more,
    )  # fmt: skip


def test_the_command_trains_writes_the_file_and_the_report(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ["--labelled", folder / "labelled.mcap", "--labels", folder / "labels.json"]
    assert command(folder, *labels) == 0
    assert "fine_tune" in capsys.readouterr().out
    saved = load_network(folder / "out.network", task="scene")
    assert [info.name for info in saved.streams] == ["a", "b"]
    assert saved.classes == ("normal", "apart", "trembles")
    grid = {"scene": "toy", "length_ns": 2 * 10**9, "hop_ns": 5 * 10**8, "picture_cells": 144}
    assert saved.memo == grid  # no verdict: it was fine-tuned since
    told = json.loads((folder / "report" / "training.json").read_text())
    assert [phase["phase"] for phase in told["phases"]] == PHASES
    assert (folder / "report" / "training.html").is_file()
    first = saved.network.state_dict()
    assert command(folder, *labels, "--resume") == 0
    again = load_network(folder / "out.network").network.state_dict()
    assert all(torch.equal(again[name], first[name]) for name in first)


def test_labels_of_the_normal_recordings_themselves_keep_their_events_out_of_the_normal(
    folder: Path,
) -> None:
    out = folder / "own"
    config, settings = folder / "toy.yaml", folder / "network.yaml"
    assert fusewatch(
        "train", settings, "--config", config, "-r", folder / "labelled.mcap", "-o", out / "net",
        "--report", out, "--labels", folder / "labels.json",
    ) == 0  # fmt: skip
    windows = json.loads((out / "training.json").read_text())["windows"]
    assert windows["labelled"] > 170
    assert windows["learnt_from"] + windows["held_out"] < 120


def test_what_is_missing_or_wrong_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(folder, "--to", 20) == 70
    assert "windows are too few" in capsys.readouterr().err
    assert command(folder, "--labels", folder / "none.json") == 78
    assert "none.json: cannot be read" in capsys.readouterr().err
    assert fusewatch("train", folder / "network.yaml", "-o", folder / "x") != 0
    assert "--config" in capsys.readouterr().err


def test_the_trained_network_speaks_in_a_model_that_is_commissioned_with_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = json.dumps({"task": "scene", **SETTINGS, "data": {"block_s": 10.0, "held_every": 2}})
    (folder / "half.yaml").write_text(half)
    made = ["--config", folder / "toy.yaml", "-r", folder / "normal.mcap"]
    network, model = folder / "half.network", folder / "toy.model"
    assert fusewatch("train", folder / "half.yaml", *made, "-o", network) == 0
    assert "swap AUROC" in capsys.readouterr().out
    words = ["commission", folder / "toy.yaml", "-r", folder / "normal.mcap", "-o", model]
    assert fusewatch(*words, "--network", network) == 0
    assert load_model(model).names[-2:] == ("network/a", "network/b")
    # One fine-tuned since has moved on, and one that knows it all cannot be calibrated.
    labels = ["--labelled", folder / "labelled.mcap", "--labels", folder / "labels.json"]
    assert command(folder, *labels) == 0
    assert fusewatch(*words, "--network", folder / "out.network") == 70
    assert "'normality' last" in capsys.readouterr().err
    assert command(folder) == 0
    assert fusewatch(*words, "--network", folder / "out.network") == 70
    assert "new to it" in capsys.readouterr().err
