"""What comes of arrivals: scores, events, and where each scene stands, to be committed."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.core.event import Event
from pipeline.core.window import Window
from pipeline.detection.score import WindowScore


@dataclass(frozen=True, slots=True)
class SceneState:
    """Where a scene stands; committed with its events, restored after a crash.

    Attributes:
        next_window: Index of the first window that is not scored yet.
        alarm: State of the alarm, see `Alarm.state`; empty when the scene has none.
        scoring: State of the scoring, see `Scorer.state`; likewise.
        sight: What is remembered of streams that cannot see, see `SightHealth.state`.
        evidence: What is remembered of a standing alarm's evidence, see `EvidenceKeeper.state`.
        hop_ns: Step from one window to the next, by which the index counts; 0: the same as now.
    """

    next_window: int
    alarm: bytes = b""
    scoring: bytes = b""
    sight: bytes = b""
    evidence: bytes = b""
    hop_ns: int = 0

    def next_window_at(self, hop_ns: int) -> int:
        """Index of the first window that is not scored yet, where windows are so far apart now."""
        if self.hop_ns in (0, hop_ns):
            return self.next_window
        return -(-self.next_window * self.hop_ns // hop_ns)


@dataclass(slots=True)
class Outcome:
    """What came of the arrivals since the last `Engine.collect`.

    Attributes:
        scores: One per scored window, in order of cutting.
        events: Phases to publish, in order.
        states: State per scene that moved on.
        windows: Windows that were cut, scored or not.
        left_out: How many of them are not scored as the fusion node cannot keep up, by scene.
    """

    scores: list[WindowScore] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    states: dict[str, SceneState] = field(default_factory=dict)
    windows: list[Window] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
