"""The recording of an event: what was kept of it as MCAP.

It opens in Foxglove and replays. A replay of it begins with nothing learnt of the hours before,
and with large raw frames as JPEG: scores that hang on either differ from those recorded beside
the samples, and an alarm that hung on them may be missing; the notes say so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.errors import RecordingError
from pipeline.core.event import Event
from pipeline.detection.evidence_material import Kept, LeftOut
from pipeline.detection.evidence_writer import Wanted
from pipeline.recording.scores import RecordedScore
from pipeline.recording.writer import RecordingWriter

FULL, UNFIT = "evidence_mb is reached", "does not fit its stream"
_REPLAY = "begins with nothing learnt of the time before; large raw frames are JPEG"
_WIDE = "; windows that were left out as the fusion node could not keep up are scored"


def write_recording(path: Path, wanted: Wanted, kept: Iterable[Kept]) -> dict[str, dict[str, int]]:
    """Write the recording of an event.

    Args:
        path: File to write.
        wanted: What is to be made of the event.
        kept: What was kept of it, in order.

    Returns:
        Samples that are not in it, by stream and reason.

    Raises:
        RecordingError: It cannot be written.
    """
    left_out: dict[str, Counter[str]] = {}
    scenes = {wanted.event.scene: wanted.streams}
    wide = _WIDE if wanted.event.widened > 1 else ""
    notes = {"event": wanted.event.id, "replay": _REPLAY + wide}
    with RecordingWriter(path, scenes=scenes, notes=notes, overwrite=True) as writer:
        for one in kept:
            match one:
                case SampleArrived(sample=sample):
                    if not _written(writer, one):
                        left_out.setdefault(sample.stream, Counter())[UNFIT] += 1
                case StreamOpened():
                    writer.write(one)
                case LeftOut(stream=stream):
                    left_out.setdefault(stream, Counter())[FULL] += 1
                case RecordedScore():
                    writer.score(one)
                case Event():
                    writer.event(one, one.end_ns)
    return {stream: dict(counts) for stream, counts in left_out.items()}


def _written(writer: RecordingWriter, arrived: SampleArrived) -> bool:
    """Whether a sample could be written; what does not fit its stream must not cost the rest.

    Raises:
        RecordingError: The disk refuses.
    """
    try:
        writer.write(arrived)
    except RecordingError:
        if writer.broken:
            raise
        return False
    return True
