"""Held-out scores: every normal window judged by densities that had not seen it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.core.errors import ModelError
from pipeline.models.features import StreamFeatures
from pipeline.models.scene_standing import Standing
from pipeline.models.settings import DetectorSettings
from pipeline.models.stream_density import (
    RawScores,
    StreamDensity,
    collect,
    fit_stream,
    has_level,
    held_levels,
)
from pipeline.models.stream_model import score_rows
from pipeline.models.together import dims_for, fit_together
from pipeline.training.normal_rows import NormalRows
from pipeline.training.stream_data import Indices, StreamData

Array = npt.NDArray[np.float64]
Progress = Callable[[str, int, int | None], None]

_CHUNK = 64
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class StreamHeld:
    """Held-out scores of one stream.

    Attributes:
        windows: Positions of the windows that saw it, growing ``(m,)``.
        raw: Their scores; the embedding is empty, since every part has its own axes.
    """

    windows: Indices
    raw: RawScores


def cross_fit(
    rows: NormalRows, data: Sequence[StreamData], settings: DetectorSettings, tell: Progress
) -> list[StreamHeld]:
    """Held-out scores per stream.

    As many parts at a time as there are processors: none knows of another, so what comes out
    does not depend on it.
    """
    fold_of = rows.folds()

    def judged(fold: int) -> list[tuple[Indices, RawScores]]:
        learn, judge = rows.split(fold_of, fold)
        generator = torch.Generator().manual_seed(settings.seed + 1 + fold)
        fitted = (fit_density(part, learn, settings, generator) for part in data)
        return [
            _judge(part, one, _as_live(part, one, rows.hop_ns), judge, settings)
            for part, one in zip(data, fitted, strict=True)
        ]

    found: list[list[tuple[Indices, RawScores]]] = []
    with ThreadPoolExecutor(min(settings.folds, os.cpu_count() or 1), "cross-fit") as workers:
        tell("calibration", 0, settings.folds)
        for parts in workers.map(judged, range(settings.folds)):
            found.append(parts)
            tell("calibration", len(found), settings.folds)
    held = [_in_order(parts) for parts in zip(*found, strict=True)]
    return [_with_levels(h, part, rows, settings) for h, part in zip(held, data, strict=True)]


def _with_levels(
    held: StreamHeld, data: StreamData, rows: NormalRows, settings: DetectorSettings
) -> StreamHeld:
    """Levels judged by what lies before or after, never by what lies around.

    How levels stand to each other shifts over hours. Between two stretches that were learnt it
    can be guessed; live, nothing that comes later is known, and a tail of guesses would call
    every slow shift an anomaly.
    """
    if not has_level(data.extractor):
        return held
    part_of = rows.in_a_row()
    levels = torch.zeros_like(held.raw.level)
    for number in range(settings.folds):
        learn, judge = (data.positions(chosen) for chosen in rows.split(part_of, number))
        if len(learn) and len(judge):
            levels[torch.from_numpy(judge)] = held_levels(
                collect([data.features[i] for i in learn]),
                collect([data.features[i] for i in judge]),
                data.extractor,
                settings,
                data.drift,
                data.rhythm,
                data.wander,
            )
    return replace(held, raw=replace(held.raw, level=levels))


def cross_fit_together(
    rows: NormalRows, embedded: Embedded, streams: Sequence[str], settings: DetectorSettings
) -> dict[str, Array]:
    """Held-out scores between streams by name, ``(kept,)``, NaN where not seen.

    The embeddings are those of the final fit: parts with axes of their own would differ more
    from each other than what they learn differs from what is live. A few leading axes of
    thousands of windows know nothing of a single one.
    """
    fold_of, dims = rows.folds(), dims_for(rows.kept, settings)
    found: dict[str, Array] = {}
    for fold in range(settings.folds):
        learn, judge = rows.split(fold_of, fold)
        generator = torch.Generator().manual_seed(settings.seed + 1 + fold)
        together = fit_together(*embedded.at(learn), settings, dims, generator)
        scores = together.scores(*embedded.at(judge), settings).numpy()
        for column, name in enumerate(together.names(streams)):
            found.setdefault(name, np.full(rows.kept, np.nan))[judge] = scores[:, column]
    return found


@dataclass(frozen=True, slots=True)
class Embedded:
    """Embeddings of all streams in all windows.

    Attributes:
        values: Per stream ``(kept, E)``; zero where it was not seen.
        seen: bool ``(kept, M)``.
    """

    values: tuple[Tensor, ...]
    seen: Tensor

    def at(self, chosen: Indices) -> tuple[list[Tensor], Tensor]:
        """Those of some windows."""
        rows = torch.from_numpy(chosen)
        return [v[rows] for v in self.values], self.seen[rows]


def embed_all(data: Sequence[StreamData], fitted: Sequence[StreamDensity], kept: int) -> Embedded:
    """Embed every stream in every window by its density."""
    values: list[Tensor] = []
    seen = torch.zeros((kept, len(data)), dtype=torch.bool)
    for number, (part, density) in enumerate(zip(data, fitted, strict=True)):
        whole = torch.zeros((kept, density.width), dtype=torch.float64)
        rows = torch.from_numpy(part.windows)
        whole[rows] = torch.cat(
            [
                density.embed(collect(part.features[low : low + _CHUNK]))
                for low in range(0, len(part.features), _CHUNK)
            ]
        )
        seen[rows, number] = True
        values.append(whole)
    return Embedded(tuple(values), seen)


def fit_density(
    data: StreamData, learn: Indices, settings: DetectorSettings, generator: torch.Generator
) -> StreamDensity:
    """Learn a stream from some of the windows.

    Raises:
        ModelError: It was seen in too few of them.
    """
    chosen = data.positions(learn)
    if len(chosen) < settings.min_windows // 3:
        raise ModelError(
            f"seen in too few windows ({len(chosen)}) to be learnt",
            where=data.info.name,
            fix="record for longer, or take the stream out of the scene",
        )
    rows = collect([data.features[i] for i in chosen])
    slow = data.drift, data.rhythm, data.wander
    density = fit_stream(rows, data.extractor, settings, *slow, generator)
    return replace(density, running=data.running)


def _as_live(data: StreamData, density: StreamDensity, hop_ns: int) -> list[StreamFeatures]:
    """A stream's features with what stood still by then, as if it had been watched live."""
    if density.objects is None:
        return data.features
    standing = Standing(density.objects.background, hop_ns)
    windows = zip(data.features, data.seen_in, data.degraded(), strict=True)
    return [standing.follow(one, index * hop_ns, not bad) for one, index, bad in windows]


def _judge(
    data: StreamData,
    density: StreamDensity,
    features: Sequence[StreamFeatures],
    judge: Indices,
    settings: DetectorSettings,
) -> tuple[Indices, RawScores]:
    """Scores of the windows of `judge` that saw the stream, and which they are."""
    at = data.positions(judge)
    parts = [
        score_rows(
            density,
            data.extractor,
            settings,
            [features[i] for i in at[low : low + _CHUNK]],
            _CPU,
        )
        for low in range(0, len(at), _CHUNK)
    ]
    if not parts:
        nothing = [features[0]]
        parts = [rows_of(score_rows(density, data.extractor, settings, nothing, _CPU), slice(0))]
    return data.windows[at], _joined(parts)


def _in_order(parts: Sequence[tuple[Indices, RawScores]]) -> StreamHeld:
    windows = np.concatenate([at for at, _ in parts])
    order = np.argsort(windows, kind="stable")
    bare = [_without_embedding(raw) for _, raw in parts]
    return StreamHeld(windows[order], rows_of(_joined(bare), torch.from_numpy(order)))


def _without_embedding(raw: RawScores) -> RawScores:
    return replace(raw, embedding=raw.embedding[:, :0])


_FIELDS = ("far", "near", "pooled_far", "pooled_near", "item", "level", "embedding", "objects")


def _joined(parts: Sequence[RawScores]) -> RawScores:
    return RawScores(*(torch.cat([getattr(p, name) for p in parts]) for name in _FIELDS))


def rows_of(raw: RawScores, rows: Tensor | slice) -> RawScores:
    """Some of the rows."""
    return RawScores(*(getattr(raw, name)[rows] for name in _FIELDS))
