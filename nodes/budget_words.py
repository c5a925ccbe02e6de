"""What budgets of false alarms would have done on a recording, in a table and in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipeline.detection.budget_text import PERIODS_S
from pipeline.training.report_words import clock, number, share

if TYPE_CHECKING:
    from pipeline.training.budget_preview import BudgetPreview, BudgetRow

LABELS_HINT = (
    'give --labels FILE, JSON as in [{"start_s": 12.5, "end_s": 18, "kind": "fall"}], seconds '
    "from the recording's start, or what `fusewatch feedback export` wrote: what it names is not "
    "learnt, and told here as found or missed"
)
_TOLD = 12  # missed events that are told one by one
_MUCH = 0.05  # of the time in alarm, from which on it is told
_SPANS = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"))


def budget_table(found: BudgetPreview) -> Table:
    """A line a budget, the strictest first, the chosen one marked."""
    title = f"{found.scene}: false alarms in {span(found.normal_s)} of held-out normal"
    table = Table(title=title, box=SIMPLE_HEAD, show_edge=False, padding=0)
    for heading in ("budget", "threshold"):
        table.add_column(heading, no_wrap=True)  # what is chosen is whole on any terminal
    for heading in (
        "allowed here", "raised here", "each half by the other's", "so the true rate is (90 %)",
        "long enough to count", *(("known events missed",) if found.events else ()),
    ):  # fmt: skip
        table.add_column(heading)
    for row in found.rows:
        name = f"[bold]> {row.alarm.budget}\n(chosen)[/]" if row.chosen else f"  {row.alarm.budget}"
        missed = [f"{len(row.missed)} of {len(found.events)}"] if found.events else []
        enough = "yes" if row.supported else f"[yellow]no: needs {span(row.needed_s)}[/]"
        table.add_row(
            name, f"{row.threshold:.2f}", few(row.expected), str(row.raised), str(row.apart),
            rate(row), enough, *missed,
        )  # fmt: skip
    return table


def budget_words(found: BudgetPreview) -> Iterator[str]:
    """What the chosen budget would have done, and which known events it would have missed."""
    chosen = found.chosen
    yield (
        f"The chosen budget, {chosen.alarm.budget}, sets a threshold of {chosen.threshold:.2f}: "
        f"in {span(found.normal_s)} of normal it would have raised {alarm_count(chosen.raised)}, "
        f"{chosen.apart} with each half judged by the other half's threshold."
    )
    if not chosen.supported:
        yield (
            f"So little normal cannot count so few: all it tells is a rate of {rate(chosen)}; "
            f"the threshold is extrapolated. {span(chosen.needed_s)} of normal would do."
        )
    if chosen.stood > _MUCH:
        yield (
            f"By the other half's threshold an alarm would have stood {share(chosen.stood)} of "
            "the time: normal changes within the recording, so record more of it."
        )
    yield from _events(found)


def _events(found: BudgetPreview) -> Iterator[str]:
    if not found.events and not found.outside:
        yield f"No known events, so what it would miss cannot be told: {LABELS_HINT}."
        return
    missed = found.chosen.missed
    yield f"Known events found: {len(found.events) - len(missed)} of {len(found.events)}."
    for event in missed[:_TOLD]:
        yield _missed(found, event)
    if len(missed) > _TOLD:
        yield f"  and {len(missed) - _TOLD} more were missed"
    if found.outside:
        yield f"Known events left out, as no window shows them: {len(found.outside)}."


def _missed(found: BudgetPreview, event: int) -> str:
    label, first = found.events[event], found.found_from(event)
    kind = f" {label.kind}" if label.kind else ""
    about = f" ({label.description})" if label.description else ""
    over = found.heights[event] >= found.chosen.threshold
    held = f" but not for {found.chosen.alarm.min_duration_s:g} s in a row" if over else ""
    found_by = f"found from {first.alarm.budget}" if first else "found by none of these budgets"
    return (
        f"  missed: {clock(label.start_s)}{kind}{about}, "
        f"highest score {found.heights[event]:.2f}{held}, {found_by}"
    )


def rate(row: BudgetRow) -> str:
    """The interval of the true rate, by the period of the budget."""
    low, high = (end * PERIODS_S[row.alarm.period] for end in (row.low_hz, row.high_hz))
    period = row.alarm.period
    every = f"an {period}" if period == "hour" else f"a {period}"
    return f"{number(low)} to {number(high)} {every}" if low else f"under {number(high)} {every}"


def span(seconds: float) -> str:
    """A length of time in the unit that suits it."""
    for size, unit in _SPANS:
        if seconds >= 2 * size:
            return f"{number(seconds / size).removesuffix('.0')} {unit}"
    return f"{seconds:.0f} s"


def alarm_count(count: int) -> str:
    """So many alarms."""
    return "1 alarm" if count == 1 else f"{count} alarms"


def few(expected: float) -> str:
    """A small count with as many digits as it needs to be told from nothing."""
    return number(expected) if expected >= 0.95 else f"{expected:.2g}"
