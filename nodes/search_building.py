"""Indexes of recordings: made on first use, kept beside the recording, extended by new ones.

Without a file of its own each recording has its index beside it, and a recording that is
deleted takes nothing from the others. One file for many recordings grows by those that it does
not hold yet, and keeps those that are gone. A recording whose size has changed since is taken
in anew; one of the same name that begins at another time is another. Files of one run that was
split are taken in one by one: the windows across a seam are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nodes.assembly import build_engine
from nodes.replay import SECOND_NS, arrivals_of, driven, start_of
from pipeline.config.deployment import Deployment
from pipeline.core.errors import RecordingError
from pipeline.core.window import Window
from pipeline.detection.scorer import Look
from pipeline.models.checkpoint import load_model
from pipeline.models.search_file import load_index, save_index
from pipeline.models.search_index import About, IndexBuilder, Part, SearchIndex, joined
from pipeline.models.window_vectors import vector_widths, window_vectors
from pipeline.recording.reader import Recording

Progress = Callable[[str, int, int | None], None]

_TOLD_EVERY = 20


class Seen(NamedTuple):
    """One window of a recording as an index keeps it."""

    window: Window
    vectors: Mapping[str, npt.NDArray[np.float32]]
    p: float


class Embedder(Protocol):
    """What makes the vectors of a recording's windows.

    Attributes:
        kind: ``model`` or ``encoder``.
        about: What its windows have in common.
        widths: Numbers in a vector of each stream.
    """

    kind: str
    about: About
    widths: dict[str, int]

    def windows(self, recording: Path) -> Iterator[Seen]:
        """The windows of a recording, cut exactly as live."""
        ...


class ByModel:
    """Vectors by the model of a scene, with the p-value that it would have given live.

    Args:
        deployment: The deployment.
        scene: Which of its scenes.
        file: Its model file.

    Raises:
        ModelError: The model cannot be used.
    """

    kind = "model"

    def __init__(self, deployment: Deployment, scene: str, file: Path) -> None:
        settings = deployment.scenes[scene]
        self._alone = deployment.model_copy(update={"scenes": {scene: settings}})
        self._scene, self._file = scene, file
        self._model = load_model(file)
        self.about = about_of(deployment, scene, f"model {self._model.digest}")
        self.widths = vector_widths(self._model)

    def windows(self, recording: Path) -> Iterator[Seen]:
        """The windows of a recording, cut and scored exactly as live."""
        looks: list[Look] = []
        models = {self._scene: self._file}
        engine = build_engine(self._alone, models=models, watch=looks.append).engine
        arrivals = arrivals_of([recording], start_of([recording]), None, None)
        for _, outcome in driven(engine, arrivals):
            for look, score in zip(looks, outcome.scores, strict=True):
                vectors = window_vectors(self._model, look, score.detectors)
                yield Seen(look.window, vectors, score.p)
            looks.clear()


def about_of(deployment: Deployment, scene: str, embedder: str) -> About:
    """What the windows of a scene have in common."""
    settings = deployment.scenes[scene]
    length_ns, hop_ns = (round(s * SECOND_NS) for s in (settings.window_s, settings.hop_s))
    return About(scene, embedder, length_ns, hop_ns)


def indexes_of(
    embedder: Embedder, recordings: Sequence[Path], file: Path | None, tell: Progress
) -> list[SearchIndex]:
    """The indexes to search, those that are not there yet made.

    Args:
        embedder: What makes the vectors.
        recordings: Recordings to search.
        file: One file for all of them, which may hold more; None: one beside each.
        tell: Called with a recording's name, the windows done and about how many there are.

    Raises:
        RecordingError: A recording cannot be read or shows nothing of the scene.
        ModelError: An index is damaged, or was made by another embedder.
    """
    if file is not None:
        return [_extended(embedder, recordings, file, tell)]
    beside = (beside_of(path, embedder) for path in recordings)
    return [
        _extended(embedder, [path], index, tell)
        for path, index in zip(recordings, beside, strict=True)
    ]


def beside_of(recording: Path, embedder: Embedder) -> Path:
    """Where the index of a recording is kept."""
    text = ".text" if embedder.kind == "encoder" else ""
    return recording.with_name(f"{recording.name}.{embedder.about.scene}{text}.index")


def _extended(
    embedder: Embedder, recordings: Sequence[Path], file: Path, tell: Progress
) -> SearchIndex:
    """The index of a file, after what it lacks was added and saved, recording by recording."""
    index = load_index(file, embedder.about) if file.exists() else None
    for path in recordings:
        found = _part(path, embedder.about.hop_ns)
        held = _held(index, found)
        if held is not None and held.size == found.size:
            continue
        fresh = _built(embedder, path, found, tell)
        if index is not None and held is not None:
            index = index.without(held)
        index = fresh if index is None else joined([index, fresh])
        save_index(index, file)
    if index is None:
        fix = "name recordings with --recording"
        what = "no index there yet, and nothing to make it of"
        raise RecordingError(what, where=str(file), fix=fix)
    return index


def _built(embedder: Embedder, recording: Path, part: Part, tell: Progress) -> SearchIndex:
    builder = IndexBuilder(embedder.about, embedder.widths)
    for seen in embedder.windows(recording):
        builder.add(seen.window.index, seen.vectors, seen.p)
        if len(builder) % _TOLD_EVERY == 0:
            tell(recording.name, len(builder), max(part.rows, len(builder)))
    tell(recording.name, len(builder), len(builder))
    if not len(builder):
        raise RecordingError(
            f"no window of scene {embedder.about.scene!r} in it",
            where=str(recording),
            fix="see fusewatch recording info for its streams and its span",
        )
    return builder.finish(part.name, part.size, part.origin_ns)


def _part(recording: Path, hop_ns: int) -> Part:
    """A recording as an index names it, with about as many rows as it will give."""
    with Recording(recording) as opened:
        windows = max(0, opened.end_ns - opened.start_ns) // hop_ns
        size = recording.stat().st_size
        return Part(recording.name, size, opened.origin_ns, windows)


def _held(index: SearchIndex | None, wanted: Part) -> Part | None:
    """The same recording as an index holds it, of whatever size."""
    parts = () if index is None else index.parts
    same = (p for p in parts if (p.name, p.origin_ns) == (wanted.name, wanted.origin_ns))
    return next(same, None)
