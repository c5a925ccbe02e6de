"""Sensors whose next reading comes after the last one holds."""

from __future__ import annotations

from pipeline.core.sample import Modality, StreamInfo


def slow_readings(info: StreamInfo, holds_s: float) -> tuple[str, str] | None:
    """What is to be said of a stream, and what to do; None: its readings follow soon enough.

    Args:
        info: The stream.
        holds_s: For how long a reading of it holds, ``max_gap_s``.
    """
    period_s = 1 / info.rate_hz if info.rate_hz else 0.0
    if info.modality is not Modality.SENSOR or period_s <= holds_s:
        return None
    told_s = round(period_s, 1)
    return (
        f"has a reading every {told_s:,g} s, and one holds for {holds_s:g} s: of the time between "
        "nothing is known",
        f"set max_gap_s of the stream to {2 * told_s:g} or more",
    )
