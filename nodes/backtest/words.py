"""A backtest in words, for the terminal and the report."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from nodes.backtest.result import Backtest, MomentRow, Rate
from nodes.budget_words import span as duration
from pipeline.training.report_words import number

SECOND_NS = 1_000_000_000


def moment(at_ns: int) -> str:
    """A time, UTC."""
    return datetime.fromtimestamp(at_ns // SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M:%S")


def span(found: Backtest) -> str:
    """What was replayed."""
    files = "1 recording" if found.files == 1 else f"{found.files} recordings"
    return (
        f"{moment(found.from_ns)} to {moment(found.to_ns)} UTC, of which "
        f"{length(found.recorded_s)} in {files}."
    )


def length(seconds: float) -> str:
    """A length of time; a dash of none."""
    return duration(seconds) if seconds else "-"


def beside_budget(rate: Rate) -> str:
    """A rate's interval beside its budget."""
    low, high = number(rate.low_per_week), number(rate.high_per_week)
    return (
        f"90 % interval {low} to {high}; budget {rate.budget}, "
        f"{number(rate.budget_per_week)} a week: {rate.standing}"
    )


def moment_words(found: MomentRow) -> tuple[str, str, str, str, str]:
    """When it began, how long it lasted, severity, what was said, and the label that it found."""
    told = found.new or found.old
    severity = told[0].severity
    if found.change == "kept" and found.old[0].severity != severity:
        severity = f"{found.old[0].severity} \N{RIGHTWARDS ARROW} {severity}"
    lasted = f"{(found.end_ns - found.start_ns) / SECOND_NS:.0f} s"
    if not all(event.ended for event in (*found.old, *found.new)):
        lasted += ", end not seen"
    labels = (event.label for event in (*found.new, *found.old))
    label = next((one or "(not said)" for one in labels if one is not None), "")
    return moment(found.start_ns), lasted, severity, told[0].summary, label


def damage(found: Backtest) -> Iterator[str]:
    """What could not be read or replayed, each with its name."""
    if found.unreadable:
        yield f"{_files(len(found.unreadable))} could not be read and left out:"
        yield from (f"  {file}: {why}" for file, why in found.unreadable.items())
    if found.damaged:
        count = _files(len(found.damaged))
        yield f"{count} damaged or cut off; what is whole in them was replayed:"
        yield from (f"  {file}: {'; '.join(why)}" for file, why in found.damaged.items())
    if found.given_up:
        yield "These stretches could not be replayed, so what they hold is missing:"
        yield from (f"  {text}" for text in found.given_up)


def how(found: Backtest) -> Iterator[str]:
    """How it was done, and how exact it is."""
    for side, seams in found.seams.items():
        cut = seams.same + seams.different + seams.not_compared
        text = f"{side}: replayed in {seams.pieces} piece{'s' * (seams.pieces != 1)}"
        if cut:
            text += (
                f", each with the {length(seams.lead_s)} before it; of {cut} seams {seams.same} "
                "show the same scores and the same alarm on both sides"
            )
        if seams.different:
            text += (
                f", {seams.different} do not (scores up to {seams.worst:.2g} apart, "
                f"{seams.merged} alarms joined): a longer --lead, or --piece, comes nearer"
            )
        if seams.not_compared:
            text += f", {seams.not_compared} have no window that both scored"
        yield text + "."
    if found.again:
        yield f"Workers were lost {found.again} times; their pieces were run again."


def shown() -> str:
    """How it was counted."""
    return (
        "Alarms of a scene that overlap, or lie within two seconds, are one moment; a moment that "
        "one side alone tells was gained or lost; so is what a live deployment did not watch "
        "because it was not running then. Events of the equipment are left out: they "
        "depend on the whole run, and spend no budget. Without labels every alarm counts against "
        "the budget, also a true one. Intervals are Garwood's exact ones for a Poisson count. "
        "Days and times are UTC."
    )


def _files(count: int) -> str:
    return "1 recording" if count == 1 else f"{count} recordings"
