"""The climate of real rooms: temperature, humidity and two lights of one place, hours of it.

Of each session of ``room_climate`` that lasts long enough the first half hour is learnt and the
rest judged, as where somebody commissions a room and goes home. The rest is normal as it is: told
is the share of its time over the thresholds of two budgets, from the held-out normal alone, for the
detector and its peers alike. Into a copy of it a fault of a sensor is put every ten minutes, for
two: its reading is off by a twentieth, or unsteady, or stands still; told is which share of
these rises over the threshold of 2 a day, and the AUROC over rows. Options were chosen on places 1
and 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.detection.calibration import budget_of
from pipeline.training.metrics import Bools, Floats, auroc
from tests.benchmarks.real.peers import peers
from tests.benchmarks.real.row_figures import line
from tests.benchmarks.real.series import Levels, Table, judged

STEP_S = 5.0
TABLE = Table(4, STEP_S, 4)
LEARNT_S = 1800.0
LEAST_S = 5400.0
OFTEN_HZ, SELDOM_HZ = 6 / 3600, 2 / 86400
PLACES = {"options were chosen on": (1, 3), "looked at once": (2,)}
_EVERY, _LONG = round(600 / STEP_S), round(120 / STEP_S)
_OFF, _UNSTEADY = 0.05, 8.0  # of the reading; of its usual change from row to row
HEAD = ("6/hour", "2/day", "found", "AUROC")


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one detector.

    Attributes:
        often: Share of normal rows over the threshold of six an hour.
        seldom: Over that of two a day.
        found: Share of the faults with a row over the latter.
        auroc: Of rows with a fault among all.
    """

    often: float
    seldom: float
    found: float
    auroc: float

    def cells(self) -> list[str]:
        """As the columns of `HEAD`."""
        shares = [f"{share:.0%}" for share in (self.often, self.seldom, self.found)]
        return [*shares, f"{self.auroc:.3f}".removeprefix("0")]


def run(data: Path) -> None:
    """Print the figures of either half of the places."""
    files = sorted((data / "room_climate" / "datasets-location_A").glob("*.csv"))
    for what, places in PLACES.items():
        rooms = [room for path in files for place in places for room in read(path, place)]
        print(f"rooms, places that {what}: {len(rooms)} sessions")
        print(line("", HEAD))
        for name, figures in measure(rooms).items():
            print(line(name, figures.cells()), flush=True)
        print()


def read(path: Path, place: int) -> Iterator[Floats]:
    """Readings ``(n, 4)`` of a place every `STEP_S`, if the session is long enough."""
    table = np.genfromtxt(path, delimiter=",")
    own = table[table[:, 3] == place]
    seconds = (own[:, 1] - own[0, 1]) / 1e3 if len(own) else np.zeros(1)
    if seconds[-1] >= LEAST_S:
        grid = np.arange(STEP_S, seconds[-1], STEP_S)
        yield np.stack([np.interp(grid, seconds, own[:, 4 + n]) for n in range(4)], axis=1)


def measure(rooms: Iterable[Floats]) -> dict[str, Figures]:
    """Means over rooms, by detector."""
    found: dict[str, list[Figures]] = {}
    for number, values in enumerate(rooms):
        learnt = round(LEARNT_S / STEP_S)
        normal, fresh = values[:learnt], values[learnt:]
        wrong, events = spoilt(fresh, np.random.default_rng(number))
        as_it_is = _all(normal, fresh, number)
        for name, levels in _all(normal, wrong, number).items():
            found.setdefault(name, []).append(_figures(as_it_is[name], levels, events))
    return {
        name: Figures(*(float(np.mean([getattr(one, key) for one in each])) for key in _KEYS))
        for name, each in found.items()
    }


_KEYS = tuple(Figures.__dataclass_fields__)


def spoilt(fresh: Floats, random: np.random.Generator) -> tuple[Floats, list[slice]]:
    """A copy with faults, and the rows of each."""
    wrong, events = fresh.copy(), []
    for first in range(_EVERY - _LONG, len(fresh) - _LONG, _EVERY):
        rows = slice(first, first + _LONG)
        channel, sort = random.integers(wrong.shape[1]), random.integers(3)
        part = wrong[rows, channel]
        if sort == 0:
            part += random.choice([-1, 1]) * _OFF * np.abs(part).mean()
        elif sort == 1:
            usual = np.abs(np.diff(fresh[:, channel])).mean() + 1e-3
            part += _UNSTEADY * usual * random.normal(size=_LONG)
        else:
            part[:] = part[0]
        events.append(rows)
    return wrong, events


def _all(normal: Floats, fresh: Floats, seed: int) -> dict[str, Levels]:
    return {"fusewatch": judged(TABLE, normal, fresh)} | peers(TABLE.rows, normal, fresh, seed)


def _figures(as_it_is: Levels, levels: Levels, events: list[slice]) -> Figures:
    hop_ns = round(STEP_S * 1e9)
    ends_ns = (1 + np.arange(len(levels.held))) * hop_ns
    often, seldom = (
        budget_of(levels.held, ends_ns, hop_ns, rate_hz, 0.0, 2.0).threshold
        for rate_hz in (OFTEN_HZ, SELDOM_HZ)
    )
    truth: Bools = np.zeros(len(levels.fresh), np.bool_)
    for rows in events:
        truth[rows] = True
    found = [bool((levels.fresh[rows] >= seldom).any()) for rows in events]
    return Figures(
        float((as_it_is.fresh >= often).mean()),
        float((as_it_is.fresh >= seldom).mean()),
        float(np.mean(found)),
        auroc(truth, np.nan_to_num(levels.fresh, posinf=1e9)),
    )
