"""The part of an evaluation's report that judges labelled stretches as wholes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from matplotlib import rc_context
from matplotlib.figure import Figure

from pipeline.training import evaluation_plots as plots
from pipeline.training.judging import UNNAMED
from pipeline.training.labels import NORMAL
from pipeline.training.report_page import table
from pipeline.training.report_words import clock, short
from pipeline.training.stretches import MOST_FALL_OUT, Stretch, StretchFigures

_LISTED = 10
_SPREAD = 0.3  # of a row, so that equal scores do not hide each other


def section(figures: StretchFigures, threshold: float) -> str:
    """The section as HTML.

    Args:
        figures: What came of it.
        threshold: The one in force, on the score.
    """
    calm = [one for one in figures.stretches if one.label.kind == NORMAL]
    wrong = [one for one in figures.stretches if one.label.kind != NORMAL]
    loudest = sorted(calm, key=lambda one: -one.highest)
    faintest = sorted(wrong, key=lambda one: one.highest)
    unseen = f" In {figures.unseen} no stream was seen." if figures.unseen else ""
    return (
        "<h2>Stretch by stretch</h2>"
        f"<div class=pair><div>{_dots(figures, threshold)}</div>{_groups(figures)}</div>"
        f"<p class=note>{figures.normal} labelled stretches in which somebody looked and nothing "
        f"was wrong, {figures.every.stretches} in which something was, each judged as a whole: by "
        f"its highest score, and by its mean one. To {MOST_FALL_OUT:.0%}: where at most so many of "
        f"the normal ones are hit (McClish, 1989), .50 by chance.{escape(unseen)}</p>"
        f"<h3>Normal ones that look least so</h3>{_list(loudest)}"
        f"<h3>Others that look most normal</h3>{_list(faintest)}"
    )


def _groups(figures: StretchFigures) -> str:
    limit = f"to {MOST_FALL_OUT:.0%}"
    head = ("kind", "with an alarm", "AUROC", limit, "by the mean", limit)
    rows = [
        (
            group.name,
            f"{group.alarms} of {group.stretches}",
            *map(short, (group.auroc, group.partial, group.auroc_mean, group.partial_mean)),
        )
        for group in (*figures.kinds, figures.every)
    ]
    return table(head, [*rows, (NORMAL, f"{figures.false} of {figures.normal}", *["-"] * 4)])


def _list(stretches: Sequence[Stretch]) -> str:
    head = ("at", "kind", "highest", "mean", "alarm", "what it is")
    rows = [
        (
            f"{clock(one.label.start_s)} to {clock(one.label.end_s)}",
            one.label.kind or UNNAMED,
            f"{one.highest:.2f}",
            f"{one.mean:.2f}",
            "yes" if one.alarm else "",
            one.label.description,
        )
        for one in stretches[:_LISTED]
    ]
    return table(head, rows)


def _dots(figures: StretchFigures, threshold: float) -> str:
    """Each stretch as a dot by its highest score, a row per kind, the normal ones last."""
    names = [*(group.name for group in figures.kinds), NORMAL]
    with rc_context({**plots.STYLE, "svg.hashsalt": "stretches"}):
        figure = Figure(figsize=(5.0, 0.9 + 0.5 * len(names)), layout="constrained")
        axes = figure.subplots()
        for row, name in enumerate(names):
            own = [s.highest for s in figures.stretches if (s.label.kind or UNNAMED) == name]
            beside = [row + _SPREAD * (2 * (n % 5) / 4 - 1) for n in range(len(own))]
            colour = plots.GREY if name == NORMAL else plots.BLUE
            axes.plot(own, beside, "o", color=colour, ms=4, alpha=0.6, mew=0)
        axes.axvline(threshold, color=plots.RED, lw=1.1, ls=(0, (4, 3)))
        axes.set_yticks(range(len(names)), names)
        axes.set(ylim=(len(names) - 0.5, -0.5), xlabel="highest score, threshold in red")
        axes.grid(visible=False, axis="y")
        return plots.svg(figure, "Highest score of each labelled stretch, by kind")
