"""Training a classifier on a labelled folder, and asking one about another folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from pipeline.core.errors import ConfigError, ModelFileError
from pipeline.core.sample import Modality, StreamInfo
from pipeline.models.network_file import SavedNetwork, load_network, save_network
from pipeline.training.classifier import ClassifierSettings, build_network, fit_classifier
from pipeline.training.classifier_report import (
    Judged,
    history_json,
    judge,
    result_json,
    unusable_json,
)
from pipeline.training.dealing import deal_out
from pipeline.training.examples import Examples, read_examples
from pipeline.training.labelled_folder import LabelledFolder, Split, Unusable, read_folder
from pipeline.training.reading_fit import fit_reading
from pipeline.training.sample_parts import Reading
from pipeline.training.sample_reading import SampleReader, modalities_of, streams_of
from pipeline.training.training_state import History

Progress = Callable[[str, int, int | None], None]

TASK = "classifier"


@dataclass(frozen=True, slots=True)
class TrainedClassifier:
    """A classifier that was trained.

    Attributes:
        saved: The network.
        reading: How its samples became windows.
        judged: What it says of the samples put aside for the test.
        history: How the training went.
        unusable: What in the folder could not be used.
        report: Where the JSON report lies.
    """

    saved: SavedNetwork
    reading: Reading
    judged: Judged
    history: History
    unusable: tuple[Unusable, ...]
    report: Path


def train_classifier(
    settings: ClassifierSettings,
    data: Path,
    output: Path,
    *,
    resume: bool = False,
    report: Path | None = None,
    progress: Progress,
) -> TrainedClassifier:
    """Train a classifier, judge it, write its file and a report.

    While it trains, its state lies beside the file, as ``OUTPUT.training``.

    Args:
        settings: How.
        data: The labelled folder.
        output: The network's file.
        resume: Go on from the state of a training that was cut off.
        report: Folder of the report; None: ``OUTPUT.json``, beside the file.
        progress: Told the stages ``reading`` and ``training``.

    Raises:
        ConfigError: The folder holds too little.
        ModelFileError: A file cannot be written, or the state is that of another training.
    """
    torch.set_num_threads(settings.threads)
    state = output.with_name(f"{output.name}.training")
    if not resume:
        state.unlink(missing_ok=True)
    folder = read_folder(data)
    reading = fit_reading(settings.reading, folder)
    streams = _streams(folder, reading, settings.modalities)
    _refuse_unknown(settings.normal, folder)
    network = build_network(settings, streams, _enough(folder.classes))
    reader = SampleReader(reading, streams)
    examples, bad = read_examples(folder, reader, network, folder.classes, progress)
    dealt = _dealt(examples, settings)
    train, held_out, test = (dealt[split] for split in Split)
    run = _fingerprint(settings, reading, streams, dealt)
    history = fit_classifier(
        network, train, held_out, settings, progress=progress, resume=state, run=run
    )
    memo = {
        "reading": reading.model_dump(mode="json"),
        "normal": list(settings.normal),
    }
    saved = SavedNetwork(network, streams, TASK, folder.classes, memo)
    saved = replace(saved, digest=save_network(saved, output))
    judged = judge(network, test, settings.normal)
    unusable = (*folder.unusable, *bad)
    place = output.with_name(f"{output.name}.json") if report is None else report / "report.json"
    found = TrainedClassifier(saved, reading, judged, history, unusable, place)
    _write(place, _report(found, settings, dealt))
    state.unlink(missing_ok=True)
    return found


def classify(file: Path, data: Path, progress: Progress) -> tuple[Judged, tuple[Unusable, ...]]:
    """Ask a trained classifier about a labelled folder, its test part if it has one.

    Raises:
        ConfigError: The folder holds nothing that can be used.
        ModelFileError: The file is not that of a classifier.
    """
    saved = load_network(file, TASK)
    try:
        reading = Reading.model_validate(saved.memo.get("reading"))
    except ValidationError as error:
        raise ModelFileError(f"settings not understood: {error}", where=str(file)) from error
    folder = read_folder(data)
    test = tuple(sample for sample in folder.samples if sample.split is Split.TEST)
    folder = replace(folder, samples=test or folder.samples)
    reader = SampleReader(reading, saved.streams)
    examples, bad = read_examples(folder, reader, saved.network, saved.classes, progress)
    normal = [str(name) for name in saved.memo.get("normal", ())]
    return judge(saved.network, examples, normal), (*folder.unusable, *bad)


def write_judgement(place: Path, judged: Judged, unusable: Sequence[Unusable]) -> None:
    """Write what `classify` found, every sample named, as JSON.

    Raises:
        ConfigError: The file cannot be written.
    """
    said = zip(judged.names, judged.truth, judged.told, strict=True)
    body = {
        "result": result_json(judged),
        "unusable": unusable_json(unusable),
        "told": [{"sample": name, "class": true, "told": told} for name, true, told in said],
    }
    _write(place, body)


def _streams(
    folder: LabelledFolder, reading: Reading, wanted: Sequence[Modality]
) -> tuple[StreamInfo, ...]:
    there = modalities_of(folder) if wanted else ()
    missing = [m.value for m in wanted if m not in there]
    if missing:
        raise ConfigError(f"holds no files of {' and '.join(missing)}", where=str(folder.root))
    streams = streams_of(folder, reading, wanted)
    if not streams:
        raise ConfigError("holds no file that can be read", where=str(folder.root))
    return streams


def _enough(classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(classes) < 2:
        raise ConfigError(
            f"a classifier needs two classes or more, here is only {classes[0]!r}",
            fix="put the samples of each class into a folder of its name",
        )
    return classes


def _refuse_unknown(normal: Sequence[str], folder: LabelledFolder) -> None:
    strange = sorted(set(normal) - set(folder.classes))
    if strange:
        raise ConfigError(
            f"holds no class {', '.join(strange)}, which is said to be normal",
            where=str(folder.root),
            fix=f"normal: names of its classes, {', '.join(folder.classes)}",
        )


def _dealt(examples: Examples, settings: ClassifierSettings) -> dict[Split, Examples]:
    labels = [sample.label for sample in examples.samples]
    splits = [sample.split for sample in examples.samples]
    dealt = deal_out(labels, splits, settings.split, settings.loop.seed)
    return {split: examples.at(rows) for split, rows in dealt.items()}


def _fingerprint(
    settings: ClassifierSettings,
    reading: Reading,
    streams: Sequence[StreamInfo],
    dealt: Mapping[Split, Examples],
) -> str:
    """What a run must have in common with the one it goes on with."""
    samples = {
        split: [
            [sample.name, sample.label, number, dict(sample.numbers)]
            for sample, number in zip(part.samples, part.labels.tolist(), strict=True)
        ]
        for split, part in dealt.items()
    }
    columns = [[info.name, *info.channels] for info in streams]
    said = settings.model_dump(mode="json", exclude={"threads"})
    told = json.dumps([said, reading.model_dump(mode="json"), columns, samples])
    return hashlib.sha256(told.encode()).hexdigest()


def _report(
    found: TrainedClassifier, settings: ClassifierSettings, dealt: dict[Split, Examples]
) -> dict[str, Any]:
    return {
        "task": TASK,
        "created_by": found.saved.created_by,
        "digest": found.saved.digest,
        "classes": list(found.saved.classes),
        "streams": [info.name for info in found.saved.streams],
        "reading": found.reading.model_dump(mode="json"),
        "samples": {split.value: len(part) for split, part in dealt.items()},
        "tested_on": list(found.judged.names),
        "test": result_json(found.judged),
        "training": history_json(found.history),
        "unusable": unusable_json(found.unusable),
        "settings": settings.model_dump(mode="json"),
    }


def _write(place: Path, body: dict[str, Any]) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(body, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", where=str(place)) from error


def warnings_of(judged: Judged, known: Iterable[str]) -> list[str]:
    """What is doubtful about a judgement."""
    found = []
    strange = sorted(set(judged.truth) - set(known))
    if strange:
        found.append(f"never learnt, so never told: {', '.join(strange)}")
    if len(judged.names) < 30:
        found.append(f"judged by {len(judged.names)} samples; figures are rough")
    return found
