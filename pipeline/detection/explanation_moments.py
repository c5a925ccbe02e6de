"""The normal moments that a window is most like, for a person to compare with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from pipeline.core.explanation import Moment, Then
from pipeline.models.normal_bank import Near, NormalBank
from pipeline.models.scene_model import Features, SceneModel

MOMENTS = 3
"""Moments that are told."""

_LEVELS = 4  # readings or bands told of a moment
_DIGITS = 3
_DUST = 1e-9


def nearest_moments(
    model: SceneModel, features: Features, embeddings: Mapping[str, Tensor]
) -> tuple[Moment, ...]:
    """The moments of what was learnt that a window is most like, the nearest first.

    Args:
        model: The scene's model; none are told by one without moments.
        features: What each stream showed.
        embeddings: Whitened principal components ``(E,)`` of these streams.
    """
    bank = model.bank
    if bank is None:
        return ()
    shown = {name: value.cpu().numpy() for name, value in embeddings.items()}
    return tuple(_moment(model, bank, near, features) for near in bank.nearest(shown, MOMENTS))


def _moment(model: SceneModel, bank: NormalBank, near: Near, features: Features) -> Moment:
    streams = {name: round(apart, _DIGITS) for name, apart in near.streams.items()}
    kept = bank.streams.items()
    return Moment(
        at_ns=int(bank.start_ns[near.row]),
        distance=round(near.distance, _DIGITS),
        differs=max(streams, key=streams.__getitem__),
        streams=streams,
        pictures=tuple(name for name, one in kept if one.pictures[near.row]),
        levels=_levels(model, bank, near, features),
    )


def _levels(
    model: SceneModel, bank: NormalBank, near: Near, features: Features
) -> tuple[Then, ...]:
    """Readings and sound levels that differ by more than they usually vary, the worst first."""
    found: list[tuple[float, Then]] = []
    for stream in (s for s in model.streams if s.info.name in near.streams):
        name = stream.info.name
        then = bank.streams[name].levels[near.row]
        if not len(then):
            continue
        now, (low, high) = features[name].places[:, 0], stream.usual[:, :, 0]
        differs = np.abs(now.astype(np.float64) - then) / np.maximum(high - low, _DUST)
        differs[~features[name].present] = 0.0
        for place in np.flatnonzero(differs >= 1.0).tolist():  # what was not there then is NaN
            label = stream.extractor.labels[place]
            told = Then(name, label, _rounded(then[place]), _rounded(now[place]))
            found.append((float(differs[place]), told))
    found.sort(key=lambda one: -one[0])
    return tuple(then for _, then in found[:_LEVELS])


def _rounded(value: float) -> float:
    """With four digits, as readings differ in size."""
    return float(f"{float(value):.4g}")
