"""What a writer of evidence must offer to the keeper that tells it what to write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from pipeline.core.event import Event
from pipeline.core.explanation import Box
from pipeline.core.sample import Sample
from pipeline.detection.evidence_material import Kept

CLIP, SOUND, RECORDING = "clip.mp4", "sound.wav", "event.mcap"
SPECTROGRAM, CHANNELS = "spectrogram.png", "channels.png"


class EvidenceWriter(Protocol):
    """Writes evidence files; returns at once, the work may be done elsewhere."""

    def snapshot(self, name: str, frame: Sample) -> None:
        """Write one frame as a JPEG."""
        ...

    def explained(self, name: str, frame: Sample, box: Box) -> None:
        """Write one frame as a JPEG with a box drawn around what is unusual."""
        ...

    def keep(self, event_id: str, kept: Kept) -> None:
        """Keep something for an event; what comes again is kept once."""
        ...

    def draw(self, event: Event, peak_ns: int, shown: Sequence[Kept]) -> None:
        """Draw the sound and the channels that `event.evidence` names.

        Args:
            event: The event, explained.
            peak_ns: Start of the window that is explained.
            shown: Streams of the scene and their samples.
        """
        ...

    def finish(self, wanted: Wanted) -> None:
        """Make all that the evidence of an event that is over names, from what was kept."""
        ...


class Wanted(msgspec.Struct):
    """What is to be made of an event that is over.

    Attributes:
        event: Its last phase, which names the files.
        peak_ns: Start of the window that its explanation tells of.
        streams: Streams of the scene.
        video: Stream of the clip; empty: none.
        audio: Stream of the sound; likewise.
        rate_hz: Of the sound.
    """

    event: Event
    peak_ns: int
    streams: tuple[str, ...]
    video: str
    audio: str
    rate_hz: float
