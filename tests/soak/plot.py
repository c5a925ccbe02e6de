"""A soak as one picture: memory, ages, what waits, the books; faults as shades behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.soak.faults import Fault
from tests.soak.judging import CAPTURE, NODES
from tests.soak.kept import Kept
from tests.soak.sampling import Look

_SHADES = {"kill": "#d62728", "stop": "#ff9f40", "cut": "#7f7fd5", "refuse": "#8fbc8f"}
_POINT_S = 6.0


def draw(kept: Kept, path: Path) -> None:
    """Write the picture."""
    figure = Figure(figsize=(14, 13), layout="constrained")
    FigureCanvasAgg(figure)
    panels: dict[str, Callable[[Axes, Sequence[Look]], None]] = {
        "resident, MB": _memory,
        "age of windows at their score, s": _ages,
        "waiting": _waiting,
        "camera, frames a second": _books,
    }
    axes = figure.subplots(len(panels), 1, sharex=True)
    for one, (title, fill) in zip(axes, panels.items(), strict=True):
        _shade(one, kept.faults)
        fill(one, kept.looks)
        one.set_ylabel(title)
        one.legend(loc="upper left", fontsize=8, ncols=5)
    axes[0].set_title("red: killed, orange: stopped, blue: line cut, green: web address refuses")
    axes[-1].set_xlabel("minutes")
    figure.savefig(path, dpi=100)


def _shade(axes: Axes, faults: Sequence[Fault]) -> None:
    for fault in faults:
        end_s = fault.at_s + max(fault.lasts_s, _POINT_S)
        axes.axvspan(fault.at_s / 60, end_s / 60, color=_SHADES[fault.kind], alpha=0.3, lw=0)


def _memory(axes: Axes, looks: Sequence[Look]) -> None:
    for name in NODES:
        seen = [look for look in looks if name in look.processes]
        sizes = [look.processes[name].resident_mb for look in seen]
        axes.plot([look.at_s / 60 for look in seen], sizes, ".", markersize=2, label=name)
    axes.set_ylim(bottom=0)


def _ages(axes: Axes, looks: Sequence[Look]) -> None:
    points = [
        (after.at_s / 60, (after.ages["sum"] - before.ages["sum"]) / gained)
        for before, after in pairwise(look for look in looks if look.ages)
        if (gained := after.ages["count"] - before.ages["count"]) > 0
    ]
    if points:
        axes.plot(*zip(*points, strict=True), ".", markersize=3, label="mean")
    axes.set_yscale("log")


def _waiting(axes: Axes, looks: Sequence[Look]) -> None:
    units = {"spool_mb": "spool, MB", "events": "events to forward", "outbox": "outbox"}
    for key, label in units.items():
        seen = [look for look in looks if key in look.waiting]
        axes.plot([s.at_s / 60 for s in seen], [s.waiting[key] for s in seen], lw=1, label=label)
    told = [look for look in looks if look.ledger]
    waits = [look.ledger["site-camera"].spooled for look in told if "site-camera" in look.ledger]
    axes.plot([look.at_s / 60 for look in told][: len(waits)], waits, lw=1, label="frames unacked")
    axes.set_yscale("symlog")


def _books(axes: Axes, looks: Sequence[Look]) -> None:
    for what in ("captured", "delivered"):
        axes.plot(*zip(*_rates(looks, what), strict=True), lw=1, label=what)
    wrong = [(look.at_s / 60, b.unexplained) for look in looks for b in look.ledger.values()]
    if wrong:
        axes.plot(*zip(*wrong, strict=True), lw=2, label="unexplained, samples")
    axes.set_yscale("symlog")


def _rates(looks: Sequence[Look], what: str) -> Iterator[tuple[float, float]]:
    told = [look for look in looks if "site-camera" in look.ledger and CAPTURE in look.processes]
    yield 0.0, 0.0
    for before, after in pairwise(told):
        if before.processes[CAPTURE].pid == after.processes[CAPTURE].pid:
            gained = getattr(after.ledger["site-camera"], what)
            gained -= getattr(before.ledger["site-camera"], what)
            yield after.at_s / 60, gained / (after.at_s - before.at_s)
