"""Draws error and bound of the clock offset over time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.benchmarks.clock_runs import Array

_BINS = 300
_OURS, _LSL = "#0b5fa5", "#d1702b"
_LSL_LABEL = "error, LSL (pylsl on the host, else a model of it)"


@dataclass(frozen=True)
class Panel:
    """One line over time.

    Attributes:
        title: Its name.
        at_s: Times, seconds ``(T,)``.
        error_ns: Our error ``(T,)``.
        bound_ns: Our bound ``(T,)``.
        lsl_ns: The error of LSL ``(T,)``.
        shown_s: From when to when it is drawn; none: all.
    """

    title: str
    at_s: Array
    error_ns: Array
    bound_ns: Array
    lsl_ns: Array
    shown_s: tuple[float, float] | None = None


def draw(panels: Sequence[Panel], target: Path) -> None:
    """Write a PNG: a panel for each line, time in seconds, the largest of each short stretch."""
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(12, 2.7 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    for axis, panel in zip(axes, panels, strict=False):
        _draw(axis, panel)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    for axis in axes[len(panels) - 2 : len(panels)]:
        axis.set_xlabel("seconds", fontsize=9)
    figure.savefig(target, dpi=110)


def _draw(axis: Axes, panel: Panel) -> None:
    begin, end = panel.shown_s or (panel.at_s[0], panel.at_s[-1])
    shown = np.count_nonzero((panel.at_s >= begin) & (panel.at_s <= end))
    edges = np.linspace(begin, end, min(_BINS, int(shown) // 2) + 1)
    error, bound, lsl = (
        _largest(panel.at_s, value, edges)
        for value in (panel.error_ns, panel.bound_ns, panel.lsl_ns)
    )
    at_s = (edges[:-1] + edges[1:]) / 2
    axis.fill_between(at_s, 1e-3, bound, color=_OURS, alpha=0.12, linewidth=0)
    axis.plot(at_s, bound, "--", color=_OURS, linewidth=1.0, label="bound, fusewatch")
    axis.plot(at_s, error, color=_OURS, linewidth=1.3, label="error, fusewatch")
    axis.plot(at_s, lsl, color=_LSL, linewidth=1.0, label=_LSL_LABEL)
    axis.set_yscale("log")
    lowest = np.nanmin(np.concatenate((error, lsl)))
    axis.set_ylim(
        max(10 ** np.floor(np.log10(lowest)), 0.1), np.nanmax(np.concatenate((bound, error))) * 5
    )
    axis.set_xlim(begin, end)
    axis.set_title(panel.title, fontsize=10, loc="left")
    axis.set_ylabel("us", fontsize=9)
    axis.grid(alpha=0.25, which="major")


def _largest(at_s: Array, value_ns: Array, edges: Array) -> Array:
    """Largest absolute value of each stretch of time in microseconds, NaN where there is none."""
    places = np.searchsorted(at_s, edges)
    parts = [np.abs(value_ns[i:j]) for i, j in itertools.pairwise(places)]
    known = [part[~np.isnan(part)] for part in parts]
    return np.array([part.max() / 1e3 if len(part) else np.nan for part in known])
