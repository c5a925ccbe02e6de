"""An event as a message that people read: a subject, a text, and pictures to go with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.core.digest import Digest
from pipeline.core.event import Event, Phase

_WORDS = {Phase.RAISED: "alarm", Phase.UPDATED: "still going on", Phase.CLEARED: "over"}
LONGEST_PICTURE = 4 * 2**20
"""Larger pictures are not sent along, bytes."""

_SHOWN = 20  # events of a digest that are listed


@dataclass(frozen=True, slots=True)
class Message:
    """What is told.

    Attributes:
        key: Idempotency key.
        subject: One line.
        text: Plain text.
        pictures: JPEG and PNG files to go with it, the most telling first; those that are there.
    """

    key: str
    subject: str
    text: str
    pictures: tuple[Path, ...] = ()


def message_of(event: Event, deployment: str, evidence: Path, page: str = "") -> Message:
    """The message of one phase of an event.

    Args:
        event: The phase.
        deployment: Name of the deployment.
        evidence: Folder that the event's files are relative to.
        page: Address of the dashboard, as those reach it who get the message; empty: no link.
    """
    word = "equipment, " * event.health + _WORDS[event.phase]
    lines = [
        event.summary,
        "",
        f"scene:    {event.scene} ({deployment})",
        f"when:     {_time(event.start_ns)}, {(event.end_ns - event.start_ns) / 1e9:.1f} s",
        f"severity: {event.severity.value}",
    ]
    lines += [f"not seen: {', '.join(event.incomplete)}"] if event.incomplete else []
    lines += [f"look:     {page.rstrip('/')}/#/event/{event.id}"] if page else []
    lines += [f"id:       {event.key}"]
    subject = f"[{deployment}/{event.scene}] {word}: {event.summary}"
    pictures = _pictures(event, evidence) if event.phase is Phase.RAISED else ()
    return Message(event.key, _line(subject), "\n".join(lines), pictures)


def message_of_digest(digest: Digest, deployment: str) -> Message:
    """The message of a digest: what came and went while nobody could be told."""
    told = [f"{_time(e.start_ns)}  {e.severity.value:8}  {e.summary}" for e in digest.last]
    more = len(told) - _SHOWN
    lines = [digest.summary, "", *told[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]
    subject = f"[{deployment}/{digest.scene}] {digest.summary}"
    return Message(digest.key, _line(subject), "\n".join([*lines, "", f"id: {digest.key}"]))


def _pictures(event: Event, evidence: Path) -> tuple[Path, ...]:
    shown = event.evidence
    names = (shown.explained or shown.snapshot, shown.spectrogram, shown.channels)
    files = [evidence / name for name in names if name]
    return tuple(f for f in files if f.is_file() and f.stat().st_size <= LONGEST_PICTURE)


def _time(at_ns: int) -> str:
    return f"{datetime.fromtimestamp(at_ns // 10**9, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
