"""Frames of footage into samples, whatever the frames come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Sample
from pipeline.recording.import_report import InputReport

JPEG_QUALITY = 90
_SECOND_NS = 1_000_000_000
_SLACK_NS = _SECOND_NS // 1000  # containers round times

Frame = TypeVar("Frame")


def frame_samples(
    frames: Iterable[tuple[int, Frame]],
    packed: Callable[[Frame], bytes | None],
    report: InputReport,
    start_ns: int,
    most_hz: float | None,
) -> Iterator[tuple[int, Sample]]:
    """Time and sample of each frame that is kept: those back in time and damaged ones are dropped.

    Args:
        frames: Time and frame.
        packed: A frame as JPEG; None: it is damaged.
        report: What is counted.
        start_ns: Time of second 0.
        most_hz: Keep at most this many frames a second; None: all.
    """
    last_ns, kept_slot, sequence = None, None, 0
    for time_ns, frame in frames:
        if last_ns is not None and time_ns <= last_ns:
            report.drop(DropReason.OUT_OF_ORDER)
            continue
        last_ns = time_ns
        slot = _slot(time_ns - start_ns, most_hz)
        if slot is not None and slot == kept_slot:
            report.fault("frames beyond --video-hz, left out")
            continue
        data = packed(frame)
        if data is None:
            report.drop(DropReason.CORRUPT)
            continue
        kept_slot = slot
        report.took(time_ns)
        yield time_ns, Sample(report.stream, sequence, time_ns, data, Encoding.JPEG)
        sequence += 1


def _slot(since_start_ns: int, most_hz: float | None) -> int | None:
    """Frames in one slot are too close together; None when all are kept."""
    return None if most_hz is None else int((since_start_ns + _SLACK_NS) * most_hz // _SECOND_NS)
