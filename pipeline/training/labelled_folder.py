"""A folder of labelled samples: which files belong together, and what they show.

The layout is ``FOLDER/CLASS/SAMPLE.EXT`` or ``FOLDER/CLASS/SAMPLE/*``: files of one stem, or of
one sample's folder, are one sample, with at most one file per modality; any may be missing. A
clip with no file of sound beside it has its own.
``FOLDER/train/CLASS/...``, ``val`` and ``test`` likewise say what is for what. Instead of
folders of classes a table ``FOLDER/labels.csv`` with the columns ``sample`` (path of a sample
in the folder, its extension is not needed), ``class`` and, if wanted, ``split`` may say it; any
other column of numbers can be what a regression head learns.

What cannot be used is listed with a reason and costs nothing but itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby
from pathlib import Path

from pipeline.core.errors import ConfigError
from pipeline.core.sample import Modality
from pipeline.recording.import_table import read_table

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})
_ENDINGS = {
    Modality.VIDEO: PICTURES | {".mp4", ".mkv", ".mov", ".avi", ".webm"},
    Modality.AUDIO: {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a"},
    Modality.TEXT: {".txt"},
    Modality.SENSOR: {".csv"},
}
_KIND = {ending: modality for modality, endings in _ENDINGS.items() for ending in endings}
TABLE = "labels.csv"
_SAID = frozenset({"sample", "class", "split"})  # columns with a meaning of their own


class Split(StrEnum):
    """What a sample is for; also the name of its folder."""

    TRAIN = "train"
    """To learn from."""

    HELD_OUT = "val"
    """To tell when learning should end."""

    TEST = "test"
    """To judge by, once."""


@dataclass(frozen=True, slots=True)
class LabelledSample:
    """One sample.

    Attributes:
        name: Its path in the folder, without an extension.
        label: Its class.
        files: One file per modality that it has.
        split: What it is for, if the folder says so.
        numbers: What the further columns of the table say of it, where that is a number.
    """

    name: str
    label: str
    files: Mapping[Modality, Path]
    split: Split | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unusable:
    """A file, a part of one, or a whole sample, that cannot be used.

    Attributes:
        path: Its path in the folder.
        reason: Why not.
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class LabelledFolder:
    """What a folder holds.

    Attributes:
        root: The folder.
        samples: Its samples by name.
        unusable: What is there and cannot be used.
    """

    root: Path
    samples: tuple[LabelledSample, ...]
    unusable: tuple[Unusable, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, sorted."""
        return tuple(sorted({sample.label for sample in self.samples}))

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Modalities that any sample has a file of."""
        found = {modality for sample in self.samples for modality in sample.files}
        return tuple(modality for modality in Modality if modality in found)


def read_folder(root: Path) -> LabelledFolder:
    """Find the samples of a folder; their files are not opened.

    Raises:
        ConfigError: There is no such folder, no sample in it, or its table lacks a column.
        RecordingError: Its table cannot be read.
    """
    if not root.is_dir():
        raise ConfigError("no such folder", where=str(root), fix="FOLDER/CLASS/SAMPLE.EXT")
    unusable: list[Unusable] = []
    found = _by_table(root, unusable) if (root / TABLE).is_file() else _by_folder(root, unusable)
    samples = tuple(sorted(found, key=lambda sample: (sample.label, sample.name)))
    if not samples:
        raise ConfigError(
            "holds no samples" + (f" ({unusable[0].reason})" if unusable else ""),
            where=str(root),
            fix="put files into a folder per class: FOLDER/CLASS/SAMPLE.EXT",
        )
    return LabelledFolder(root, samples, tuple(unusable))


def _by_folder(root: Path, unusable: list[Unusable]) -> Iterator[LabelledSample]:
    marked = (root / Split.TRAIN).is_dir()
    splits = [split for split in Split if (root / split).is_dir()] if marked else [None]
    for split in splits:
        top = root / split if split else root
        for folder in _folders(top):
            for name, files in _samples_in(folder):
                label = folder.name
                yield from _sample(root, name, label, files, split, unusable)


def _by_table(root: Path, unusable: list[Unusable]) -> Iterator[LabelledSample]:
    table = read_table(root / TABLE)
    names = [name.lower() if name.lower() in _SAID else name for name in table.header]
    if missing := [name for name in ("sample", "class") if name not in names]:
        raise ConfigError(f"has no column {' and none '.join(missing)}", where=str(root / TABLE))
    listings: dict[Path, dict[Path, list[Path]]] = {}
    for line, cells in table.rows:
        row = dict(zip(names, cells, strict=False))
        split = row.get("split", "")
        if not row.get("sample") or not row.get("class") or split not in {"", *Split}:
            unusable.append(
                Unusable(f"{TABLE}:{line}", "needs a sample, a class and a known split")
            )
            continue
        place = _within(root, row["sample"])
        if place is None:
            unusable.append(Unusable(f"{TABLE}:{line}", "a path outside of the folder"))
            continue
        listing = listings.setdefault(place.parent, dict(_samples_in(place.parent)))
        place = place if place in listing else place.with_suffix("")
        if place not in listing:
            unusable.append(Unusable(f"{TABLE}:{line}", "no file of this name"))
            continue
        files, purpose = listing[place], Split(split) if split else None
        for sample in _sample(root, place, row["class"], files, purpose, unusable):
            yield replace(sample, numbers=_numbers(row))


def _within(root: Path, said: str) -> Path | None:
    """Where a sample of the table lies, as the folder is written; None: not in the folder."""
    path = Path(said)
    if not path.is_absolute():
        return root / path
    for top in (root, root.absolute(), root.resolve()):
        if path.is_relative_to(top):
            return root / path.relative_to(top)
    return None


def _numbers(row: Mapping[str, str]) -> dict[str, float]:
    """The finite numbers among the further columns, by name and by its small letters."""
    found: dict[str, float] = {}
    for name, cell in row.items():
        if name not in _SAID and (value := _number(cell)) is not None:
            found[name] = value
    # Networks of 0.1 know columns by small letters only.
    return {name.lower(): value for name, value in found.items()} | found


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _sample(
    root: Path,
    name: Path,
    label: str,
    files: Sequence[Path],
    split: Split | None,
    unusable: list[Unusable],
) -> Iterator[LabelledSample]:
    """The sample of some files, unless none of them can be used."""
    kinds: dict[Modality, Path] = {}
    for file in files:
        modality = _KIND.get(file.suffix.lower())
        where = file.relative_to(root).as_posix()
        if modality is None:
            unusable.append(Unusable(where, f"files of kind {file.suffix!r} are not read"))
        elif modality in kinds:
            unusable.append(Unusable(where, f"a second file of {modality.value} in one sample"))
        else:
            kinds[modality] = file
    if kinds:
        yield LabelledSample(name.relative_to(root).as_posix(), label, kinds, split)


def _samples_in(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Path without extension, and files, of each sample of a folder."""
    if not folder.is_dir():
        return
    shown = _shown(folder)
    for inner in (path for path in shown if path.is_dir()):
        yield inner, [path for path in _shown(inner) if path.is_file()]
    files = sorted(
        (path for path in shown if path.is_file()), key=lambda path: path.with_suffix("")
    )
    for stem, group in groupby(files, key=lambda path: path.with_suffix("")):
        yield stem, list(group)


def _folders(folder: Path) -> list[Path]:
    return [path for path in _shown(folder) if path.is_dir()]


def _shown(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
