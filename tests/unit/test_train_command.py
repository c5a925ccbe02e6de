"""``fusewatch train`` and ``classify`` with the YAML that is shipped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from nodes.shipped import shipped_config
from pipeline.config import load_settings
from pipeline.models.settings import DetectorSettings
from pipeline.training.classifier import ClassifierSettings
from pipeline.training.scene_training import SceneTrainingSettings
from tests.command_line import fusewatch
from tests.labelled_samples import write_picture, write_sound
from tests.model_samples import one_thread  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("one_thread")

SHIPPED = shipped_config("models/classifier.yaml")
WORDS = {"calm": "all is quiet in the hall", "fault": "bearing overheated, stop the drive"}


@pytest.mark.parametrize("file", sorted(SHIPPED.parent.glob("*.yaml")), ids=lambda file: file.stem)
def test_each_shipped_model_file_loads_as_what_it_is_for(file: Path) -> None:
    kinds = {
        None: DetectorSettings,
        "classifier": ClassifierSettings,
        "scene": SceneTrainingSettings,
    }
    load_settings(file, kinds[yaml.safe_load(file.read_text("utf-8")).get("task")])


def test_the_shipped_classifier_is_the_classic_one() -> None:
    settings = load_settings(SHIPPED, ClassifierSettings)
    assert {modality.value for modality in settings.network.encoders} == {"video", "audio", "text"}
    assert settings.network.fusion.type == "concat"
    assert settings.network.context.type == "none"
    assert settings.loop.weight_decay == 0  # AdamW without it is Adam


def write_all_kinds(folder: Path, count: int, seed: int) -> Path:
    random = np.random.default_rng(seed)
    for number in range(count):
        label = "fault" if number % 2 else "calm"
        place = folder / label
        place.mkdir(parents=True, exist_ok=True)
        name = f"{number:02d}"
        write_picture(place / f"{name}.png", random, right=bool(number % 2))
        write_sound(place / f"{name}.wav", random, 900.0 if number % 2 else 300.0, seconds=2.0)
        (place / f"{name}.txt").write_text(f"{WORDS[label]} {number}\n")
        rows = (f"{t / 10},{random.normal(number % 2, 0.1):.3f}" for t in range(20))
        (place / f"{name}.csv").write_text("time,load\n" + "\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("train")
    write_all_kinds(root / "data", 24, 0)
    (root / "data" / "calm" / "00.png").write_bytes(b"broken")
    write_all_kinds(root / "other", 6, 1)
    text = SHIPPED.read_text("utf-8")
    assert "steps: 800" in text
    (root / "short.yaml").write_text(text.replace("steps: 800", "steps: 30\n  evaluate_every: 10"))
    return root


def test_a_folder_is_learnt_judged_and_reported(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = tmp_path / "site.network"
    words = [folder / "short.yaml", "--data", folder / "data", "-o", network]
    assert fusewatch("train", *words, "--seed", 3, "--report", tmp_path / "report") == 0
    printed = capsys.readouterr().out
    assert "accuracy 100% of" in printed
    assert "not a picture, 1 of them: calm/00.png" in printed
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["streams"] == ["picture", "sound", "readings", "text"]
    assert report["settings"]["loop"]["seed"] == 3
    assert report["test"]["accuracy"] == 1.0
    assert report["test"]["macro_f1"] == 1.0
    assert report["test"]["confusion"]["true_by_told"] == [[2, 0], [0, 2]]
    assert report["training"]["steps"] == 30
    assert report["unusable"] == [{"reason": "not a picture", "count": 1, "files": ["calm/00.png"]}]
    told = tmp_path / "told.json"
    assert fusewatch("classify", network, "--data", folder / "other", "--report", told) == 0
    assert "warning: judged by 6 samples" in capsys.readouterr().out
    body = json.loads(told.read_text())
    assert body["result"]["accuracy"] == 1.0
    assert {"sample": "calm/00", "class": "calm", "told": "calm"} in body["told"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("task: scenery", "no training of the task 'scenery'"),
        ("network: {}", "task"),
        ("task: classifier\nnetwork: {fusion: glue}", "no fusions of type 'glue'"),
        ("task: classifier\nloop: {step: 3}", "short.yaml:2"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "short.yaml").write_text(text)
    words = [tmp_path / "short.yaml", "--data", tmp_path, "-o", tmp_path / "net"]
    assert fusewatch("train", *words) == 78
    assert says in capsys.readouterr().err


def test_an_empty_folder_and_a_foreign_file_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net").write_bytes(b"PK\x03\x04")
    assert fusewatch("train", SHIPPED, "--data", tmp_path, "-o", tmp_path / "net") == 78
    assert "holds no samples" in capsys.readouterr().err
    assert fusewatch("classify", tmp_path / "net", "--data", tmp_path) == 78
    assert "pickled" in capsys.readouterr().err
