"""What the event looked and sounded like: the samples around it, kept until they are written.

Each stream has a short ring of its latest samples as they arrived (full size, not the small
pictures the model works on). When an alarm is raised a *bundle* is begun: what the ring holds
from `before_s` on is kept for its clip, and so are further samples until the alarm clears or
`LONGEST_S` is reached. The snapshot, and the same camera's picture with a box around what is
unusual when there is one, are named on *raised*, the clip and the sound on *cleared*, when there
is something to show. Names are a pure function of the arrivals, whether files are written or
not, so that a replay publishes the same events.

What is remembered of a bundle is committed with the scene, and its samples are on disk by then,
so an event that outlives a crash has the same names and the whole clip. Only the ring is lost:
an alarm raised within `before_s` after a crash has a clip that begins with what was sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Protocol

import msgspec

from pipeline.core.errors import StoreError
from pipeline.core.event import Event, Evidence, Phase
from pipeline.core.explanation import Box
from pipeline.core.sample import Encoding, Sample
from pipeline.core.window import AudioSlice, VideoSlice, Window

CLIP, SOUND = "clip.mp4", "sound.wav"
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

    def keep(self, event_id: str, sample: Sample) -> None:
        """Keep a sample for the clip of an event; one that comes again is kept once."""
        ...

    def finish(self, event_id: str, evidence: Evidence, rate_hz: float) -> None:
        """Make the clip (MP4) and the sound (WAV) that `evidence` names from what was kept."""
        ...


class _Bundle(msgspec.Struct):
    """What is remembered of one standing alarm.

    Attributes:
        scene: Its scene.
        to_ns: Samples from here on are not kept.
        video: Stream of its clip; empty: none.
        audio: Stream of its sound; likewise.
        rate_hz: Of the sound.
        snapshot: Name of the picture.
        explained: Name of the picture with a box.
        frames: Whether there is a picture for the clip.
        chunks: Whether there is sound.
    """

    scene: str
    to_ns: int
    video: str
    audio: str
    rate_hz: float
    snapshot: str = ""
    explained: str = ""
    frames: bool = False
    chunks: bool = False

    def take(self, sample: Sample) -> bool:
        """Whether a sample belongs to the clip."""
        if sample.timestamp_ns >= self.to_ns or sample.stream not in (self.video, self.audio):
            return False
        self.frames |= sample.stream == self.video
        self.chunks |= sample.stream == self.audio
        return True


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
        for event_id, bundle in self._bundles.items():
            self._take(event_id, bundle, sample)

    def state(self, scene: str) -> bytes:
        """What is remembered of a scene's standing alarm, to be committed; empty: none stands."""
        own = {i: bundle for i, bundle in self._bundles.items() if bundle.scene == scene}
        return msgspec.json.encode(own) if own else b""

    def restore(self, scene: str, state: bytes) -> None:
        """Go on from `state`'s bytes.

        Raises:
            StoreError: They are not such a state.
        """
        try:
            self._bundles |= msgspec.json.decode(state or b"{}", type=dict[str, _Bundle])
        except msgspec.MsgspecError as error:
            what = f"what was kept of an event cannot be read: {error}"
            raise StoreError(what, where=scene) from error

    def attach(self, event: Event, window: Window | None) -> Event:
        """The event with the names of its evidence; files are begun or finished.

        Args:
            event: The event.
            window: The window that made it; None when the scene has ended.
        """
        if event.id not in self._bundles:
            self._bundles[event.id] = self._begin(event, window)
        bundle = self._bundles[event.id]
        if event.phase is Phase.RAISED and window is not None:
            self._show(event, window, bundle)
        evidence = Evidence(snapshot=bundle.snapshot, explained=bundle.explained)
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
        bundle = _Bundle(event.scene, to_ns, video, audio, rate_hz or 0.0)
        from_ns = event.start_ns - self._before_ns
        for stream in (video, audio):
            for sample in self._rings.get(stream, ()):
                if sample.timestamp_ns >= from_ns:
                    self._take(event.id, bundle, sample)
        return bundle

    def _take(self, event_id: str, bundle: _Bundle, sample: Sample) -> None:
        if bundle.take(sample) and self._writer is not None:
            self._writer.keep(event_id, sample)

    def _show(self, event: Event, window: Window, bundle: _Bundle) -> None:
        """Make the pictures of an event that is raised."""
        frame = next(self._originals(window), None)
        if frame is not None:
            bundle.snapshot = f"{event.id}/snapshot.jpg"
            if self._writer is not None:
                self._writer.snapshot(bundle.snapshot, frame)
        boxes = event.explanation.boxes if event.explanation is not None else ()
        shown = (f for f in self._originals(window) if boxes and f.stream == boxes[0].stream)
        frame = next(shown, None)
        if frame is not None:
            bundle.explained = f"{event.id}/explained.jpg"
            if self._writer is not None:
                self._writer.explained(bundle.explained, frame, boxes[0])

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
        clip = f"{event.id}/{CLIP}" if bundle.frames else ""
        sound = f"{event.id}/{SOUND}" if bundle.chunks else ""
        evidence = msgspec.structs.replace(evidence, clip=clip, sound=sound)
        if self._writer is not None and (clip or sound):
            self._writer.finish(event.id, evidence, bundle.rate_hz)
        return evidence
