"""What the event looked and sounded like: the samples around it, kept until they are written.

Each stream has a short ring of its latest samples as they arrived (full size, not the small
pictures the model works on). When an alarm is raised a bundle is begun with what the ring
holds from `before_s` on, and takes further samples until the alarm clears or `LONGEST_S` is
reached. The snapshot, and the same camera's picture with a box around what is unusual when
there is one, are named on *raised*, the clip and the sound on *cleared*, when there is
something to show. Names are a pure function of the arrivals, whether files are written or
not, so that a replay publishes the same events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from pipeline.core.event import Event, Evidence, Phase
from pipeline.core.explanation import Box
from pipeline.core.sample import Encoding, Sample
from pipeline.core.window import AudioSlice, VideoSlice, Window

LONGEST_S = 30.0
RING_EXTRA_S = 15.0
SECOND_NS = 1_000_000_000


class EvidenceWriter(Protocol):
    """Writes evidence files; returns at once, the work may be done elsewhere."""

    def snapshot(self, name: str, frame: Sample) -> None:
        """Write one frame as a JPEG."""
        ...

    def explained(self, name: str, frame: Sample, box: Box) -> None:
        """Write one frame as a JPEG with a box drawn around what is unusual."""
        ...

    def clip(self, name: str, frames: list[Sample], sound: list[Sample], rate_hz: float) -> None:
        """Write frames, with sound if there is any, as MP4."""
        ...

    def sound(self, name: str, chunks: list[Sample], rate_hz: float) -> None:
        """Write audio chunks as WAV."""
        ...


@dataclass(slots=True)
class _Bundle:
    """Samples of one standing alarm."""

    to_ns: int
    video: str
    audio: str
    rate_hz: float
    explained: str = ""
    frames: list[Sample] = field(default_factory=list)
    chunks: list[Sample] = field(default_factory=list)

    def take(self, sample: Sample) -> None:
        if sample.timestamp_ns >= self.to_ns:
            return
        if sample.stream == self.video:
            self.frames.append(sample)
        elif sample.stream == self.audio:
            self.chunks.append(sample)


class EvidenceKeeper:
    """Rings per stream and a bundle per standing alarm; see the module.

    Args:
        before_s: Seconds before the start of an event that its clip shows.
        writer: Writes the files; None: only names are given (replay).
    """

    def __init__(self, before_s: float, writer: EvidenceWriter | None = None) -> None:
        self._before_ns = int(before_s * SECOND_NS)
        self._ring_ns = int((before_s + RING_EXTRA_S) * SECOND_NS)
        self._writer = writer
        self._rings: dict[str, deque[Sample]] = {}
        self._bundles: dict[str, _Bundle] = {}

    def keep(self, sample: Sample) -> None:
        """Remember a sample for a while; only pictures and sound are kept."""
        if sample.encoding not in (Encoding.JPEG, Encoding.RAW, Encoding.PCM):
            return
        ring = self._rings.setdefault(sample.stream, deque())
        ring.append(sample)
        while abs(sample.timestamp_ns - ring[0].timestamp_ns) > self._ring_ns:
            ring.popleft()
        for bundle in self._bundles.values():
            bundle.take(sample)

    def attach(self, event: Event, window: Window | None) -> Event:
        """The event with the names of its evidence; files are begun or finished.

        Args:
            event: The event.
            window: The window that made it; None when the scene has ended.
        """
        if event.id not in self._bundles:
            self._bundles[event.id] = self._begin(event, window)
        evidence = Evidence(
            snapshot=self._snapshot(event, window), explained=self._explained(event, window)
        )
        if event.phase is Phase.CLEARED:
            evidence = self._finish(event, evidence, self._bundles.pop(event.id))
        return msgspec.structs.replace(event, evidence=evidence)

    def _begin(self, event: Event, window: Window | None) -> _Bundle:
        slices = window.slices if window is not None else {}
        video = next((n for n, s in slices.items() if isinstance(s, VideoSlice)), "")
        audio = next((n for n, s in slices.items() if isinstance(s, AudioSlice)), "")
        sound = slices.get(audio)
        rate_hz = sound.info.rate_hz if sound is not None else None
        to_ns = event.start_ns + int(LONGEST_S * SECOND_NS)
        bundle = _Bundle(to_ns, video, audio, rate_hz or 0.0)
        from_ns = event.start_ns - self._before_ns
        for stream in (video, audio):
            for sample in self._rings.get(stream, ()):
                if sample.timestamp_ns >= from_ns:
                    bundle.take(sample)
        return bundle

    def _snapshot(self, event: Event, window: Window | None) -> str:
        name = f"{event.id}/snapshot.jpg"
        if event.phase is not Phase.RAISED or window is None:
            return name if self._bundles[event.id].video else ""
        frame = next(self._originals(window), None)
        if frame is None:
            return ""
        if self._writer is not None:
            self._writer.snapshot(name, frame)
        return name

    def _explained(self, event: Event, window: Window | None) -> str:
        """Name of the picture with a box; made when the event is raised, and kept for later."""
        bundle = self._bundles[event.id]
        boxes = event.explanation.boxes if event.explanation is not None else ()
        if event.phase is not Phase.RAISED or window is None or not boxes:
            return bundle.explained
        frame = next((f for f in self._originals(window) if f.stream == boxes[0].stream), None)
        if frame is not None:
            bundle.explained = f"{event.id}/explained.jpg"
            if self._writer is not None:
                self._writer.explained(bundle.explained, frame, boxes[0])
        return bundle.explained

    def _originals(self, window: Window) -> Iterator[Sample]:
        """Full-size frames of the window, the latest first."""
        for stream, part in window.slices.items():
            if not isinstance(part, VideoSlice):
                continue
            shown = {(f.epoch, f.sequence) for f in part.frames if f is not None}
            for sample in reversed(self._rings.get(stream, ())):
                if (sample.epoch, sample.sequence) in shown:
                    yield sample

    def _finish(self, event: Event, evidence: Evidence, bundle: _Bundle) -> Evidence:
        clip = f"{event.id}/clip.mp4" if bundle.frames else ""
        sound = f"{event.id}/sound.wav" if bundle.chunks else ""
        if self._writer is not None and clip:
            self._writer.clip(clip, bundle.frames, bundle.chunks, bundle.rate_hz)
        if self._writer is not None and sound:
            self._writer.sound(sound, bundle.chunks, bundle.rate_hz)
        return msgspec.structs.replace(evidence, clip=clip, sound=sound)
