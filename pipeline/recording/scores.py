"""The scores of windows, as a recording of an event holds them beside the samples."""

from __future__ import annotations

import msgspec


class RecordedScore(msgspec.Struct, frozen=True, kw_only=True):
    """What a window scored.

    Attributes:
        scene: Name of the scene.
        index: Index of the window.
        start_ns: Start of the window, inclusive.
        end_ns: End of the window, exclusive.
        score: Anomaly score, ``-log10 p``.
        threshold: Score from which on a window is anomalous.
        p: p-value; 1 when nothing could be seen.
        parts: Anomaly score of each detector that could see.
        contributions: What each stream adds to `score`, in its units; empty for windows that
            are as usual.
        notes: What was unusual, in words, by detector.
        missing: Streams too incomplete to be scored.
        degraded: Streams that saw badly, and why.
    """

    scene: str
    index: int
    start_ns: int
    end_ns: int
    score: float
    threshold: float
    p: float
    parts: dict[str, float] = {}
    contributions: dict[str, float] = {}
    notes: dict[str, str] = {}
    missing: tuple[str, ...] = ()
    degraded: dict[str, str] = {}
