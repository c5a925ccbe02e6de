"""What the demo shows at its end: a table of found against there, and a timeline as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.core.event import Event
from pipeline.detection.score import WindowScore
from pipeline.training.event_metrics import TOLERANCE_S

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Truth:
    """One anomaly that was really there, seconds since the start of the run."""

    start_s: float
    end_s: float
    kind: str
    modalities: tuple[str, ...]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """One event as the run ended it, seconds since the start of the run."""

    start_s: float
    end_s: float
    event: Event


@dataclass(slots=True)
class Match:
    """Truths with the events that found them, and the events that found nothing."""

    found: list[tuple[Truth, tuple[Found, ...]]] = field(default_factory=list)
    false_alarms: list[Found] = field(default_factory=list)

    @property
    def hits(self) -> int:
        """How many truths were found."""
        return sum(1 for _, events in self.found if events)

    @property
    def missed_between(self) -> bool:
        """Whether anything that takes several modalities to be seen was not found."""
        return any(len(truth.modalities) > 1 and not events for truth, events in self.found)


def final_events(events: Sequence[Event], start_ns: int) -> list[Found]:
    """The last published phase of each event of the scene, on the run's time axis."""
    last: dict[str, Event] = {}
    for event in events:
        if event.health:
            continue
        if event.id not in last or event.revision >= last[event.id].revision:
            last[event.id] = event
    return [
        Found((e.start_ns - start_ns) / SECOND_NS, (e.end_ns - start_ns) / SECOND_NS, e)
        for e in sorted(last.values(), key=lambda e: e.start_ns)
    ]


def match(truths: Sequence[Truth], events: Sequence[Found]) -> Match:
    """An event finds the truth that it overlaps most, `TOLERANCE_S` either way, and no other."""
    result = Match([(truth, ()) for truth in truths])
    for event in events:
        near = [i for i, truth in enumerate(truths) if _common_s(event, truth) >= -TOLERANCE_S]
        if not near:
            result.false_alarms.append(event)
            continue
        best = max(near, key=lambda i: _common_s(event, truths[i]))
        truth, found = result.found[best]
        result.found[best] = (truth, (*found, event))
    return result


def _common_s(event: Found, truth: Truth) -> float:
    """Seconds that both share; what lies between them, negative, when they share none."""
    return min(event.end_s, truth.end_s) - max(event.start_s, truth.start_s)


def print_summary(console: Console, result: Match) -> None:
    """The table of what was found against what was there."""
    table = Table(title="What was there, and what fusewatch said")
    for column in ("at", "what was there", "found", "what was said"):
        table.add_column(column)
    for truth, events in result.found:
        first = events[0] if events else None
        table.add_row(
            f"{truth.start_s:.0f} to {truth.end_s:.0f} s",
            f"{truth.kind}: {truth.description} ({', '.join(truth.modalities)})",
            f"[green]at {first.start_s:.1f} s[/]" if first else "[red]no[/]",
            escape(first.event.summary) if first else "",
        )
    for extra in result.false_alarms:
        span = f"{extra.start_s:.0f} to {extra.end_s:.0f} s"
        table.add_row(span, "nothing", "[yellow]false alarm[/]", escape(extra.event.summary))
    console.print(table)


def draw_timeline(
    path: Path,
    result: Match,
    scores: Sequence[WindowScore],
    threshold: float,
    start_ns: int,
) -> None:
    """Score and threshold over time, with what was there above and what was found below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    _draw_spans(top, result)
    times_s = np.array([(s.end_ns - start_ns) / SECOND_NS for s in scores])
    for name in sorted({d for s in scores for d in s.detectors}):
        series = _series(scores, name)
        bottom.plot(times_s, series, lw=1, alpha=0.7, label=name)
    merged = np.array([-np.log10(s.p) for s in scores])
    bottom.plot(times_s, merged, color="black", lw=1.6, label="merged")
    bottom.axhline(threshold, color="crimson", ls="--", lw=1.2, label="alarm threshold")
    bottom.set(xlabel="seconds since the start", ylabel="anomaly score  (-log10 p)")
    figure.legend(loc="outside lower center", fontsize=8, ncols=8, frameon=False)
    bottom.grid(alpha=0.25)
    figure.savefig(path, dpi=110)


def _series(scores: Sequence[WindowScore], name: str) -> npt.NDArray[np.float64]:
    return np.array([-np.log10(s.detectors.get(name, np.nan)) for s in scores])


def _draw_spans(axes: object, result: Match) -> None:
    from matplotlib.axes import Axes

    if not isinstance(axes, Axes):
        raise TypeError("axes must be matplotlib axes")
    for truth, events in result.found:
        colour = "seagreen" if events else "firebrick"
        axes.broken_barh([(truth.start_s, truth.end_s - truth.start_s)], (1.1, 0.8), color=colour)
        axes.text(truth.start_s, 2.0, truth.kind, fontsize=8, rotation=0)
        for found in events:
            width = max(found.end_s - found.start_s, 0.2)
            axes.broken_barh([(found.start_s, width)], (0.1, 0.8), color="steelblue")
    for found in result.false_alarms:
        width = max(found.end_s - found.start_s, 0.2)
        axes.broken_barh([(found.start_s, width)], (0.1, 0.8), color="orange")
    axes.set_yticks([0.5, 1.5], ["found", "was there"])
    axes.set_ylim(0, 2.5)
    axes.set_title("green: found, red: missed, blue: event, orange: false alarm", fontsize=9)
