"""What an alarm says when an event begins, goes on or ends, and how severe it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.core.event import Heard, Phase, Severity
from pipeline.detection.score import WindowScore

_SEVERITIES = tuple(Severity)
_STEPS = (0.5, 1.5, 3.0)  # powers of ten rarer than the threshold
_LONG_NS = 30_000_000_000
_SMALLEST_P = 1e-300


@dataclass(frozen=True, slots=True)
class Transition:
    """A phase of an event, as the alarm sees it; the engine adds the rest.

    Attributes:
        id: See `pipeline.core.event.event_id`.
        revision: 0 for raised, then growing by one.
        scene: Scene.
        alarm: Name of the alarm.
        phase: raised, updated or cleared.
        severity: Reached so far; never falls.
        start_ns: When the anomaly began, within about a hop.
        end_ns: End of the last window that belongs to it so far.
        p: Smallest p-value so far.
        score: Highest score so far.
        peak: The window with that score.
        heard: See `pipeline.core.event.Event.heard`.
        widened: See `pipeline.core.event.Event.widened`.
    """

    id: str
    revision: int
    scene: str
    alarm: str
    phase: Phase
    severity: Severity
    start_ns: int
    end_ns: int
    p: float
    score: float
    peak: WindowScore
    heard: Mapping[str, Heard] = field(default_factory=dict)
    widened: int = 1


def anomaly_score(p: float) -> float:
    """``-log10 p``, finite; 0 for a p-value that is not a number."""
    return -math.log10(min(max(p, _SMALLEST_P), 1.0)) if not math.isnan(p) else 0.0


def severity(above: float, length_ns: int) -> Severity:
    """Severity of an event.

    Args:
        above: Powers of ten by which its peak is rarer than the threshold.
        length_ns: Its length; from 30 s on it counts one step higher.
    """
    step = sum(above >= limit for limit in _STEPS) + (length_ns >= _LONG_NS)
    return _SEVERITIES[min(step, len(_SEVERITIES) - 1)]
