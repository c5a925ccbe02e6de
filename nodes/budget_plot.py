"""A picture of budgets of false alarms: what each would have missed, and raised for nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nodes.budget_words import span
from pipeline.training.budget_preview import BudgetPreview

WEEK_S = 604800.0
_BLUE, _RED, _GREY, _INK = "#2f7fc6", "#c8404f", "#8b929c", "#30343a"


def draw(found: BudgetPreview, path: Path) -> None:
    """Write a PNG: known events missed above, false alarms below, over the same budgets."""
    figure = Figure(figsize=(9, 7), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{found.scene}: what a budget of false alarms would have done")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.25))
    for axes in (top, bottom):
        _common(axes, found)
    _missed(top, found)
    _false(bottom, found)
    bottom.set_xlabel("budget of false alarms")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _common(axes: Axes, found: BudgetPreview) -> None:
    """Budgets along the axis, those that the recording is too short for in grey, the chosen."""
    rates = [_weekly(row.alarm.false_alarms_hz) for row in found.rows]
    axes.set_xscale("log")
    axes.set_xlim(rates[0] / 1.6, rates[-1] * 1.6)
    axes.set_xticks(rates, [row.alarm.budget for row in found.rows], fontsize=9)
    axes.minorticks_off()
    shortest = WEEK_S / found.normal_s
    axes.axvspan(rates[0] / 1.6, shortest, color=_GREY, alpha=0.18, lw=0)
    axes.axvline(_weekly(found.chosen.alarm.false_alarms_hz), color=_INK, lw=1, ls=(0, (4, 3)))
    axes.grid(axis="y", color=_GREY, alpha=0.35, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _missed(axes: Axes, found: BudgetPreview) -> None:
    of = len(found.events)
    axes.set_ylabel("known events missed")
    axes.annotate(
        " chosen", (_weekly(found.chosen.alarm.false_alarms_hz), 1), color=_INK, fontsize=9,
        xycoords=("data", "axes fraction"), va="top",
    )  # fmt: skip
    if not of:
        said = "no known events: label some (--labels) to see what would be missed"
        axes.text(0.5, 0.5, said, ha="center", va="center", transform=axes.transAxes, color=_INK)
        axes.set_yticks([])
        return
    rates, missed = zip(*found.curve, strict=True)
    axes.step([_weekly(rate) for rate in rates], missed, color=_BLUE, lw=1.8, where="mid")
    points = [(_weekly(row.alarm.false_alarms_hz), len(row.missed)) for row in found.rows]
    axes.plot(*zip(*points, strict=True), "o", color=_BLUE)
    axes.set_ylim(-0.04 * of, 1.06 * of)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_title(f"of {of} known events", fontsize=10, loc="right")


def _false(axes: Axes, found: BudgetPreview) -> None:
    """The rate that the count supports, with its interval, beside the rate allowed."""
    allowed = np.array([_weekly(row.alarm.false_alarms_hz) for row in found.rows])
    low = np.array([_weekly(row.low_hz) for row in found.rows])
    high = np.array([_weekly(row.high_hz) for row in found.rows])
    seen = np.array([_weekly(row.apart / found.normal_s) for row in found.rows])
    floor = min(allowed[0], *high) / 3
    axes.set_yscale("log")
    axes.plot(allowed, allowed, color=_GREY, lw=1.5, label="as the budget allows")
    drawn = np.maximum(seen, floor)  # a count of none has no place on this axis but its foot
    ends = (drawn - np.maximum(low, floor), high - drawn)
    axes.errorbar(
        allowed, drawn, yerr=ends, fmt="none", ecolor=_RED, elinewidth=1.8, capsize=4,
        label="rate that this recording supports (90 %)",
    )  # fmt: skip
    some = seen > 0
    axes.plot(allowed[some], seen[some], "s", color=_RED, label="counted, each half by the other's")
    axes.set_ylim(floor, max(high.max(), allowed[-1]) * 2)
    axes.set_ylabel("false alarms a week")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    title = f"grey: {span(found.normal_s)} of normal are too short to count so few"
    axes.set_title(title, fontsize=9, loc="right", color=_INK)


def _weekly(rate_hz: float) -> float:
    return rate_hz * WEEK_S
