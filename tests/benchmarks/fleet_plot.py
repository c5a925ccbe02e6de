"""Draws how the cost of fusion workers grows with what they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.benchmarks.fleet_growth import Step, Sweep, line_of
from tests.benchmarks.fleet_point import Cost
from tests.benchmarks.fleet_worker import STAGES

OTHERS = "others"
_COLOURS = ("#0b5fa5", "#6aa9dc", "#d1702b", "#efb183", "#3b8f5a", "#9a9a9a", "#cfcfcf", "#5c5c5c")


def draw(sweeps: Mapping[str, Sweep], target: Path) -> None:
    """Write a PNG: a row a sweep; cost with its line, cost of a window by stage, memory."""
    figure = Figure(figsize=(13, 3.2 * len(sweeps)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(sweeps), 3, squeeze=False)
    for sweep, (cost, stages, memory) in zip(sweeps.values(), rows, strict=True):
        _cost(cost, sweep)
        _stages(stages, sweep.unit, sweep.points, (*STAGES, OTHERS))
        _memory(memory, sweep)
    figure.savefig(target, dpi=110)


def draw_steps(sweeps: Mapping[str, Sequence[tuple[int, Step]]], target: Path) -> None:
    """Write a PNG: a row a sweep; cost with its line, cost of a window by stage."""
    figure = Figure(figsize=(11, 3.2 * len(sweeps)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(sweeps), 2, squeeze=False)
    for (title, points), (cost, stages) in zip(sweeps.items(), rows, strict=True):
        unit = title.partition(",")[0].partition(" of ")[0]
        _line(cost, [(n, step.total) for n, step in points])
        cost.plot(
            [n for n, _ in points], [100 * s.total for _, s in points], "o", color=_COLOURS[0]
        )
        _name(cost, "per cent of a core", unit)
        cost.set_title(title, fontsize=9, loc="left")
        cost.legend(fontsize=8, frameon=False)
        _stages(stages, unit, points, STAGES)
    figure.savefig(target, dpi=110)


def _line(axis: Axes, points: Sequence[tuple[int, float]]) -> None:
    """The line through points, with what it says."""
    if len(points) < 3:
        return
    line = line_of([n for n, _ in points], [cost for _, cost in points])
    ends = np.array([0, points[-1][0]])
    words = f"{1e3 * line.fixed:.1f} + {1e3 * line.each:.2f} ms/s each"
    axis.plot(ends, 100 * (line.fixed + line.each * ends), color=_COLOURS[1], label=words)


def _name(axis: Axes, what: str, unit: str) -> None:
    axis.set_ylim(bottom=0)
    axis.set_ylabel(what)
    axis.set_xlabel(unit)


def _cost(axis: Axes, sweep: Sweep) -> None:
    for kept, colour, label in ((True, _COLOURS[0], "measured"), (False, _COLOURS[2], "behind")):
        shown = [(n, 100 * cost.total) for n, cost in sweep.points if cost.kept_up is kept]
        if shown:
            axis.plot(*zip(*shown, strict=True), "o", color=colour, label=label)
    _line(axis, [(n, cost.total) for n, cost in sweep.points if cost.kept_up])
    bare = [(n, 100 * cost.bare) for n, cost in sweep.points]
    axis.plot(*zip(*bare, strict=True), "--", color=_COLOURS[5], label="bare ZeroMQ")
    _name(axis, "per cent of a core", sweep.unit)
    axis.set_title(sweep.title, fontsize=9, loc="left")
    axis.legend(fontsize=8, frameon=False)


def _stages(
    axis: Axes, unit: str, points: Sequence[tuple[int, Cost | Step]], stages: Sequence[str]
) -> None:
    names = [str(n) for n, _ in points]
    below = np.zeros(len(names))
    for stage, colour in zip(stages, _COLOURS, strict=False):
        ms = np.array([1e3 * _spent(cost, stage) / cost.windows_hz for _, cost in points])
        axis.bar(names, ms, bottom=below, color=colour, label=stage, width=0.7)
        below += ms
    _name(axis, "ms a window", unit)
    axis.legend(fontsize=7, frameon=False, ncols=2)


def _spent(cost: Cost | Step, stage: str) -> float:
    if stage == OTHERS:
        return cost.total - sum(cost.stages.values())
    return cost.stages.get(stage, 0.0)


def _memory(axis: Axes, sweep: Sweep) -> None:
    counts = [n for n, _ in sweep.points]
    axis.plot(counts, [sum(c.resident_mb) for _, c in sweep.points], "o-", color=_COLOURS[4])
    _name(axis, "resident, MB", sweep.unit)
