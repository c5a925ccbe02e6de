"""Events as lines for people: the facts of each in one, and what it says below."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from textwrap import fill

from rich.console import Console
from rich.markup import escape

from pipeline.core.event import Event

ID = 16
"""Of an id so much is shown, by which an event is found; of those of the equipment no less."""
_INDENT = "    "


def print_events(events: Sequence[Event]) -> None:
    """Print events; a sentence has no room in a column of a table."""
    console = Console(highlight=False)
    for event in events:
        rare = "" if event.health else f"  p {event.p:.1e}"
        console.print(
            f"[bold]{local_time(event.start_ns)}[/bold]  {escape(event.scene)}"
            f"  {event.severity.value}"
            f"  {event.phase.value}, {(event.end_ns - event.start_ns) / 1e9:.1f} s"
            f"{rare}  {event.id[:ID]}"
        )
        told = event.summary + f" Incident {event.incident}." * bool(event.incident)
        sentence = fill(told, console.width, initial_indent=_INDENT, subsequent_indent=_INDENT)
        console.print(sentence, markup=False)
    if not events:
        console.print("no events")


def local_time(at_ns: int) -> str:
    """A time as the clock on the wall shows it."""
    moment = datetime.fromtimestamp(at_ns // 10**9, UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S")
