"""What the scorer says about one window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.core.explanation import Explanation

NOTE_BELOW_P = 0.01
"""A p-value from which on there is something to say."""

TOGETHER = "the streams together are unusual"


@dataclass(frozen=True, slots=True)
class WindowScore:
    """Calibrated verdict on one window; a small p is anomalous.

    Attributes:
        scene: Name of the scene.
        index: Index of the window.
        start_ns: Start of the window, inclusive.
        end_ns: End of the window, exclusive.
        p: Merged p-value; 1.0 when nothing could be seen.
        detectors: p-value per detector that could see (``video:hall-camera``, ``between``, ...).
        notes: What was unusual, in words, for detectors with something to say.
        missing: Streams too incomplete to be scored.
        degraded: Streams that saw less than ever in the site's normal, and why, as in "camera
            was <why>"; they counted less.
        uncertainty_ns: Largest clock uncertainty of the window's streams.
        explanation: Why, for windows that are unusual.
        hops: See `Window.hops`.
    """

    scene: str
    index: int
    start_ns: int
    end_ns: int
    p: float
    detectors: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    degraded: Mapping[str, str] = field(default_factory=dict)
    uncertainty_ns: int = 0
    explanation: Explanation | None = None
    hops: int = 1
