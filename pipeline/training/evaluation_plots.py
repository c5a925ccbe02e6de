"""Plots of an evaluation as SVG, to be put into an HTML page.

Ink and grid are drawn in two placeholder colours that become CSS variables of the page, so
that one drawing serves a light and a dark page; all other colours are readable on both.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pipeline.training import metrics
from pipeline.training.comparison import MERGED
from pipeline.training.evaluation_result import Evaluation, Group
from pipeline.training.event_metrics import EventFigures
from pipeline.training.judging import RATES_PER_HOUR, judged
from pipeline.training.labels import Label
from pipeline.training.metrics import Floats
from pipeline.training.report_words import clock, short
from pipeline.training.watched import Watched

INK, GRID = "#010203", "#030201"
BLUE, GREEN, RED, ORANGE, GREY = "#3f8fd6", "#2fa374", "#dd5565", "#e3932f", "#8b929c"
_PIXELS = 1400  # points of a line: more cannot be told apart
_NAMED = 40  # labels whose kind is written beside them
_SHOWN_SCORE = 10.0

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}


def timeline(evaluation: Evaluation, watched: Watched) -> str:
    """Score and threshold over time; labels and alarms in their own rows below."""
    with rc_context({**STYLE, "svg.hashsalt": "timeline"}):
        figure = Figure(figsize=(11, 4.0), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
        _draw_score(top, evaluation, watched)
        _draw_spans(bottom, evaluation, watched)
        return svg(figure, "Score, threshold, labels and alarms over time")


def _draw_score(axes: Axes, evaluation: Evaluation, watched: Watched) -> None:
    threshold = evaluation.headline.limit.threshold
    times, levels = _highest(watched.ends_s, watched.levels)
    most = max(_SHOWN_SCORE, 1.6 * threshold)
    for label in watched.labels:
        axes.axvspan(
            label.start_s, max(label.end_s, label.start_s + 0.2), color=GREY, alpha=0.22, lw=0
        )
    axes.plot(times, np.minimum(levels, most), color=BLUE, lw=0.9)
    axes.axhline(threshold, color=RED, lw=1.1, ls=(0, (4, 3)))
    axes.annotate(  # beside the axes: within them it would lie on the score
        f"threshold\n{threshold:.2f}", (1, threshold), xycoords=("axes fraction", "data"),
        xytext=(4, 0), textcoords="offset points", va="center", color=RED,
    )  # fmt: skip
    axes.set_ylabel("score, $-\\log_{10}p$")
    axes.set_ylim(0, min(most, max(float(levels.max()), threshold)) * 1.06)
    axes.set_xlim(evaluation.from_s, evaluation.to_s)


def _draw_spans(axes: Axes, evaluation: Evaluation, watched: Watched) -> None:
    missed = {miss.label for miss in evaluation.misses}
    least_s = (evaluation.to_s - evaluation.from_s) / 500  # no span too thin to be seen
    for label in watched.labels:
        colour = RED if label in missed else GREEN
        bar(axes, label.start_s, label.end_s, 1.1, colour, least_s)
    if len(watched.labels) <= _NAMED:
        _name(axes, watched.labels)
    for alarm in evaluation.alarms:
        bar(axes, alarm.start_s, alarm.end_s, 0.1, ORANGE if alarm.false else BLUE, least_s)
    axes.set_yticks([0.5, 1.5], ["alarms", "labels"])
    axes.set_ylim(0, 2.7)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 1.5, 2, 3, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: clock(value)))
    axes.set_xlabel("time of the recording")


def bar(axes: Axes, start_s: float, end_s: float, low: float, colour: str, least_s: float) -> None:
    """A span from the height `low` on, drawn at least `least_s` wide."""
    axes.broken_barh([(start_s, max(end_s - start_s, least_s))], (low, 0.8), color=colour, lw=0)


def _name(axes: Axes, labels: Sequence[Label]) -> None:
    for label in labels:
        middle = (label.start_s + label.end_s) / 2
        axes.text(middle, 2.02, label.kind, fontsize=8, ha="center", va="bottom", clip_on=True)


def roc(watched: Watched, evaluation: Evaluation) -> str:
    """Share of anomalous windows found against share of normal ones hit."""
    levels, truth = judged(watched)
    found = metrics.curve(truth, levels)
    with rc_context({**STYLE, "svg.hashsalt": "roc"}):
        figure, axes = _square()
        axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (3, 3)), label="random .50")
        name = f"{MERGED} {short(evaluation.windows.auroc)}"
        axes.plot(*_steps(found.fall_out, found.recall), color=BLUE, lw=1.8, label=name)
        axes.set(xlabel="normal windows hit", ylabel="anomalous windows found")
        axes.legend(loc="lower right")
        return svg(figure, "ROC curve over windows")


def precision_recall(watched: Watched, evaluation: Evaluation) -> str:
    """Precision against recall over windows."""
    levels, truth = judged(watched)
    found = metrics.curve(truth, levels)
    base = float(truth.mean())
    with rc_context({**STYLE, "svg.hashsalt": "pr"}):
        figure, axes = _square()
        axes.axhline(base, color=GREY, lw=1, ls=(0, (3, 3)), label=f"random {short(base)}")
        name = f"{MERGED} {short(evaluation.windows.auprc)}"
        axes.plot(found.recall, found.precision, color=BLUE, lw=1.8, label=name)
        at = evaluation.windows
        if np.isfinite(at.precision):
            axes.plot([at.recall], [at.precision], "o", color=RED, ms=6, label="at the threshold")
        axes.set(
            xlabel="anomalous windows found (recall)", ylabel="hits that are right (precision)"
        )
        axes.legend(loc="best")
        return svg(figure, "Precision-recall curve over windows")


def groups(rows: Sequence[Group], what: str) -> str:
    """Share found of each group, with its 90 % interval."""
    with rc_context({**STYLE, "svg.hashsalt": what}):
        figure = Figure(figsize=(5.0, 0.75 + 0.42 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for place, group in enumerate(rows):
            recall = group.recall
            axes.barh(place, recall.share, height=0.62, color=GREEN, alpha=0.85)
            axes.plot([recall.low, recall.high], [place, place], color=INK, lw=1.4)
            axes.text(1.03, place, f"{recall.found} of {recall.labels}", va="center")
        axes.set_yticks(range(len(rows)), [group.name or "(none)" for group in rows])
        axes.set(xlim=(0, 1.02), ylim=(len(rows) - 0.5, -0.5), xlabel="share found, 90 % interval")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        axes.grid(visible=False, axis="y")
        return svg(figure, f"Share of labels found {what}")


def budget(evaluation: Evaluation) -> str:
    """False alarms an hour against the share found: the curve, and where the limits lie."""
    with rc_context({**STYLE, "svg.hashsalt": "budget"}):
        figure = Figure(figsize=(5.6, 3.6), layout="constrained")
        axes = figure.subplots()
        points = _staircase(evaluation.curve)
        axes.step(
            *points, where="post", color=BLUE, lw=1.8, label="any threshold (uses the labels)"
        )
        for one in evaluation.limits:
            _limit(axes, one.events, GREY, "o", None)
        if evaluation.limits:
            axes.plot([], [], "o", color=GREY, ms=6, label="set before, other budgets")
        own = evaluation.headline
        _limit(axes, own.events, RED, "D", f"set before, {own.limit.budget}: the headline")
        axes.set_xscale("symlog", linthresh=1, linscale=0.6)
        axes.set_xticks([0, *RATES_PER_HOUR], ["0", *(f"{r:g}" for r in RATES_PER_HOUR)])
        axes.xaxis.minorticks_off()
        axes.set(xlim=(-0.08, 130), ylim=(-0.02, 1.04))
        axes.set(xlabel="false alarms an hour", ylabel="labels found")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        axes.legend(loc="lower right")
        return svg(figure, "Labels found against false alarms an hour")


def _limit(axes: Axes, events: EventFigures, colour: str, mark: str, label: str | None) -> None:
    """A limit's outcome with the interval of its false alarms."""
    share = events.recall.share
    axes.plot([events.low_per_hour, events.high_per_hour], [share, share], color=colour, lw=1.2)
    axes.plot([events.per_hour], [share], mark, color=colour, ms=7, label=label, clip_on=False)


def _staircase(curve: Sequence[EventFigures]) -> tuple[Floats, Floats]:
    """The most found within each rate, from rate 0 on."""
    points = sorted((p.per_hour, p.recall.share) for p in curve if np.isfinite(p.per_hour))
    if not points:
        return np.zeros(1), np.zeros(1)
    rates, shares = np.array(points).T
    most = np.maximum.accumulate(np.nan_to_num(shares))
    return np.concatenate([[0.0], rates]), np.concatenate([[most[rates <= 0].max(initial=0)], most])


def _square() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.4, 3.7), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
    return figure, axes


def _steps(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """A curve from the origin, thinned to what can be seen."""
    x, y = np.concatenate([[0.0], x]), np.concatenate([[0.0], y])
    if len(x) <= _PIXELS:
        return x, y
    chosen = np.unique(np.linspace(0, len(x) - 1, _PIXELS).astype(int))
    return x[chosen], y[chosen]


def _highest(times_s: Floats, levels: Floats) -> tuple[Floats, Floats]:
    """The highest level of each pixel: a peak is never thinned away; a gap stays a gap."""
    step = max(1, len(levels) // _PIXELS)
    starts = np.arange(0, len(levels), step)
    highest = np.maximum.reduceat(levels, starts)
    times = times_s[starts]
    steps = np.diff(times)
    gaps = np.flatnonzero(steps > 4 * np.median(steps)) + 1 if len(steps) else np.zeros(0, int)
    return np.insert(times, gaps, np.nan), np.insert(highest, gaps, np.nan)


def svg(figure: Figure, title: str) -> str:
    """The figure as SVG, in the colours of the page it is put into."""
    FigureCanvasSVG(figure)
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :].replace(INK, "var(--ink)").replace(GRID, "var(--grid)")
    return text.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)


def curves(
    lines: Sequence[tuple[str, Sequence[float], Sequence[float], str]], x: str, y: str, title: str
) -> str:
    """Lines over a common axis.

    Args:
        lines: Name, places on the axis, values and colour of each.
        x: What the axis is.
        y: What the values are.
        title: What is drawn, for who cannot see it.
    """
    with rc_context({**STYLE, "svg.hashsalt": title}):
        figure = Figure(figsize=(5.6, 3.0), layout="constrained")
        axes = figure.subplots()
        for name, places, values, colour in lines:
            # A line of one point would not be seen without its mark.
            axes.plot(places, values, "o-", color=colour, lw=1.8, ms=3, label=name)
        axes.set(xlabel=x, ylabel=y)
        axes.legend(loc="best")
        return svg(figure, title)
