"""The contract of a webhook's template, and what all that are read by people have in common.

A template makes the body of one request of one phase of an event, of an answer to one, or of a
digest. It holds no
state: the same phase at the same time gives the same bytes, so that a repeat does no harm. What
a service limits is cut here, with ``…`` at the end, and never left to the service to refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from pipeline.core.answered import EventAnswer
from pipeline.core.digest import Digest
from pipeline.core.event import Event, Phase, Severity
from pipeline.sinks.message import clock_time, event_page, phase_word

MOST_TOLD = 10
"""Events of a digest that are told one by one."""

LEVELS: Mapping[Severity, str] = {
    Severity.LOW: "info",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "error",
    Severity.CRITICAL: "critical",
}
"""Our severities in the words that paging services use."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a template knows besides the event.

    Attributes:
        deployment: Name of the deployment.
        page: Address of the dashboard, as those reach it who are told; empty: no links.
        routing_key: Key of the service, where it wants one in the body.
        stands_ns: How long an alert stands without news, where a service wants to know it.
    """

    deployment: str
    page: str = ""
    routing_key: str = field(default="", repr=False)
    stands_ns: int = 0

    def link(self, event: Event) -> str:
        """Address of the event's page; empty without a dashboard."""
        return event_page(self.page, event.id) if self.page else ""


class Template(Protocol):
    """How one service is told."""

    content_type: str

    def event(self, event: Event, now_ns: int) -> bytes:
        """Body that tells of one phase of an event.

        Args:
            event: The phase.
            now_ns: When it is told.
        """
        ...

    def digest(self, digest: Digest, now_ns: int) -> bytes:
        """Body that tells what came and went."""
        ...

    def answer(self, event: Event, answer: EventAnswer) -> bytes | None:
        """Body that tells what somebody answered; None: the service has no place for it."""
        ...


def one_line(text: str, most: int) -> str:
    """`text` on one line of at most `most` letters, without signs that steer a display."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text)
    line = " ".join(shown.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def sentence(event: Event, most: int) -> str:
    """What happened, never empty."""
    return one_line(event.summary, most) or "Something is unusual"


def headline(event: Event) -> str:
    """What the event is now and where: ``Alarm in hall``."""
    word = phase_word(event)
    return f"{word[:1].upper()}{word[1:]} in {event.scene}"


def facts(event: Event, site: Site) -> list[tuple[str, str]]:
    """Name and value of what is worth knowing at a glance."""
    told = [
        ("Severity", event.severity.value),
        ("Began", clock_time(event.start_ns)),
        ("Lasted" if event.phase is Phase.CLEARED else "Lasts", f"{_seconds(event):.1f} s"),
        ("Site", site.deployment),
    ]
    if event.incomplete:
        told.append(("Not seen", one_line(", ".join(event.incomplete), 200)))
    return told


def digest_lines(digest: Digest) -> list[str]:
    """The events of a digest, a line each, and how many more there were."""
    lines = [
        f"{clock_time(event.start_ns)}, {event.severity.value}: {sentence(event, 150)}"
        for event in digest.last[:MOST_TOLD]
    ]
    more = len(digest.last) - MOST_TOLD
    return [*lines, f"and {more} more"] if more > 0 else lines


def moment(at_ns: int) -> str:
    """A time as RFC 3339 text in UTC, to the millisecond."""
    return f"{_date(at_ns)}.{at_ns % 10**9 // 10**6:03d}Z"


def rfc3339(at_ns: int) -> str:
    """A time as RFC 3339 text in UTC, with nanoseconds."""
    return f"{_date(at_ns)}.{at_ns % 10**9:09d}Z"


def _date(at_ns: int) -> str:
    return f"{datetime.fromtimestamp(at_ns // 10**9, UTC):%Y-%m-%dT%H:%M:%S}"


def _seconds(event: Event) -> float:
    return (event.end_ns - event.start_ns) / 1e9
