"""The timeline of a backtest as SVG: what each side told, and what was gained and lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nodes.backtest.result import EventRow, SceneResult
from pipeline.training.evaluation_plots import BLUE, GREEN, GREY, ORANGE, RED, STYLE, bar, svg

SECOND_NS = 1_000_000_000
KEY = ((BLUE, "kept"), (ORANGE, "gained"), (RED, "lost"), (GREEN, "label"))
COLOURS = {"kept": BLUE, "gained": ORANGE, "lost": RED}


def timeline(scene: SceneResult, from_ns: int, to_ns: int) -> str:
    """Alarms of both sides over time, labels above them, and the days below."""
    least = (_days(to_ns) - _days(from_ns)) / 500  # no span too thin to be seen
    rows = ["new", "old"] if scene.labels is None else ["new", "old", "labels"]
    with rc_context({**STYLE, "svg.hashsalt": f"backtest {scene.scene}"}):
        figure = Figure(figsize=(11, 0.9 + 0.5 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for moment in scene.moments:
            _draw(axes, moment.new, 0.1, COLOURS[moment.change], least)
            _draw(axes, moment.old, 1.1, COLOURS[moment.change], least)
        for start_s, end_s, _ in scene.labels or ():
            start, end = _days(round(start_s * SECOND_NS)), _days(round(end_s * SECOND_NS))
            bar(axes, start, end, 2.1, GREEN, least)
        axes.set_yticks([0.5 + at for at in range(len(rows))], rows)
        axes.set_ylim(0, len(rows))
        axes.set_xlim(_days(from_ns), _days(to_ns))
        axes.grid(visible=False, axis="y")
        locator = AutoDateLocator(tz=UTC)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        told = ConciseDateFormatter(locator, tz=UTC)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(told)
        return svg(figure, f"Alarms of {scene.scene} over time, old and new")


def by_day(scene: SceneResult) -> str:
    """Moments kept, gained and lost on each day."""
    with rc_context({**STYLE, "svg.hashsalt": f"backtest days {scene.scene}"}):
        figure = Figure(figsize=(11, 2.4), layout="constrained")
        axes = figure.subplots()
        places = list(range(len(scene.days)))
        kept = [day.kept for day in scene.days]
        axes.bar(places, kept, color=BLUE)
        axes.bar(places, [day.gained for day in scene.days], bottom=kept, color=ORANGE)
        axes.bar(places, [-day.lost for day in scene.days], color=RED)
        axes.axhline(0, color=GREY, lw=0.8)
        step = max(1, len(places) // 12)
        axes.set_xticks(places[::step], [day.day[5:] for day in scene.days[::step]])
        axes.set_ylabel("alarms a day")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        return svg(figure, f"Alarms of {scene.scene} by day")


def _draw(axes: Axes, events: Sequence[EventRow], low: float, colour: str, least: float) -> None:
    for event in events:
        bar(axes, _days(event.start_ns), _days(event.end_ns), low, colour, least)


def _days(at_ns: int) -> float:
    """A time as matplotlib counts it."""
    moment = datetime.fromtimestamp(at_ns / SECOND_NS, UTC)
    return float(date2num(moment))  # type: ignore[no-untyped-call]
