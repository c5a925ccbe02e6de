"""Events on the terminal: one line per phase, coloured by severity where colours show."""

from __future__ import annotations

import sys
from collections import OrderedDict
from datetime import UTC, datetime
from typing import IO, Literal

from rich.console import Console
from rich.text import Text

from pipeline.core.errors import SinkUnavailable
from pipeline.core.event import Event, ModalityScore, Phase, Severity
from pipeline.sinks.base import SinkContext, SinkSettings

REMEMBERED = 1024
"""Keys kept to not print a phase twice."""

_COLOURS = {
    Severity.LOW: "cyan",
    Severity.MEDIUM: "yellow",
    Severity.HIGH: "red",
    Severity.CRITICAL: "bold white on red",
}
_MARKS = {Phase.RAISED: "▲", Phase.UPDATED: "●", Phase.CLEARED: "▽"}
_PLAIN_MARKS = {Phase.RAISED: "!", Phase.UPDATED: "~", Phase.CLEARED: "-"}


class ConsoleSettings(SinkSettings):
    """Print events for people to read."""

    type: Literal["console"] = "console"
    """Kind of sink."""

    stream: Literal["stdout", "stderr"] = "stdout"
    """Where to print."""

    utc: bool = False
    """Show times in UTC instead of this machine's time zone."""

    details: bool = True
    """Add what each modality contributed when an event is raised."""

    def build(self, context: SinkContext) -> ConsoleSink:
        """Make the sink."""
        return ConsoleSink(self)


class ConsoleSink:
    """Prints events.

    Args:
        settings: What to print and where.
        file: Instead of the standard streams.
    """

    def __init__(self, settings: ConsoleSettings, file: IO[str] | None = None) -> None:
        self._settings = settings
        self._file = file
        self._console: Console | None = None
        self._printed: OrderedDict[str, None] = OrderedDict()

    def open(self) -> None:
        """Find out what the terminal can show."""
        chosen = sys.stdout if self._settings.stream == "stdout" else sys.stderr
        self._console = Console(file=self._file or chosen, highlight=False, soft_wrap=True)

    def deliver(self, event: Event) -> None:
        """Print the event's phase, unless it was printed before."""
        if self._console is None:
            self.open()
        if self._console is None or event.key in self._printed:
            return
        try:
            self._console.print(self._text(event, self._marks(self._console)))
        except (OSError, ValueError) as error:
            raise SinkUnavailable(f"cannot print: {error}", where=self._settings.stream) from error
        self._printed[event.key] = None
        if len(self._printed) > REMEMBERED:
            self._printed.popitem(last=False)

    def close(self) -> None:
        """Nothing to let go of."""
        self._console = None

    @staticmethod
    def _marks(console: Console) -> dict[Phase, str]:
        unicode = (console.encoding or "").lower().startswith("utf")
        return _MARKS if unicode else _PLAIN_MARKS

    def _text(self, event: Event, marks: dict[Phase, str]) -> Text:
        colour = _COLOURS[event.severity] if event.phase is not Phase.CLEARED else "green"
        text = Text()
        text.append(f"{self._time(event.end_ns)}  ", style="dim")
        text.append(f"{marks[event.phase]} {event.phase.value.upper():<7}", style=colour)
        text.append(f" {event.severity.value:<8}", style=colour)
        text.append(f" {event.scene}", style="bold")
        text.append(f"  {_printable(event.summary)}")
        rare = "" if event.health else f" p={event.p:.1e},"
        text.append(f"  ({_span(event)},{rare} {_short(event)})", style="dim")
        if self._settings.details and event.phase is Phase.RAISED:
            for line in _details(event):
                text.append(f"\n{'':23}{_printable(line)}", style="dim")
        return text

    def _time(self, at_ns: int) -> str:
        moment = datetime.fromtimestamp(at_ns // 10**9, UTC)
        if self._settings.utc:
            return moment.strftime("%Y-%m-%d %H:%M:%SZ")
        return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _printable(words: str) -> str:
    """What came from outside may hold signs that steer a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in words)


def _span(event: Event) -> str:
    return f"{(event.end_ns - event.start_ns) / 1e9:.1f} s"


def _short(event: Event) -> str:
    """The event's key as far as people need it."""
    return f"{event.id[:8]}.{event.revision}"


def _details(event: Event) -> list[str]:
    def order(item: tuple[str, ModalityScore]) -> tuple[float, str]:
        return (-item[1].share, item[0])

    lines = [
        f"{name}: {score.share:.0%}{f', {score.note}' if score.note else ''}"
        for name, score in sorted(event.modalities.items(), key=order)
    ]
    if event.incomplete:
        lines.append(f"not seen: {', '.join(event.incomplete)}")
    lines += [f"{stream} was {why}" for stream, why in sorted(event.degraded.items())]
    if event.evidence.snapshot:
        lines.append(f"picture: {event.evidence.snapshot}")
    return lines


PLUGIN = ConsoleSettings
