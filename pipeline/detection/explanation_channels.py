"""Channels of a sensor: what was seen against what was expected.

Expected is what the channel usually does (`pipeline.models.usual_range`). When what
disagrees is the sensor and other streams, it is what those lead one to expect. They predict
the sensor's embedding (`pipeline.models.prediction`); along the same axes that goes back to
the channels' columns. How sure it is follows from how far such predictions were off in normal
time and from what the axes do not show of a column.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.core.explanation import Channel
from pipeline.models.features import StreamFeatures
from pipeline.models.scene_model import Features, SceneModel
from pipeline.models.stream_density import collect
from pipeline.models.stream_model import StreamModel
from pipeline.models.together import Relation
from pipeline.models.usual_range import PERCENTILE_Z, as_measured, usual_range
from pipeline.models.wording import worst_column

Array = npt.NDArray[np.float64]

MOST = 4
_SHARE = 0.5  # of the worst channel's surprise
_DIGITS = 4


def unusual_channels(
    stream: StreamModel, features: StreamFeatures, levels: Array
) -> tuple[Channel, ...]:
    """The channels that are furthest from their own normal, the worst first.

    Args:
        stream: The sensor's model.
        features: What it showed.
        levels: ``-log10 p`` of each channel, ``(P,)``.
    """
    worst = [c for c in np.argsort(-levels, kind="stable") if levels[c] >= _SHARE * levels.max()]
    found: list[Channel] = []
    for place in map(int, worst[:MOST]):
        column, _ = worst_column(stream, features, place)
        low, high = usual_range(stream, features, place, column)
        seen = float(features.places[place, column])
        found.append(_channel(stream, place, column, seen, low, high))
    return tuple(found)


def unexpected_channels(
    model: SceneModel, features: Features, stream: StreamModel, pair: Collection[str]
) -> tuple[Channel, ...]:
    """The channels that are furthest from what other streams lead one to expect, worst first.

    Args:
        model: The scene's model.
        features: What each stream showed.
        stream: The sensor's model.
        pair: Streams that do not belong together, the sensor among them.
    """
    relation = _relation(model, features, stream.info.name, pair)
    if relation is None:
        return ()
    middle, spread = (x.cpu().numpy() for x in _expected(model, features, stream, relation))
    shown = features[stream.info.name]
    own = collect([shown], stream.density.axes.mean.device)
    normaliser = stream.density.normaliser
    seen = normaliser.apply(own.places, own.present, own.times_s)[0].cpu().numpy()
    usual = [one[0].cpu().numpy() for one in normaliser.at(own.times_s)]
    far = np.abs(seen - middle) / spread
    far[~shown.present] = 0.0
    columns = far.argmax(axis=1)
    worst = far.max(axis=1)
    given = tuple(model.streams[i].info.name for i in relation.given)
    found: list[Channel] = []
    for place in map(int, np.argsort(-worst, kind="stable")[:MOST]):
        if worst[place] < max(PERCENTILE_Z, _SHARE * worst.max()):
            break
        at = place, int(columns[place])
        ends = middle[at] + np.array([-PERCENTILE_Z, PERCENTILE_Z]) * spread[at]
        low, high = (
            as_measured(float(usual[0][at] + end * usual[1][at]), normaliser, shown, *at)
            for end in ends
        )
        value = float(shown.places[at])
        found.append(_channel(stream, *at, value, low, high, given))
    return tuple(found)


def _relation(
    model: SceneModel, features: Features, sensor: str, pair: Collection[str]
) -> Relation | None:
    """The prediction of a sensor from the rest of the pair; else from the most that is there."""
    names = [s.info.name for s in model.streams]
    usable = [
        r
        for r in model.together.relations
        if names[r.of] == sensor and all(names[i] in features for i in r.given)
    ]
    wanted = set(pair) - {sensor}
    exact = [r for r in usable if {names[i] for i in r.given} == wanted]
    return max(exact or usable, key=lambda r: len(r.given), default=None)


def _expected(
    model: SceneModel, features: Features, stream: StreamModel, relation: Relation
) -> tuple[Tensor, Tensor]:
    """Middle and standard deviation of each column as the others tell it, each ``(P, d)``."""
    dims, learnt = model.together.dims, relation.prediction
    others = [_leading(model.streams[i], features, dims) for i in relation.given]
    axes = stream.density.axes
    back = torch.linalg.pinv(axes.project[:, -dims:])  # (E, D)
    middle = axes.mean + learnt.expected(torch.cat(others, dim=1))[0] @ back
    off = torch.linalg.inv(learnt.given)
    shown = back.square().sum(dim=0)  # embeddings are white
    whole = _variance(stream).to(shown.device)
    unseen = (whole - shown).clamp_min(0.0)
    variance = ((back.T @ off) * back.T).sum(dim=1) + unseen  # (D,)
    shape = stream.density.normaliser.centre.shape
    return middle.reshape(shape), variance.clamp_min(1e-6).sqrt().reshape(shape)


def _leading(stream: StreamModel, features: Features, dims: int) -> Tensor:
    rows = collect([features[stream.info.name]], stream.density.axes.mean.device)
    leading: Tensor = stream.density.embed(rows)[:, -dims:]
    return leading


def _variance(stream: StreamModel) -> Tensor:
    """Variance of each normalised column in normal time, by its percentiles, ``(D,)``."""
    normaliser = stream.density.normaliser
    usual = torch.from_numpy(stream.usual).to(normaliser.centre.device)  # (2, P, d)
    seen = torch.ones(usual.shape[:2], dtype=torch.bool, device=usual.device)
    low, high = normaliser.apply(usual, seen)
    variance: Tensor = ((high - low) / (2 * PERCENTILE_Z)).square().reshape(-1)
    return variance


def _channel(
    stream: StreamModel,
    place: int,
    column: int,
    seen: float,
    low: float,
    high: float,
    given: tuple[str, ...] = (),
) -> Channel:
    name, what = stream.extractor.labels[place], stream.extractor.columns[column]
    seen, low, high = (float(f"{value:.{_DIGITS}g}") for value in (seen, low, high))
    return Channel(stream.info.name, name, what, seen, low, high, given)
