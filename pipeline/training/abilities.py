"""What a model can find and what it cannot, by what it has seen: told when it is learnt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import torch

from pipeline.core.undated import may_be_undated
from pipeline.models.detector_names import BETWEEN
from pipeline.models.scene_model import SceneModel
from pipeline.models.settings import Evidence
from pipeline.models.stream_model import StreamModel
from pipeline.training.odd_training import OddLearnt

_TOLD = 0.1  # nats a window: below, what the others show says nothing about a stream
_KNOWN = 0.1  # share of its doubt that the network must lose to be of use
_HOUR_S = 3600.0
_WANDERS = 2.0  # growth of limits from which on it is told
_LIMIT = 2.0  # standard widths that a level keeps to in 95 % of normal
_SHOWN = 5
_DAY_HOURS = 24
_WEEK_DAYS = 7


@dataclass(frozen=True, slots=True)
class Abilities:
    """Sentences for the operator.

    Attributes:
        can: What is watched, and by what.
        cannot: What will not be found, or will raise false alarms, and why.
    """

    can: tuple[str, ...]
    cannot: tuple[str, ...]


def abilities(model: SceneModel, odd: OddLearnt | None, seen_ns: Iterable[int]) -> Abilities:
    """What the held-out scores of a model say of it.

    Args:
        model: The model, with its held-out scores.
        odd: How learning the odd one out went; None when it was not learnt.
        seen_ns: Ends of the normal windows that it has seen.
    """
    can = [_alone(model)]
    cannot: list[str] = []
    told = told_by_others(model)
    fits = [f"{name} ({nats:.1f} nats a window)" for name, nats in told.items() if nats >= _TOLD]
    if fits:
        can.append(
            f"told by what the other streams show, so a contradiction is found: {_list(fits)}"
        )
    if loose := [name for name, nats in told.items() if nats < _TOLD]:
        cannot.append(
            f"nothing that the other streams show tells {_list(loose)}: what contradicts there "
            "is found only if it is unusual in itself"
        )
    (can if odd is not None and odd.knows >= _KNOWN else cannot).extend(_network(model, odd))
    can.extend(_trained(model))
    cannot.extend(_wandering(model))
    cannot.extend(_times(sorted(seen_ns)))
    return Abilities(tuple(can), tuple(cannot))


def told_by_others(model: SceneModel) -> dict[str, float]:
    """How much the other streams tell of each, nats a window of held-out normal.

    The mean log-likelihood ratio of "given the others" to "on its own", an estimate from below
    of the mutual information of the two; see `pipeline.models.prediction`.
    """
    columns = {name: column for column, name in enumerate(model.names)}
    found: dict[str, float] = {}
    for stream in (s.info.name for s in model.streams):
        column = columns.get(f"{BETWEEN}/{stream}")
        if column is None:
            pairs = [c for n, c in columns.items() if n.startswith(f"{BETWEEN}/{stream}|")]
            column = pairs[0] if pairs else None
        if column is not None:
            found[stream] = float(-np.nanmean(model.held.scores[:, column]))
    return found


def _alone(model: SceneModel) -> str:
    shown = [f"{s.info.name} ({_places(len(s.extractor.labels))})" for s in model.streams]
    return f"unusual by itself: {_list(shown)}"


def _network(model: SceneModel, odd: OddLearnt | None) -> list[str]:
    if Evidence.ODD not in model.settings.evidence or len(model.streams) < 2:
        return []
    if odd is None:
        least_min = model.settings.odd.least_s / 60
        return [f"the fusion network was not learnt: it needs {least_min:.0f} minutes of normal"]
    told = f"the fusion network loses {odd.knows:.0%} of its doubt about which stream is odd"
    return [told if odd.knows >= _KNOWN else f"{told}: the streams hardly depend on each other"]


def _trained(model: SceneModel) -> list[str]:
    if model.network is None:
        return []
    return [
        f"a trained network, too, judges whether {_list(model.network.streams)} belong together; "
        "whether that helps here, fusewatch evaluate tells"
    ]


def _wandering(model: SceneModel) -> list[str]:
    """Levels of sensors that are not known yet, and how their limits widen."""
    shown = [
        f"{name} ({', '.join(limits)})"
        for stream in model.streams
        for name, limits in _widening_levels(stream)
    ]
    if not shown:
        return []
    return [
        f"still wandering when learnt, so limits of their levels widen with time: "
        f"{_list(shown[:_SHOWN])}{' and more' if len(shown) > _SHOWN else ''}; "
        "sudden changes of these are found all the same"
    ]


def _widening_levels(stream: StreamModel) -> Iterator[tuple[str, list[str]]]:
    """Channels of a sensor whose level wandered, each with its limits at some times."""
    column, normaliser = stream.extractor.level_column, stream.density.normaliser
    if column is None:
        return
    hours = [0.0, 1.0, float(normaliser.wander.longest_s) / _HOUR_S]
    times_s = normaliser.wander.learnt_s[1] + torch.tensor(hours, dtype=torch.float64) * _HOUR_S
    widths = normaliser.at(times_s)[1][..., column].cpu().numpy()  # (3, P)
    for place in np.flatnonzero(widths[2] > _WANDERS * widths[0]):
        first, *later = (f"±{float(f'{_LIMIT * width:.2g}'):g}" for width in widths[:, place])
        after = [
            f"{limit} after {hour:.0f} h" for limit, hour in zip(later, hours[1:], strict=True)
        ]
        yield stream.extractor.labels[place], [f"{first} as learnt", *after]


def _times(end_ns: Sequence[int]) -> list[str]:
    """What times were never seen; times are UTC, as the recording's are."""
    some_ns = [int(ns) for ns in end_ns[:: max(1, len(end_ns) // 2000)]]
    seen = [datetime.fromtimestamp(ns // 10**9, UTC) for ns in some_ns if not may_be_undated(ns)]
    if not seen:
        return [
            "nothing says when its recordings were made, or they are of 2000 to 2009: which hours "
            "it has seen is not told"
        ]
    hours = sorted({one.hour for one in seen})
    days = {one.weekday() for one in seen}
    found = []
    if len(hours) < _DAY_HOURS:
        shown = ", ".join(f"{hour:02d}" for hour in hours)
        found.append(
            f"seen at {shown} h UTC only: light and habits of other hours are unusual to it"
        )
    if len(days) < _WEEK_DAYS and len(hours) == _DAY_HOURS:
        found.append(f"only {len(days)} of 7 days of the week were seen")
    return found


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]


def _places(count: int) -> str:
    return "in one place" if count == 1 else f"in {count} places"
