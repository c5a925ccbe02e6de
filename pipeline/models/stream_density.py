"""All densities of one stream: learn them from feature rows, score feature rows with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.models.cycle import Rhythm
from pipeline.models.density import (
    Axes,
    PlaceDensity,
    PooledDensity,
    fit_axes,
    fit_places,
    fit_pooled,
)
from pipeline.models.drift import Wander
from pipeline.models.features import Extractor, StreamFeatures
from pipeline.models.item_density import ItemDensity, fit_items
from pipeline.models.level_density import LevelDensity, fit_level
from pipeline.models.normalise import Normaliser, fit_normaliser
from pipeline.models.objects import PARTS, ObjectDensity, fit_objects
from pipeline.models.running_level import LearntLevel
from pipeline.models.settings import DetectorSettings
from pipeline.models.standing import Stood

_MAX_FIT_ITEMS = 40_000
LEVELS_UP_TO = 15  # places; among more, what each of them adds by chance drowns the rest


@dataclass(frozen=True, slots=True)
class Rows:
    """Features of a stream in several windows.

    Attributes:
        places: float64 ``(B, P, d)``.
        present: bool ``(B, P)``.
        items: float64 ``(sum of I, e)``.
        counts: Items per window, ``B`` numbers.
        views: Packed pictures per window.
        times_s: Site time of each window's first moment, float64 ``(B,)``.
        stood: What is background in the views of each window because it stands still.
    """

    places: Tensor
    present: Tensor
    items: Tensor
    counts: tuple[int, ...]
    times_s: Tensor
    views: tuple[tuple[bytes, ...], ...] = ()
    stood: tuple[Stood | None, ...] = ()


@dataclass(frozen=True, slots=True)
class RawScores:
    """Distances before they are made comparable; higher is more anomalous.

    Attributes:
        far: Mahalanobis per place, ``(B, P)``.
        near: Neighbour distance per place, ``(B, P)``.
        pooled_far: Mahalanobis of the whole stream, ``(B,)``; 0 where it is not judged so.
        pooled_near: Neighbour distance of the whole stream, ``(B,)``; likewise.
        item: Largest neighbour distance of an item, ``(B,)``; 0 without items.
        level: Mahalanobis distance of the levels of all places, ``(B,)``; 0 without such.
        embedding: Whitened principal components, ``(B, E)``.
        objects: How new the newest thing in the picture is, as an object and by its move,
            ``(B, 2)``; NaN where not looked for.
    """

    far: Tensor
    near: Tensor
    pooled_far: Tensor
    pooled_near: Tensor
    item: Tensor
    level: Tensor
    embedding: Tensor
    objects: Tensor


@dataclass(frozen=True, slots=True)
class StreamDensity:
    """What is normal for one stream."""

    normaliser: Normaliser
    places: PlaceDensity
    pooled: PooledDensity | None
    items: ItemDensity | None
    level: LevelDensity | None
    axes: Axes
    objects: ObjectDensity | None = None
    running: LearntLevel | None = None

    @property
    def width(self) -> int:
        """Numbers in an embedding, ``E``."""
        return self.axes.project.shape[1]

    def score(self, rows: Rows, neighbours: int, item_neighbours: int | None) -> RawScores:
        """Distances of each window of `rows`."""
        normal = self.normaliser.apply(rows.places, rows.present, rows.times_s)
        far, near = self.places.scores(normal, rows.present, neighbours)
        flat = normal.reshape(len(normal), -1)
        item = self._items(rows, item_neighbours or neighbours)
        none = torch.zeros_like(item)
        pooled = (none, none) if self.pooled is None else self.pooled.scores(flat, neighbours)
        level = none
        if self.level is not None:
            level = self.level.scores(normal, self.normaliser.wander, rows.times_s)
        embedding, objects = self.axes.embed(flat), self._objects(rows)
        return RawScores(far, near, *pooled, item, level, embedding, objects)

    def embed(self, rows: Rows) -> Tensor:
        """Whitened principal components of each window, ``(B, E)``."""
        normal = self.normaliser.apply(rows.places, rows.present, rows.times_s)
        return self.axes.embed(normal.reshape(len(normal), -1))

    def _objects(self, rows: Rows) -> Tensor:
        if self.objects is None or not rows.views:
            return torch.full_like(rows.places[:, 0, :1], torch.nan).expand(-1, PARTS)
        return self.objects.scores(rows.views, rows.stood)

    def _items(self, rows: Rows, k: int) -> Tensor:
        if self.items is None or not len(rows.items):
            return torch.zeros_like(rows.times_s)
        return self.items.furthest(rows.items, rows.counts, k)


def has_level(extractor: Extractor) -> bool:
    """Whether the levels of a stream's places are judged together."""
    return extractor.level_column is not None and 2 <= len(extractor.labels) <= LEVELS_UP_TO


def has_pooled(extractor: Extractor) -> bool:
    """Whether a stream is judged as a whole, all columns of all places in one density."""
    return extractor.places_order is None or has_level(extractor)


def collect(features: Sequence[StreamFeatures], device: torch.device | str = "cpu") -> Rows:
    """Stack the features of several windows."""
    items = [f.items for f in features if len(f.items)]
    stacked = np.concatenate(items) if items else np.zeros((0, 0), np.float32)
    return Rows(
        torch.from_numpy(np.stack([_shifted(f) for f in features])).to(device, torch.float64),
        torch.from_numpy(np.stack([f.present for f in features])).to(device),
        torch.from_numpy(stacked).to(device, torch.float64),
        tuple(len(f.items) for f in features),
        torch.tensor([f.start_ns / 1e9 for f in features], dtype=torch.float64, device=device),
        tuple(f.views for f in features),
        tuple(f.stood for f in features),
    )


def _shifted(features: StreamFeatures) -> npt.NDArray[np.float32]:
    if features.shift is None:
        return features.places
    places = features.places.copy()
    places[:, 0] -= features.shift
    return np.where(features.present[:, None], places, np.float32(0.0))


def fit_stream(
    rows: Rows,
    extractor: Extractor,
    settings: DetectorSettings,
    drift: Tensor | None,
    rhythm: Rhythm | None,
    wander: Wander | None,
    generator: torch.Generator,
) -> StreamDensity:
    """Learn what is normal for a stream.

    Args:
        rows: Its features in normal windows, in the order of time.
        extractor: Its features' properties.
        settings: Options of the detector.
        drift: Widening of each column for drift, ``(P, d)``; see `normalise.drift_of`.
        rhythm: The cycle that it may follow.
        wander: How its limits grow with time.
        generator: Source of the choice of remembered windows.
    """
    normaliser, slack = _normaliser(rows, extractor, settings, drift, rhythm, wander)
    normal = normaliser.apply(rows.places, rows.present, rows.times_s)
    flat, dims = normal.reshape(len(normal), -1), settings.embedding_dims
    pooled = flat, slack.reshape(-1), dims, settings.memory, generator
    return StreamDensity(
        normaliser,
        fit_places(normal, rows.present, slack, settings.place_memory, generator),
        fit_pooled(*pooled) if has_pooled(extractor) else None,
        _fit_items(rows, extractor, settings, generator),
        _fit_level(normal, extractor, slack),
        fit_axes(flat, dims, normaliser.wander.widest().reshape(-1)),
        fit_objects(rows.views, 2 * settings.memory, settings.seed),
    )


def held_levels(
    learn: Rows,
    judge: Rows,
    extractor: Extractor,
    settings: DetectorSettings,
    drift: Tensor | None,
    rhythm: Rhythm | None,
    wander: Wander | None,
) -> Tensor:
    """How the levels of `judge` stand to each other by what `learn` shows, ``(B,)``."""
    normaliser, slack = _normaliser(learn, extractor, settings, drift, rhythm, wander)
    normal = normaliser.apply(learn.places, learn.present, learn.times_s)
    level = _fit_level(normal, extractor, slack)
    if level is None:
        return torch.zeros(len(judge.places), dtype=torch.float64)
    normal = normaliser.apply(judge.places, judge.present, judge.times_s)
    return level.scores(normal, normaliser.wander, judge.times_s)


def _normaliser(
    rows: Rows,
    extractor: Extractor,
    settings: DetectorSettings,
    drift: Tensor | None,
    rhythm: Rhythm | None,
    wander: Wander | None,
) -> tuple[Normaliser, Tensor]:
    return fit_normaliser(
        rows.places,
        rows.present,
        extractor.log_columns,
        extractor.common_columns,
        settings.common_modes,
        drift,
        _tolerance(rows, extractor),
        rows.times_s,
        rhythm,
        wander,
    )


def _tolerance(rows: Rows, extractor: Extractor) -> Tensor:
    """Change of each column that is never unusual, ``(P, d)``."""
    least = torch.tensor(extractor.tolerances, dtype=torch.float64)
    tolerance = least.expand(rows.places.shape[1:]).clone()
    size = torch.where(rows.present, rows.places[..., 0], torch.nan).nanmedian(dim=0).values
    for column in extractor.relative_columns:
        tolerance[:, column] *= size.abs().nan_to_num(0.0)  # the size of the value, column 0
    return tolerance


def _fit_level(normal: Tensor, extractor: Extractor, slack: Tensor) -> LevelDensity | None:
    if extractor.level_column is None or not has_level(extractor):
        return None
    return fit_level(normal, extractor.level_column, slack)


def _fit_items(
    rows: Rows, extractor: Extractor, settings: DetectorSettings, generator: torch.Generator
) -> ItemDensity | None:
    if not extractor.item_dims:
        return None
    plain = extractor.item_neighbours == 1
    if not len(rows.items):
        # Never a line in training: any line is as far as a line can be.
        return fit_items(
            torch.zeros(1, extractor.item_dims, dtype=torch.float64), 1, True, generator
        )
    chosen = torch.randperm(len(rows.items), generator=generator)[:_MAX_FIT_ITEMS]
    items = _each_once(rows.items) if plain else rows.items[chosen]
    return fit_items(items, settings.memory // 2, plain, generator)


def _each_once(items: Tensor) -> Tensor:
    """Items with few repetitions: a line that came once is as well known as one that came often.

    Part by part, since those of weeks take much memory.
    """
    return torch.cat([torch.unique(part, dim=0) for part in torch.split(items, _MAX_FIT_ITEMS)])
