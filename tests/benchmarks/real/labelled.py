"""The plain classifier on real labelled samples: ``configs/models/classifier.yaml`` as it is.

Folders of samples are made of the recordings, as a user would: office sounds of eleven kinds; a
room that is empty, in which somebody walks, or stands at the desk; half hours of the climate of
an office with people or without; forty seconds of a pump that runs well or does not. A third of
each kind is judged, drawn anew five times; of the room each of three people once, with the
stretch of the empty room before.

Peers in the same run see plain numbers of a file: the nearest sample, a linear map, and the
commonest kind. They learn from what is held out as well, as nothing ends their learning.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import yaml

from nodes.train_classifier import train_classifier
from pipeline.training.classifier import ClassifierSettings
from pipeline.training.metrics import Floats
from tests.benchmarks.real.composite_files import footage
from tests.benchmarks.real.labelled_peers import PEERS
from tests.benchmarks.real.skab import read as read_pump
from tests.benchmarks.real.sound_peers import log_mel
from tests.imported_site import read_sound

CONFIG = Path("configs/models/classifier.yaml")
DRAWS = 5
_SOUND_HZ = 16_000
_TINY = (32, 18)  # pixels
_OFFICE_ROWS, _PUMP_ROWS = 30, 40
_NAME = 34


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled file.

    Attributes:
        label: What it shows.
        name: Of the file.
        write: Writes it.
        numbers: What peers see of it, ``(d,)``.
        group: Samples of one are judged together; None: any may be judged with any.
    """

    label: str
    name: str
    write: Callable[[Path], object]
    numbers: Floats
    group: int | None = None


def run(data: Path) -> None:
    """Print a table of all folders."""
    print("labelled samples: share told rightly, mean over draws (lowest to highest)")
    for what, samples_of in FOLDERS.items():
        samples = list(samples_of(data))
        print(f"{what}: {len(samples)} samples")
        found: dict[str, list[float]] = {}
        for number, judged in enumerate(draws(samples)):
            for name, share in measure(samples, judged, number).items():
                found.setdefault(name, []).append(share)
        for name, shares in found.items():
            about = f"{np.mean(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})"
            print(f"  {name:{_NAME}}{about}", flush=True)


def draws(samples: Sequence[Sample]) -> Iterator[frozenset[int]]:
    """Positions of what is judged, in each draw."""
    groups = {sample.group for sample in samples} - {None}
    for group in groups:
        yield frozenset(n for n, sample in enumerate(samples) if sample.group == group)
    for seed in range(0 if groups else DRAWS):
        random = np.random.default_rng(seed)
        drawn: list[int] = []
        for kind in sorted({sample.label for sample in samples}):
            own = [n for n, sample in enumerate(samples) if sample.label == kind]
            drawn += random.permutation(own)[: round(len(own) / 3)].tolist()
        yield frozenset(drawn)


def measure(samples: Sequence[Sample], judged: frozenset[int], seed: int) -> dict[str, float]:
    """Share of the judged samples that each way tells rightly."""
    learnt = [sample for n, sample in enumerate(samples) if n not in judged]
    asked = [samples[n] for n in sorted(judged)]
    found = {"fusewatch": _classifier(learnt, asked, seed)}
    known, new = (np.stack([one.numbers for one in part]) for part in (learnt, asked))
    labels, truth = (np.array([one.label for one in part]) for part in (learnt, asked))
    for name, peer in PEERS.items():
        found[name] = float((peer(known, labels, new) == truth).mean())
    return found


def _classifier(learnt: Sequence[Sample], asked: Sequence[Sample], seed: int) -> float:
    said = yaml.safe_load(CONFIG.read_text("utf-8"))
    settings = ClassifierSettings.model_validate(said | {"loop": said["loop"] | {"seed": seed}})
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        for part, samples in (("train", learnt), ("test", asked)):
            for sample in samples:
                file = data / part / sample.label / sample.name
                file.parent.mkdir(parents=True, exist_ok=True)
                sample.write(file)
        output = Path(place) / "kinds.network"
        found = train_classifier(settings, data, output, progress=lambda *_: None)
    return float(found.judged.result.accuracy)


def _office_sounds(data: Path) -> Iterator[Sample]:
    for file in sorted((data / "dcase2016_office" / "train" / "sound").glob("*.wav")):
        levels = log_mel(read_sound(file, _SOUND_HZ))
        numbers = [levels.mean(0), levels.std(0), np.abs(np.diff(levels, axis=0)).mean(0)]
        label = file.stem.rstrip("0123456789")
        yield Sample(label, file.name, partial(_link, file.resolve()), np.concatenate(numbers))


def _room(data: Path) -> Iterator[Sample]:
    visits, empty = footage(data / "video_intel" / "one-by-one-person-detection.mp4")
    for person, (visit, room) in enumerate(zip(visits, empty, strict=True)):
        walking = np.concatenate([visit.coming[::3], visit.leaving[::3]])
        shown = {"empty": room[::4], "walking": walking, "standing": visit.staying[8:-8:8]}
        for label, frames in shown.items():
            for number, frame in enumerate(frames):
                tiny = cv2.resize(frame, _TINY, interpolation=cv2.INTER_AREA)
                name, write = f"{person}-{number}.jpg", partial(_write_picture, frame)
                yield Sample(label, name, write, tiny.astype(np.float64).ravel(), person)


def _office_climate(data: Path) -> Iterator[Sample]:
    with (data / "occupancy" / "datatraining.txt").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]  # number, time, temperature, humidity, light, CO2, -, who
    times = np.array([datetime.fromisoformat(row[1]).timestamp() for row in rows])
    values = np.array([[row[2], row[3], row[5]] for row in rows], np.float64)
    there = np.array([row[7] == "1" for row in rows])
    names = ("temperature", "humidity", "co2")
    yield from _tables(times, values, there, names, ("empty", "occupied"), _OFFICE_ROWS, "office")


def _pump(data: Path) -> Iterator[Sample]:
    for file in sorted((data / "skab" / "valve1").glob("*.csv")):
        values, wrong = read_pump(file)
        names = tuple(f"channel{n}" for n in range(values.shape[1]))
        seconds = np.arange(len(values), dtype=np.float64)
        yield from _tables(
            seconds, values, wrong, names, ("well", "fault"), _PUMP_ROWS, f"pump{file.stem}"
        )


def _tables(
    times_s: Floats,
    values: Floats,
    truth: np.ndarray[tuple[int], np.dtype[np.bool_]],
    names: Sequence[str],
    labels: tuple[str, str],
    length: int,
    stem: str,
) -> Iterator[Sample]:
    """Pieces of a table in which nothing begins or ends."""
    for first in range(0, len(values) - length + 1, length):
        rows = slice(first, first + length)
        part, said = values[rows], truth[rows]
        if said.all() or not said.any():
            table = np.column_stack([times_s[rows] - times_s[first], part])
            numbers = np.concatenate([part.mean(0), part.std(0), part[-1] - part[0]])
            write = partial(_write_table, table, ("time", *names))
            yield Sample(labels[int(said[0])], f"{stem}-{first}.csv", write, numbers)


def _link(file: Path, place: Path) -> None:
    place.symlink_to(file)


def _write_picture(frame: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], place: Path) -> None:
    cv2.imwrite(str(place), frame)


def _write_table(table: Floats, names: Sequence[str], place: Path) -> None:
    np.savetxt(place, table, "%.9g", ",", header=",".join(names), comments="")


FOLDERS: dict[str, Callable[[Path], Iterator[Sample]]] = {
    "office sounds of 11 kinds": _office_sounds,
    "a room with a third person": _room,
    "an office, occupied or not": _office_climate,
    "a pump, well or not": _pump,
}
