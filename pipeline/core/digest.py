"""Digests: what has been and gone in a scene while a receiver was away, told at once.

An event is *over* for a receiver that has seen nothing of it when all its phases, from *raised*
to *cleared*, still wait, and the last ended long ago. Whoever is told so phase by phase is
alarmed by what is no alarm any more. An event of which the receiver knows, or that still stands,
is never part of a digest: its phases are news, and a receiver that opened a case for it must see
it closed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from pipeline.core.event import Event, Phase

DIGEST_PREFIX = "digest-"
"""How idempotency keys of digests begin."""

MOST = 100
"""Most events of one digest; what is left goes into the next."""

_TOLD = ("id", "alarm", "severity", "start_ns", "end_ns", "p", "score", "summary", "evidence")


@dataclass(frozen=True, slots=True)
class Digest:
    """What has been and gone in one scene.

    Attributes:
        key: Idempotency key; the same for the same phases.
        phases: Every phase of every event, in the order in which they were accepted.
    """

    key: str
    phases: tuple[Event, ...]

    @property
    def scene(self) -> str:
        """Name of the scene."""
        return self.phases[0].scene

    @property
    def start_ns(self) -> int:
        """When the first of it began."""
        return min(phase.start_ns for phase in self.phases)

    @property
    def end_ns(self) -> int:
        """When the last of it ended."""
        return max(phase.end_ns for phase in self.phases)

    @property
    def last(self) -> tuple[Event, ...]:
        """The last phase of each event, in order of their beginning."""
        return tuple({phase.id: phase for phase in self.phases}.values())

    @property
    def summary(self) -> str:
        """One sentence a person understands."""
        count = len(self.last)
        return f"{count} event{'s' if count > 1 else ''} came and went meanwhile."


def digest_body(digest: Digest) -> bytes:
    """The digest as canonical JSON.

    ``key``, ``scene``, ``start_ns``, ``end_ns``, ``summary`` and, under ``events``, the last
    phase of each event in short with the ``keys`` of all its phases.
    """
    keys: dict[str, list[str]] = {}
    for phase in digest.phases:
        keys.setdefault(phase.id, []).append(phase.key)
    events = [
        {name: getattr(event, name) for name in _TOLD} | {"keys": keys[event.id]}
        for event in digest.last
    ]
    body = {
        "key": digest.key,
        "scene": digest.scene,
        "start_ns": digest.start_ns,
        "end_ns": digest.end_ns,
        "summary": digest.summary,
        "events": events,
    }
    return msgspec.json.encode(body, order="sorted")


def over(phases: Sequence[Event], before_ns: int, most: int = MOST) -> list[Event]:
    """Of the phases of one scene that wait, those of events that are over, in order.

    Args:
        phases: All that wait, in order.
        before_ns: Only of events whose last phase ended by then.
        most: At most the phases of so many events, the first.
    """
    lives: dict[str, list[Event]] = {}
    for phase in phases:
        lives.setdefault(phase.id, []).append(phase)
    gone = [name for name, life in lives.items() if _is_over(life, before_ns)][:most]
    chosen = frozenset(gone)
    return [phase for phase in phases if phase.id in chosen]


def digest_key(phases: Iterable[Event]) -> str:
    """Idempotency key of a digest of these phases."""
    told = "\0".join(phase.key for phase in phases)
    return DIGEST_PREFIX + hashlib.sha256(told.encode()).hexdigest()[:20]


def _is_over(life: Sequence[Event], before_ns: int) -> bool:
    first, last = life[0], life[-1]
    return first.revision == 0 and last.phase is Phase.CLEARED and last.end_ns <= before_ns
