"""Heads beside the class learn numbers, what is normal, and groups, each alone and together."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from nodes.shipped import shipped_config
from nodes.train_classifier import TrainedClassifier, classify, train_classifier
from pipeline.core.errors import ConfigError
from pipeline.training.class_metrics import mutual_information
from pipeline.training.classifier import ClassifierSettings
from pipeline.training.labelled_folder import read_folder
from tests.labelled_samples import READING, SMALL, write_sound
from tests.model_samples import one_thread  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("one_thread")

TONES_HZ = {"low": 200.0, "middle": 500.0, "high": 1300.0}
HEADS: dict[str, Any] = {
    "pitch": {"type": "regression", "outputs": ["tone_hz"]},
    "strange": {"type": "anomaly", "dims": 8},
    "groups": {"type": "clustering", "clusters": 3, "dims": 4},
}


def write_tones(folder: Path, count: int, seed: int = 0) -> Path:
    """Tones of three pitches, one class each, whose pitch in Hz stands in the table."""
    random = np.random.default_rng(seed)
    (folder / "sounds").mkdir(parents=True)
    rows = []
    for number in range(count):
        name, about = list(TONES_HZ.items())[number % 3]
        tone = about * random.uniform(0.85, 1.15)
        write_sound(folder / "sounds" / f"{number:03d}.wav", random, tone)
        rows.append((f"sounds/{number:03d}.wav", name, f"{tone:.1f}", "a note"))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("sample", "class", "tone_hz", "remark"), *rows])
    return folder


def options(heads: dict[str, Any], **changes: Any) -> ClassifierSettings:
    usual: dict[str, Any] = {
        "task": "classifier",
        "network": SMALL | {"heads": heads, "joint": {"learned": True}},
        "reading": READING,
        "split": {"test_share": 0.4},
        "normal": ["low", "middle"] if "strange" in heads else [],
        "loop": {"steps": 150, "evaluate_every": 30, "learning_rate": 4e-3, "patience": 0},
    }
    return ClassifierSettings.model_validate(usual | changes)


def quiet(*_: object) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("tones"), 150)


@pytest.fixture(scope="module")
def trained(tones: Path) -> TrainedClassifier:
    return train_classifier(options(HEADS), tones, tones.parent / "tones.net", progress=quiet)


def test_all_heads_together_learn_what_each_is_asked(trained: TrainedClassifier) -> None:
    further = trained.judged.further
    assert trained.judged.result.accuracy > 0.9
    assert further["pitch"]["tone_hz: R2"] > 0.8
    assert further["pitch"]["tone_hz: mean error"] < 150
    assert further["strange"]["AUROC"] > 0.9
    assert further["groups"]["information shared with the class"] > 0.6
    assert json.loads(trained.report.read_text())["test"]["further"] == further


@pytest.mark.parametrize(
    ("names", "what", "least"),
    [
        (("pitch",), "tone_hz: R2", 0.7),
        (("strange",), "AUROC", 0.85),
        (("pitch", "groups"), "information shared with the class", 0.5),
    ],
)
def test_heads_learn_when_the_class_counts_nothing(
    names: tuple[str, ...], what: str, least: float, tones: Path, tmp_path: Path
) -> None:
    heads = {name: HEADS[name] for name in names}
    network = SMALL | {"heads": heads, "joint": {"weights": {"class": 0.0}}}
    settings = options(heads, network=network)
    figures = train_classifier(settings, tones, tmp_path / "net", progress=quiet).judged.further
    assert figures[names[-1]][what] > least


def test_heads_answer_for_other_samples_as_well(
    trained: TrainedClassifier, tones: Path, tmp_path: Path
) -> None:
    other = write_tones(tmp_path / "other", 30, seed=4)
    judged, unusable = classify(tones.parent / "tones.net", other, quiet)
    assert unusable == ()
    assert judged.further["pitch"]["tone_hz: R2"] > 0.7
    assert judged.further["strange"]["AUROC"] > 0.85


def test_a_training_cut_off_goes_on_to_the_same_heads(
    trained: TrainedClassifier, tones: Path, tmp_path: Path
) -> None:
    def fail(stage: str, done: int, total: int | None) -> None:
        if (stage, done) == ("training", 100):  # clusters were placed at 50
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_classifier(options(HEADS), tones, tmp_path / "net", progress=fail)
    again = train_classifier(options(HEADS), tones, tmp_path / "net", resume=True, progress=quiet)
    assert again.saved.digest == trained.saved.digest


def test_numbers_of_the_table_are_read_and_words_passed_over(tones: Path) -> None:
    samples = read_folder(tones).samples
    assert all(set(one.numbers) == {"tone_hz"} for one in samples)
    assert all(150 < one.numbers["tone_hz"] < 1500 for one in samples)


@pytest.mark.parametrize("column", ["Tone_Hz", "tone_hz"])
def test_a_column_with_capitals_is_learnt_by_its_own_name_and_by_small_letters(
    column: str, tmp_path: Path
) -> None:
    data = write_tones(tmp_path / "data", 30)
    table = (data / "labels.csv").read_text().replace("tone_hz", "Tone_Hz")
    (data / "labels.csv").write_text(table)
    heads = {"pitch": {"type": "regression", "outputs": [column]}}
    short = options(heads, loop={"steps": 4, "evaluate_every": 2})
    found = train_classifier(short, data, tmp_path / "net", progress=quiet)
    assert found.judged.further["pitch"][f"{column}: mean error"] > 0


@pytest.mark.parametrize(
    ("heads", "changes", "said"),
    [
        ({"size": {"type": "regression", "outputs": ["size_cm"]}}, {}, "no sample has a number"),
        ({"strange": HEADS["strange"]}, {"normal": []}, "no normal sample"),
        ({"strange": HEADS["strange"]}, {"normal": ["loud"]}, "no class loud"),
        ({"groups": {"type": "clustering", "clusters": 200}}, {}, "ask for fewer"),
    ],
)
def test_what_cannot_be_learnt_is_said_before_training(
    heads: dict[str, Any], changes: dict[str, Any], said: str, tones: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        train_classifier(options(heads, **changes), tones, tmp_path / "net", progress=quiet)
    assert not (tmp_path / "net").exists()


def test_the_shipped_file_with_many_heads_trains(tmp_path: Path) -> None:
    data = write_tones(tmp_path / "data", 45)
    table = (data / "labels.csv").read_text().replace("tone_hz", "level").replace("low", "normal")
    (data / "labels.csv").write_text(table)
    shipped = yaml.safe_load(shipped_config("models/many-heads.yaml").read_text())
    shipped["network"] = SMALL | {n: shipped["network"][n] for n in ("heads", "joint")}
    shipped |= {"reading": READING, "loop": shipped["loop"] | {"steps": 6, "evaluate_every": 3}}
    settings = ClassifierSettings.model_validate(shipped)
    found = train_classifier(settings, data, tmp_path / "net", progress=quiet)
    assert set(found.judged.further) == {"amount", "strange", "groups"}


def test_groupings_share_all_or_nothing_of_what_they_tell() -> None:
    assert mutual_information("aabbcc", "xxyyzz") == pytest.approx(1.0)
    assert mutual_information("aabb", "xyxy") == pytest.approx(0.0)
    assert mutual_information("aaaa", "xyxy") == 0.0
