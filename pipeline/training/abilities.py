"""What a model can find and what it cannot, by what it has seen: told when it is learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from pipeline.models.scene_model import SceneModel
from pipeline.models.settings import Evidence
from pipeline.models.together import BETWEEN
from pipeline.training.odd_training import OddLearnt

_TOLD = 0.1  # nats a window: below, what the others show says nothing about a stream
_KNOWN = 0.1  # share of its doubt that the network must lose to be of use
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


def abilities(model: SceneModel, odd: OddLearnt | None) -> Abilities:
    """What the held-out scores of a model say of it.

    Args:
        model: The model, with its held-out scores.
        odd: How learning the odd one out went; None when it was not learnt.
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
    cannot.extend(_times(model.held.end_ns.tolist()))
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
    shown = [f"{s.info.name} (in {len(s.extractor.labels)} places)" for s in model.streams]
    return f"unusual by itself: {_list(shown)}"


def _network(model: SceneModel, odd: OddLearnt | None) -> list[str]:
    if Evidence.ODD not in model.settings.evidence or len(model.streams) < 2:
        return []
    if odd is None:
        least_min = model.settings.odd.least_s / 60
        return [f"the fusion network was not learnt: it needs {least_min:.0f} minutes of normal"]
    told = f"the fusion network loses {odd.knows:.0%} of its doubt about which stream is odd"
    return [told if odd.knows >= _KNOWN else f"{told}: the streams hardly depend on each other"]


def _times(end_ns: Sequence[int]) -> list[str]:
    """What times were never seen; times are UTC, as the recording's are."""
    seen = [
        datetime.fromtimestamp(int(ns) // 10**9, UTC)
        for ns in end_ns[:: max(1, len(end_ns) // 2000)]
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
