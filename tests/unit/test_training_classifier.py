"""A classifier learns what only two modalities together tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nodes.train_classifier import TrainedClassifier, classify, train_classifier
from pipeline.core.errors import ConfigError, ModelFileError
from pipeline.core.sample import Modality, StreamInfo
from pipeline.models.fusions.base import FUSIONS
from pipeline.models.network_file import load_network
from pipeline.training.classifier import (
    ClassifierSettings,
    build_network,
    fit_classifier,
    probabilities,
)
from pipeline.training.classifier_report import Judged, judge
from pipeline.training.dealing import SplitSettings, deal_out
from pipeline.training.examples import Examples, read_examples
from pipeline.training.labelled_folder import LabelledSample, Split, read_folder
from pipeline.training.reading_fit import fit_reading
from pipeline.training.sample_reading import SampleReader, streams_of
from tests.labelled_samples import READING, SMALL, write_pairs, write_sides
from tests.media_files import write_clip
from tests.model_samples import one_thread  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"), 400)


def options(**changes: Any) -> ClassifierSettings:
    usual: dict[str, Any] = {
        "task": "classifier",
        "network": SMALL,
        "reading": READING,
        "split": {"test_share": 0.4},
        "loop": {"steps": 120, "evaluate_every": 30, "learning_rate": 3e-3, "patience": 0},
    }
    return ClassifierSettings.model_validate(usual | changes)


def quiet(*_: object) -> None:
    """Nobody watches."""


def train(settings: ClassifierSettings, data: Path, output: Path, **more: Any) -> TrainedClassifier:
    return train_classifier(settings, data, output, **({"progress": quiet} | more))


@pytest.fixture(scope="module")
def read(pairs: Path) -> tuple[tuple[StreamInfo, ...], Examples]:
    """The samples as every network of these tests sees them."""
    folder, settings = read_folder(pairs), options()
    reading = fit_reading(settings.reading, folder)
    streams = streams_of(folder, reading)
    network = build_network(settings, streams, folder.classes)
    reader = SampleReader(reading, streams)
    examples, unusable = read_examples(folder, reader, network, folder.classes, quiet)
    assert unusable == []
    return streams, examples


def learnt(
    settings: ClassifierSettings, streams: tuple[StreamInfo, ...], examples: Examples, seeds: int
) -> Judged:
    """Train on some of the samples and judge by others.

    Where neither modality tells anything alone, a gradient begins with next to nothing to go
    by, and some first weights stay there: begun anew until the held-out samples say it learnt.
    """
    labels = [sample.label for sample in examples.samples]
    dealt = deal_out(labels, [None] * len(labels), settings.split, 0)
    train, held_out, test = (examples.at(dealt[split]) for split in Split)
    for seed in range(seeds):
        loop = settings.loop.model_copy(update={"seed": seed})
        update = {"loop": loop, "modality_dropout": 0.0, "augment_share": 0.0}
        begun = settings.model_copy(update=update)
        network = build_network(begun, streams, ("agree", "differ"))
        history = fit_classifier(network, train, held_out, begun, progress=quiet)
        if (history.best.held_out or 0.0) < 0.3:
            break
    return judge(network, test)


@pytest.mark.parametrize("fusion", FUSIONS.kinds())
def test_every_fusion_learns_what_two_modalities_only_tell_together(
    fusion: str, read: tuple[tuple[StreamInfo, ...], Examples]
) -> None:
    judged = learnt(options(network=SMALL | {"fusion": fusion}), *read, seeds=4)
    assert judged.result.accuracy > 0.9
    assert set(judged.alone) == {"picture", "sound"}
    assert all(0.35 < share < 0.65 for share in judged.alone.values())


@pytest.mark.parametrize("index", [0, 1], ids=["picture", "sound"])
def test_a_classifier_of_one_of_the_two_is_near_chance(
    index: int, read: tuple[tuple[StreamInfo, ...], Examples]
) -> None:
    streams, both = read
    info = streams[index]
    present = both.present[..., index : index + 1]
    one = Examples(both.samples, {info.name: both.inputs[info.name]}, present, both.labels)
    judged = learnt(options(), (info,), one, seeds=1)
    assert judged.alone == {}
    assert 0.35 < judged.result.accuracy < 0.65


def of_sides(**loop: Any) -> ClassifierSettings:
    """Each modality tells this class, so it is learnt soon."""
    return options(
        modality_dropout=0.3, loop={"steps": 50, "evaluate_every": 10, "learning_rate": 4e-3} | loop
    )


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainedClassifier]:
    folder = tmp_path_factory.mktemp("sides")
    output = folder / "sides.network"
    return output, train(of_sides(), write_sides(folder / "data", 80), output)


@pytest.mark.parametrize("kinds", ["picture", "sound", "both"])
def test_a_modality_may_be_missing_when_it_is_asked(
    kinds: str, sides: tuple[Path, TrainedClassifier], tmp_path: Path
) -> None:
    judged, unusable = classify(sides[0], write_sides(tmp_path, 40, 9, kinds), quiet)
    assert unusable == ()
    assert judged.result.accuracy > 0.9
    assert len(judged.names) == 40
    assert set(judged.alone) == ({"picture", "sound"} if kinds == "both" else {kinds})


def test_what_was_judged_was_not_learnt_and_the_file_answers_alike(
    sides: tuple[Path, TrainedClassifier],
) -> None:
    output, found = sides
    report = json.loads(found.report.read_text())
    assert found.report == output.with_name("sides.network.json")
    assert report["samples"] == {"train": 40, "val": 8, "test": 32}
    assert report["reading"]["readings_hz"] == 10.0  # as there is no table
    data = output.parent / "data"
    again, _ = classify(output, data, quiet)
    said = dict(zip(again.names, again.told, strict=True))
    assert [said[name] for name in report["tested_on"]] == list(found.judged.told)
    assert not output.with_name("sides.network.training").exists()


def test_the_same_seed_gives_the_same_file_and_another_does_not(
    sides: tuple[Path, TrainedClassifier], tmp_path: Path
) -> None:
    data = sides[0].parent / "data"
    again = train(of_sides(), data, tmp_path / "again")
    assert again.saved.digest == sides[1].saved.digest
    assert again.judged.names == sides[1].judged.names
    other = train(of_sides(seed=5, steps=10), data, tmp_path / "other")
    assert other.judged.names != again.judged.names


def test_samples_are_changed_while_it_learns_unless_that_is_not_wanted(
    sides: tuple[Path, TrainedClassifier], tmp_path: Path
) -> None:
    data, usual = sides[0].parent / "data", of_sides(steps=10)
    still = {
        "video": {"gain": 0, "offset": 0, "shift_cells": 0, "hide": 0, "noise": 0},
        "audio": {"gain_db": 0, "hide_bands": 0, "hide_steps": 0, "floor_db": -300},
    }
    digests = [
        train(ClassifierSettings.model_validate(usual.model_dump() | more), data, tmp_path / name)
        for name, more in {
            "changed": {},
            "all-changed": {"augment_share": 1.0},
            "none-changed": {"augment_share": 0.0},
            "by-nothing": {"augment_share": 0.0, "augment": still},
        }.items()
    ]
    changed, every, none, nothing = (one.saved.digest for one in digests)
    assert len({changed, every, none}) == 3
    assert none == nothing


def test_a_training_that_was_cut_off_goes_on_to_the_same_network(
    sides: tuple[Path, TrainedClassifier], tmp_path: Path
) -> None:
    data, output, settings = sides[0].parent / "data", tmp_path / "net", of_sides()

    def fail(stage: str, done: int, total: int | None) -> None:
        if (stage, done) == ("training", 33):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings, data, output, progress=fail)
    assert [path.name for path in tmp_path.iterdir()] == ["net.training"]
    steps = []
    found = train(settings, data, output, resume=True, progress=lambda *what: steps.append(what))
    assert next(done for stage, done, _ in steps if stage == "training") == 31
    assert found.saved.digest == sides[1].saved.digest
    assert {path.name for path in tmp_path.iterdir()} == {"net", "net.json"}


def test_a_state_of_other_settings_is_refused_and_a_new_training_ignores_it(
    sides: tuple[Path, TrainedClassifier], tmp_path: Path
) -> None:
    data = sides[0].parent / "data"
    short = {"steps": 20, "evaluate_every": 10}

    def fail(stage: str, done: int, total: int | None) -> None:
        if (stage, done) == ("training", 15):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(of_sides(**short), data, tmp_path / "net", progress=fail)
    changed = of_sides(**short, learning_rate=0.1)
    with pytest.raises(ModelFileError, match="other settings"):
        train(changed, data, tmp_path / "net", resume=True)
    assert train(changed, data, tmp_path / "net").history.steps == 20


def test_a_state_of_other_samples_or_of_another_split_is_refused(tmp_path: Path) -> None:
    data, output = write_sides(tmp_path / "data", 40), tmp_path / "net"
    short = of_sides(steps=20, evaluate_every=10)

    def fail(stage: str, done: int, total: int | None) -> None:
        if (stage, done) == ("training", 15):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(short, data, output, progress=fail)
    others: list[dict[str, Any]] = [
        {"split": SplitSettings(test_share=0.5)},
        {"balance": False},
        {"reading": short.reading.model_copy(update={"windows": 1})},
    ]
    for other in others:
        with pytest.raises(ModelFileError, match="made with other settings or samples"):
            train(short.model_copy(update=other), data, output, resume=True)
    first = next(path for path in sorted(data.iterdir()) if path.is_dir())
    first.rename(data / "zzz")  # the order of the classes is another
    with pytest.raises(ModelFileError, match="made with other settings or samples"):
        train(short, data, output, resume=True)
    (data / "zzz").rename(first)
    assert train(short, data, output, resume=True).history.steps == 20


def test_what_clips_sound_like_can_be_learnt(tmp_path: Path) -> None:
    for name, frequency_hz in (("low", 300.0), ("high", 1500.0)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(3):
            clip = tmp_path / "data" / name / f"{number}.mp4"
            write_clip(clip, seconds=0.6, frequency_hz=frequency_hz)
    short = of_sides(steps=4, evaluate_every=2)
    for modalities in ((), (Modality.VIDEO, Modality.AUDIO)):
        settings = short.model_copy(update={"modalities": modalities})
        found = train(settings, tmp_path / "data", tmp_path / "net")
        assert [info.name for info in found.saved.streams] == ["picture", "sound"]


def test_windows_in_which_nothing_is_seen_have_no_part_in_the_answer(
    sides: tuple[Path, TrainedClassifier],
) -> None:
    network = sides[1].saved.network
    torch.manual_seed(0)
    values = {name: torch.randn(2, 3, *network.encoder(name).shape) for name in network.names}
    present = torch.ones(2, 3, 2, dtype=torch.bool)
    present[1, 1:] = False
    labels = torch.tensor([0, 1])
    samples = (LabelledSample("1", "left", {}), LabelledSample("2", "right", {}))
    told = probabilities(network, Examples(samples, values, present, labels))
    first = {name: rows[1:, :1] for name, rows in values.items()}
    alone = probabilities(network, Examples(samples[1:], first, present[1:, :1], labels[1:]))
    torch.testing.assert_close(told[1:], alone)
    torch.testing.assert_close(told.sum(dim=1), torch.ones(2))


def test_a_class_that_is_rare_counts_as_much(tmp_path: Path) -> None:
    write_sides(tmp_path / "data", 24)
    for path in sorted((tmp_path / "data" / "left").iterdir())[6:]:
        path.unlink()
    data, short = tmp_path / "data", {"steps": 1, "evaluate_every": 1}
    for balance, wanted in ((True, 2.0), (False, 1.0)):
        settings = options(loop=short, balance=balance, split={"test_share": 0.1})
        found = train(settings, data, tmp_path / "net")
        left, right = found.saved.network.get_buffer("heads.0.weights").tolist()
        assert left / right > wanted if balance else left == right == wanted


def test_a_class_of_the_other_folder_that_was_never_learnt_is_always_wrong(
    sides: tuple[Path, TrainedClassifier], tmp_path: Path
) -> None:
    write_sides(tmp_path, 8)
    (tmp_path / "left").rename(tmp_path / "elsewhere")
    judged, _ = classify(sides[0], tmp_path, quiet)
    assert judged.result.recall[judged.result.classes.index("elsewhere")] == 0


def test_one_class_or_too_few_samples_are_a_clear_error(tmp_path: Path) -> None:
    write_sides(tmp_path / "few", 4)
    with pytest.raises(ConfigError, match=r"'left' has 2 samples .* at least 3 are needed"):
        train(options(), tmp_path / "few", tmp_path / "net")
    write_sides(tmp_path / "one", 8)
    (tmp_path / "one" / "right").rename(tmp_path / "gone")
    with pytest.raises(ConfigError, match="two classes or more, here is only 'left'"):
        train(options(), tmp_path / "one", tmp_path / "net")
    with pytest.raises(ConfigError, match="holds no files of sensor"):
        train(options(modalities=("audio", "sensor")), tmp_path / "few", tmp_path / "net")


def test_a_file_of_another_task_or_kind_is_refused(
    sides: tuple[Path, TrainedClassifier], tmp_path: Path
) -> None:
    (tmp_path / "net").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelFileError, match="pickled"):
        classify(tmp_path / "net", tmp_path, quiet)
    with pytest.raises(ModelFileError, match="not for scene"):
        load_network(sides[0], "scene")


def test_heads_are_not_written_into_the_network() -> None:
    heads = {"class": {"type": "classification", "classes": ["a", "b"]}}
    with pytest.raises(ValueError, match="under 'head'"):
        options(network=SMALL | {"heads": heads})
