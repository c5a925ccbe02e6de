"""What the fusion node makes durable in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.core.event import Event


@dataclass(frozen=True, slots=True)
class SceneCheckpoint:
    """Where a scene stands.

    Attributes:
        next_window: Index of the first window that is not yet accounted for.
        alarm: State of the scene's alarm, opaque to the store.
        scoring: State of the scene's scoring, likewise; empty when there is none.
        sight: What is remembered of streams that cannot see, likewise.
        evidence: What is remembered of the evidence of an alarm that stands, likewise.
        hop_ns: Step from one window to the next, by which the index counts; 0: not known.
    """

    next_window: int
    alarm: bytes
    scoring: bytes = b""
    sight: bytes = b""
    evidence: bytes = b""
    hop_ns: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """What becomes durable together.

    Attributes:
        scenes: Checkpoint per scene that moved.
        resume: Last sequence used per ``(node, session, stream)``.
        events: New phases, in order.
        seals: Digest of the manifest of events whose evidence is whole, by event.
    """

    scenes: Mapping[str, SceneCheckpoint] = field(default_factory=dict)
    resume: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    events: Sequence[Event] = ()
    seals: Mapping[str, str] = field(default_factory=dict)
