"""Held-out scores: every normal window judged by densities that had not seen it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.core.errors import ModelError
from pipeline.models.density import PooledDensity, fit_pooled
from pipeline.models.scene_model import joint_part
from pipeline.models.settings import DetectorSettings
from pipeline.models.stream_density import RawScores, StreamDensity, collect, fit_stream
from pipeline.models.stream_model import score_rows
from pipeline.training.normal_rows import Indices, NormalRows, StreamData

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
) -> tuple[list[StreamHeld], Array]:
    """Held-out scores per stream, and jointly as ``(kept, 2)`` with NaN where not seen."""
    fold_of = rows.folds()
    found: list[list[tuple[Indices, RawScores]]] = [[] for _ in data]
    joint = np.full((rows.kept, 2), np.nan)
    for fold in range(settings.folds):
        tell("calibration", fold, settings.folds)
        learn, judge = rows.split(fold_of, fold)
        generator = torch.Generator().manual_seed(settings.seed + 1 + fold)
        fitted = [fit_density(d, learn, settings, generator) for d in data]
        scored = [_judge(d, f, judge, settings) for d, f in zip(data, fitted, strict=True)]
        for store, part in zip(found, scored, strict=True):
            store.append(part)
        _judge_jointly(data, fitted, learn, scored, settings, generator, joint)
    tell("calibration", settings.folds, settings.folds)
    return [_in_order(parts) for parts in found], joint


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
    return fit_stream(rows, data.extractor, settings, data.drift, generator)


def fit_joint(
    data: Sequence[StreamData],
    fitted: Sequence[StreamDensity],
    learn: Indices,
    settings: DetectorSettings,
    generator: torch.Generator,
) -> PooledDensity | None:
    """Learn all streams jointly from the windows that saw them all; None with too few."""
    if len(data) < 2:
        return None
    common = learn
    for part in data:
        common = np.intersect1d(common, part.windows)
    if len(common) < settings.min_windows // 3:
        return None
    embedded = [_embed(d, f, common) for d, f in zip(data, fitted, strict=True)]
    whole = torch.cat([joint_part(e, settings) for e in embedded], dim=1)
    return fit_pooled(whole, None, whole.shape[1], settings.memory, generator)


def _embed(data: StreamData, density: StreamDensity, chosen: Indices) -> Tensor:
    at = data.positions(chosen)
    parts = [
        density.embed(collect([data.features[i] for i in at[low : low + _CHUNK]]))
        for low in range(0, len(at), _CHUNK)
    ]
    return torch.cat(parts)


def _judge(
    data: StreamData, density: StreamDensity, judge: Indices, settings: DetectorSettings
) -> tuple[Indices, RawScores]:
    """Scores of the windows of `judge` that saw the stream, and which they are."""
    at = data.positions(judge)
    parts = [
        score_rows(
            density,
            data.extractor,
            settings,
            [data.features[i] for i in at[low : low + _CHUNK]],
            _CPU,
        )
        for low in range(0, len(at), _CHUNK)
    ]
    if not parts:
        nothing = [data.features[0]]
        parts = [rows_of(score_rows(density, data.extractor, settings, nothing, _CPU), slice(0))]
    return data.windows[at], _joined(parts)


def _judge_jointly(
    data: Sequence[StreamData],
    fitted: Sequence[StreamDensity],
    learn: Indices,
    scored: Sequence[tuple[Indices, RawScores]],
    settings: DetectorSettings,
    generator: torch.Generator,
    joint: Array,
) -> None:
    """Joint scores of the judged windows, written into `joint`."""
    density = fit_joint(data, fitted, learn, settings, generator)
    common = scored[0][0]
    for windows, _ in scored[1:]:
        common = np.intersect1d(common, windows)
    if density is None or not len(common):
        return
    parts = []
    for windows, raw in scored:
        rows = torch.from_numpy(np.searchsorted(windows, common))
        parts.append(joint_part(raw.embedding[rows], settings))
    far, near = density.scores(torch.cat(parts, dim=1), settings.neighbours)
    joint[common] = torch.stack([far, near], dim=1).numpy()


def _in_order(parts: Sequence[tuple[Indices, RawScores]]) -> StreamHeld:
    windows = np.concatenate([at for at, _ in parts])
    order = np.argsort(windows, kind="stable")
    bare = [_without_embedding(raw) for _, raw in parts]
    return StreamHeld(windows[order], rows_of(_joined(bare), torch.from_numpy(order)))


def _without_embedding(raw: RawScores) -> RawScores:
    return RawScores(
        raw.far, raw.near, raw.pooled_far, raw.pooled_near, raw.item, raw.embedding[:, :0]
    )


_FIELDS = ("far", "near", "pooled_far", "pooled_near", "item", "embedding")


def _joined(parts: Sequence[RawScores]) -> RawScores:
    return RawScores(*(torch.cat([getattr(p, name) for p in parts]) for name in _FIELDS))


def rows_of(raw: RawScores, rows: Tensor | slice) -> RawScores:
    """Some of the rows."""
    return RawScores(*(getattr(raw, name)[rows] for name in _FIELDS))
