"""An event as a message that people read: a subject, a text, and pictures to go with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.core.answered import EventAnswer, answer_key
from pipeline.core.digest import Digest
from pipeline.core.event import TEST_PREFIX, Event, Phase

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
    lines = [
        event.summary,
        "",
        f"scene:    {event.scene} ({deployment})",
        f"when:     {clock_time(event.start_ns)}, {(event.end_ns - event.start_ns) / 1e9:.1f} s",
        f"severity: {event.severity.value}",
    ]
    lines += [f"not seen: {', '.join(event.incomplete)}"] if event.incomplete else []
    lines += [f"look:     {event_page(page, event.id)}"] if page else []
    lines += [f"id:       {event.key}"]
    subject = f"[{deployment}/{event.scene}] {phase_word(event)}: {event.summary}"
    pictures = _pictures(event, evidence) if event.phase is Phase.RAISED else ()
    return Message(event.key, _line(subject), "\n".join(lines), pictures)


def phase_word(event: Event) -> str:
    """What the event is now: ``alarm``, ``equipment, over``, ``test, alarm``."""
    kind = "test, " if event.id.startswith(TEST_PREFIX) else "equipment, " * event.health
    return kind + _WORDS[event.phase]


def message_of_answer(
    event: Event, answer: EventAnswer, deployment: str, page: str = ""
) -> Message:
    """The message of an answer to an event; see `message_of`."""
    lines = [
        _first_upper(answer.words),
        "",
        f"event:    {event.summary}",
        f"scene:    {event.scene} ({deployment})",
        f"when:     {clock_time(event.start_ns)}",
    ]
    lines += [f"look:     {event_page(page, event.id)}"] if page else []
    key = answer_key(event.id, answer)
    subject = f"[{deployment}/{event.scene}] {answer.words}"
    return Message(key, _line(subject), "\n".join([*lines, f"id:       {key}"]))


def event_page(page: str, event_id: str) -> str:
    """Address of an event on the dashboard, whose own address is `page`."""
    return f"{page.rstrip('/')}/#/event/{event_id}"


def message_of_digest(digest: Digest, deployment: str) -> Message:
    """The message of a digest: what came and went while nobody could be told."""
    told = [f"{clock_time(e.start_ns)}  {e.severity.value:8}  {e.summary}" for e in digest.last]
    more = len(told) - _SHOWN
    lines = [digest.summary, "", *told[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]
    subject = f"[{deployment}/{digest.scene}] {digest.summary}"
    return Message(digest.key, _line(subject), "\n".join([*lines, "", f"id: {digest.key}"]))


def _pictures(event: Event, evidence: Path) -> tuple[Path, ...]:
    shown = event.evidence
    names = (shown.explained or shown.snapshot, shown.spectrogram, shown.channels)
    files = [evidence / name for name in names if name]
    return tuple(f for f in files if f.is_file() and f.stat().st_size <= LONGEST_PICTURE)


def clock_time(at_ns: int) -> str:
    """A time as people read it."""
    return f"{datetime.fromtimestamp(at_ns // 10**9, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _line(text: str) -> str:
    return " ".join(text.split())[:200]


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]
