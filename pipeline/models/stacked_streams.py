"""One stream of many scenes scored at once: a window of each.

The densities run as they are over all scenes (`pipeline.models.stacking`). What they say is
made comparable by the same steps as `pipeline.models.stream_model` takes on the processor, here
on tensors. Things in a picture are not looked for here: that is work on pixels and contours,
which stays on the processor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.models.features import Extractor
from pipeline.models.item_density import ItemDensity
from pipeline.models.stacking import Slots, Stacked, Tensors, layout, stacked
from pipeline.models.stream_density import Rows, StreamDensity
from pipeline.models.stream_model import StreamModel, few_worst, place_kinds
from pipeline.models.tails import DECIMALS, LIGHTEST, SMALLEST_P, TAIL_SHARE, PlaceTails

Layout = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """Features of one stream, a window of each of ``B`` scenes.

    Attributes:
        places: ``(B, P, d)``.
        present: bool ``(B, P)``.
        items: ``(B, I, e)``; anything beyond those that a window has.
        counts: Items of each window, int64 ``(B,)``.
        times_s: Site time of each window's first moment, float64 ``(B,)``.
    """

    places: Tensor
    present: Tensor
    items: Tensor
    counts: Tensor
    times_s: Tensor


@dataclass(frozen=True, slots=True)
class StreamVerdict:
    """What one stream shows in a window of each scene.

    Attributes:
        scores: Raw scores of its sub-detectors but those of things, ``(B, D)``.
        places: How rare each place is, ``-log10 p``, ``(B, P)``.
        embedding: Whitened principal components, ``(B, E)``.
    """

    scores: Tensor
    places: Tensor
    embedding: Tensor


def stream_layout(model: StreamModel) -> Layout | None:
    """What must be the same for streams to be stacked; None: nothing can stand beside it."""
    settings, density = model.settings, model.density
    alone, items = replace(density, objects=None, items=None, running=None), density.items
    item_k = model.extractor.item_neighbours or settings.neighbours
    parts = [layout(part, settings.neighbours) for part in (alone, model.far, model.near)]
    parts.append(() if items is None else layout(items, item_k))
    if any(part is None for part in parts):
        return None
    kinds = tuple(place_kinds(model.extractor))
    things = density.objects is not None  # if not, it has no columns for them
    return (model.info.modality, kinds, things, settings.neighbours, *parts)


class StackedStream:
    """One stream of scenes of one `stream_layout`.

    Args:
        models: That of each scene, ``(S,)``, on the processor.
        device: Where to score.
        dtype: Of the densities.
    """

    def __init__(
        self, models: Sequence[StreamModel], device: torch.device, dtype: torch.dtype
    ) -> None:
        first = models[0]
        self.extractor: Extractor = first.extractor
        self.width = first.density.width
        self.kinds = place_kinds(self.extractor)
        self._k = first.settings.neighbours
        self._item_k = self.extractor.item_neighbours or self._k
        alone = [replace(m.density, objects=None, items=None, running=None) for m in models]
        self._density: Stacked[StreamDensity] = stacked(alone, device, dtype)
        items = [m.density.items for m in models if m.density.items is not None]
        self._items: Stacked[ItemDensity] | None = None
        if items:
            self._items = stacked(items, device, dtype)
        tails = [
            stacked([getattr(m, side) for m in models], device, torch.float64)
            for side in ("far", "near")
        ]
        self._tails: list[Stacked[PlaceTails]] = tails

    @property
    def columns(self) -> int:
        """Sub-detectors that it scores."""
        return len(self.kinds) + bool(self.extractor.item_dims)

    @property
    def nbytes(self) -> int:
        """Bytes of all that was learnt."""
        own = self._density.nbytes + sum(one.nbytes for one in self._tails)
        return own + (0 if self._items is None else self._items.nbytes)

    def score(self, batch: StreamBatch, slots: Slots) -> StreamVerdict:
        """Score a window of each of the scenes in `slots`."""
        far, near, pooled_far, pooled_near, level, embedding = torch.func.vmap(self._one)(
            self._density.of(slots), batch.places, batch.present, batch.times_s
        )
        rare = [
            _surprise(scores.double(), tails.of(slots))
            for scores, tails in zip((far, near), self._tails, strict=True)
        ]
        places = (rare[0] + rare[1]) / 2.0
        known = {"mahalanobis": pooled_far, "knn": pooled_near, "level": level}
        columns = [
            known[kind].double() if kind in known else self._of_places(kind, places)
            for kind in self.kinds
        ]
        if self.extractor.item_dims:
            columns.append(self._newest(batch, slots).double())
        return StreamVerdict(torch.stack(columns, dim=1), places, embedding)

    def _one(
        self, learnt: Tensors, places: Tensor, present: Tensor, time_s: Tensor
    ) -> tuple[Tensor, ...]:
        """Distances of one scene's window: its places ``(P, d)``, to the shapes of one row."""
        density = self._density.one(learnt)
        none = places.new_zeros((0, 0))
        rows = Rows(places[None], present[None], none, (0,), time_s[None])
        raw = density.score(rows, self._k, None)
        found = (raw.far, raw.near, raw.pooled_far, raw.pooled_near, raw.level, raw.embedding)
        return tuple(one[0] for one in found)

    def _newest(self, batch: StreamBatch, slots: Slots) -> Tensor:
        """Largest neighbour distance of an item of each window, ``(B,)``; 0 without any."""
        most = batch.items.shape[1]
        if self._items is None or not most:
            return batch.places.new_zeros(len(batch.places))
        away = torch.func.vmap(self._away)(self._items.of(slots), batch.items)  # (B, I)
        there = torch.arange(most, device=away.device) < batch.counts[:, None]
        return torch.where(there, away, 0.0).amax(dim=1)

    def _away(self, learnt: Tensors, items: Tensor) -> Tensor:
        if self._items is None:
            return items.new_zeros(len(items))
        return self._items.one(learnt).scores(items, self._item_k)

    def _of_places(self, kind: str, places: Tensor) -> Tensor:
        """What the places say together, ``(B, P)`` to ``(B,)``; as `stream_model` has it."""
        if kind == "wide":
            few: Tensor = places.topk(few_worst(places.shape[1]), dim=1).values.mean(dim=1)
            return few
        if self.extractor.places_order is None:
            return places.amax(dim=1)
        order = self.extractor.places_order
        return (places**order).sum(dim=1) ** (1.0 / order)


def _surprise(scores: Tensor, tails: Tensors) -> Tensor:
    """As `PlaceTails.surprise`, of the window of each scene: ``(B, P)`` to ``(B, P)``."""
    start, scale, levels = (tails[f"learnt.{name}"] for name in ("start", "scale", "levels"))
    shape = tails["learnt.shape"][:, None]
    scores = torch.round(scores, decimals=DECIMALS)
    over = (scores - start).clamp_min(0.0) / scale
    heavy = torch.log1p(shape * over) / shape.clamp_min(LIGHTEST)
    tail = torch.where(shape >= LIGHTEST, heavy, over)
    body = (scores[..., None] >= levels).double().mean(dim=-1) * (1.0 - TAIL_SHARE)
    below = -torch.log10((1.0 - body).clamp_min(TAIL_SHARE))
    rare = torch.where(scores <= start, below, tail / math.log(10.0) - math.log10(TAIL_SHARE))
    return rare.nan_to_num(0.0).clamp_max(-math.log10(SMALLEST_P))
