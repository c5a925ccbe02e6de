"""What the event looked, sounded and measured like: the samples around it, until they are written.

Each stream has a ring of its latest samples, each scene one of its latest scores
(`evidence_rings`). When an alarm is raised a *bundle* is begun: what the rings hold from `before_s`
before its start on, and of the window that raised it at least, is kept, and so is all further of
the scene until the alarm clears, for `LONGEST_S` or a window's length at most. The snapshot, the
same camera's picture with a box around what is unusual, and the pictures of sound and channels,
when there is something to mark in them, are named on *raised*; on *cleared* the clip and the sound,
when there is something to show, and the recording of everything. Names are a pure function of the
arrivals, whether files are written or not, so that a replay publishes the same events.

What is remembered of a bundle is committed with the scene, and its samples are on disk by then,
so an event that outlives a crash has the same names and the whole clip. Only the rings are lost:
an alarm raised soon after a crash has a clip that begins with what was sent again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.errors import StoreError
from pipeline.core.event import Event, Evidence, Phase
from pipeline.core.explanation import Box
from pipeline.core.sample import Encoding, Sample
from pipeline.core.window import AudioSlice, VideoSlice, Window
from pipeline.detection.evidence_material import Kept
from pipeline.detection.evidence_rings import EvidenceRings
from pipeline.detection.evidence_writer import (
    CHANNELS,
    CLIP,
    RECORDING,
    SOUND,
    SPECTROGRAM,
    EvidenceWriter,
    Wanted,
)
from pipeline.detection.score import WindowScore
from pipeline.detection.telling_frame import telling
from pipeline.detection.transition import anomaly_score
from pipeline.recording.scores import RecordedScore

LONGEST_S = 30.0
SECOND_NS = 1_000_000_000
_SHOWN = (Encoding.JPEG, Encoding.RAW, Encoding.PCM)


class _Bundle(msgspec.Struct):
    """What is remembered of one standing alarm.

    Attributes:
        scene: Its scene.
        to_ns: Samples from here on are not kept.
        video: Stream of its clip; empty: none.
        audio: Stream of its sound; likewise.
        rate_hz: Of the sound.
        streams: Streams of the scene.
        snapshot: Name of the picture.
        explained: Name of the picture with a box.
        shown: Streams of which there are pictures or sound.
        drawn: Pictures of sound and channels that were drawn already.
        from_ns: Samples before are not kept; 0 in states of before it was remembered.
    """

    scene: str
    to_ns: int
    video: str
    audio: str
    rate_hz: float
    streams: tuple[str, ...] = ()
    snapshot: str = ""
    explained: str = ""
    shown: set[str] = set()
    drawn: set[str] = set()
    from_ns: int = 0

    def take(self, kept: Kept) -> bool:
        """Whether something belongs to the event."""
        match kept:
            case SampleArrived(sample=sample):
                within = self.from_ns <= sample.timestamp_ns < self.to_ns
                if not within or sample.stream not in self.streams:
                    return False
                if sample.encoding in _SHOWN:
                    self.shown.add(sample.stream)
                return True
            case StreamOpened(info=info):
                return info.name in self.streams
            case RecordedScore(scene=scene, start_ns=start_ns):
                return scene == self.scene and start_ns < self.to_ns
        return False


_BUNDLE_DECODER = msgspec.json.Decoder(dict[str, _Bundle])


class EvidenceKeeper:
    """Rings per stream and a bundle per standing alarm; see the module.

    Args:
        before_s: Seconds before the start of an event that its clip shows.
        writer: Writes the files; None: only names are given (replay).
        streams: Streams of each scene, by scene name; None: those of its windows.
        waits_s: Longest from the start of an event to its raising, by scene name, seconds; where
            none is given, nothing waits.
        limit_mb: Most that is kept of one event, MiB.
    """

    def __init__(
        self,
        before_s: float,
        writer: EvidenceWriter | None = None,
        streams: Mapping[str, Sequence[str]] | None = None,
        waits_s: Mapping[str, float] | None = None,
        limit_mb: float = 256.0,
    ) -> None:
        self._before_ns = int(before_s * SECOND_NS)
        self._writer = writer
        self._streams = streams or {}
        self._opened: dict[str, StreamOpened] = {}
        self._rings = EvidenceRings(before_s, self._streams, waits_s or {}, limit_mb)
        self._bundles: dict[str, _Bundle] = {}

    def open(self, opened: StreamOpened) -> None:
        """Remember what a stream is."""
        self._opened[opened.info.name] = opened
        self._offer(opened)

    def keep(self, arrived: SampleArrived) -> None:
        """Remember a sample for a while."""
        self._rings.keep(arrived)
        self._offer(arrived)

    def scored(self, score: WindowScore, threshold: float) -> None:
        """Remember what a window scored, and what it takes to be anomalous, for a while."""
        told = _recorded(score, threshold)
        self._rings.scored(told)
        self._offer(told)

    def state(self, scene: str) -> bytes:
        """What is remembered of a scene's standing alarm, to be committed; empty: none stands."""
        own = {i: bundle for i, bundle in self._bundles.items() if bundle.scene == scene}
        return msgspec.json.encode(own, order="deterministic") if own else b""

    def restore(self, scene: str, state: bytes) -> None:
        """Go on from `state`'s bytes.

        Raises:
            StoreError: They are not such a state.
        """
        try:
            self._bundles |= _BUNDLE_DECODER.decode(state or b"{}")
        except msgspec.MsgspecError as error:
            what = f"what was kept of an event cannot be read: {error}"
            raise StoreError(what, where=scene) from error

    def attach(self, event: Event, window: Window | None, peak_ns: int = 0) -> Event:
        """The event with the names of its evidence; files are begun or finished.

        Args:
            event: The event.
            window: The window that made it; None when the scene has ended.
            peak_ns: Start of the window that its explanation tells of.
        """
        if event.id not in self._bundles:
            self._bundles[event.id] = self._begin(event, window)
        bundle = self._bundles[event.id]
        if event.phase is Phase.RAISED and window is not None:
            self._show(event, window, bundle)
        event = msgspec.structs.replace(event, evidence=_named(event, bundle))
        if event.phase is Phase.CLEARED:
            del self._bundles[event.id]
        if self._writer is not None:
            self._write(self._writer, event, bundle, peak_ns)
        return event

    def _write(self, writer: EvidenceWriter, event: Event, bundle: _Bundle, peak_ns: int) -> None:
        writer.keep(event.id, event)
        if event.phase is Phase.CLEARED:
            streams, shown = bundle.streams, (bundle.video, bundle.audio)
            writer.finish(Wanted(event, peak_ns, streams, *shown, bundle.rate_hz))
            return
        drawn = {n for n in (event.evidence.spectrogram, event.evidence.channels) if n}
        if not drawn <= bundle.drawn:
            writer.draw(event, peak_ns, tuple(self._before(event, bundle)))
        bundle.drawn |= drawn

    def _begin(self, event: Event, window: Window | None) -> _Bundle:
        slices = window.slices if window is not None else {}
        video = next((n for n, s in slices.items() if isinstance(s, VideoSlice)), "")
        audio = next((n for n, s in slices.items() if isinstance(s, AudioSlice)), "")
        sound = slices.get(audio)
        rate_hz = (sound.info.rate_hz if sound is not None else None) or 0.0
        streams = tuple(self._streams.get(event.scene, slices))
        from_ns, to_ns = self._span_of(event, window)
        bundle = _Bundle(event.scene, to_ns, video, audio, rate_hz, streams, from_ns=from_ns)
        for kept in self._before(event, bundle):
            self._take(event.id, bundle, kept)
        return bundle

    def _span_of(self, event: Event, window: Window | None) -> tuple[int, int]:
        """From when to when something belongs to an event that is raised in a window."""
        from_ns, longest_ns = event.start_ns - self._before_ns, int(LONGEST_S * SECOND_NS)
        if window is None:
            return from_ns, event.end_ns + longest_ns
        length_ns = window.end_ns - window.start_ns
        return min(from_ns, window.start_ns), window.end_ns + max(longest_ns, length_ns)

    def _before(self, event: Event, bundle: _Bundle) -> Iterator[Kept]:
        """What the rings hold for an event that begins, in order of arrival."""
        samples = self._rings.since(bundle.from_ns, bundle.streams)
        first_ns = samples[0].arrival_ns if samples else event.start_ns
        for stream in bundle.streams:
            if (opened := self._opened.get(stream)) is not None:
                yield StreamOpened(first_ns, opened.node, opened.info)
        yield from samples
        yield from self._rings.scores_since(bundle.from_ns, bundle.scene)

    def _offer(self, kept: Kept) -> None:
        for event_id, bundle in self._bundles.items():
            self._take(event_id, bundle, kept)

    def _take(self, event_id: str, bundle: _Bundle, kept: Kept) -> None:
        if bundle.take(kept) and self._writer is not None:
            self._writer.keep(event_id, kept)

    def _show(self, event: Event, window: Window, bundle: _Bundle) -> None:
        """Make the pictures of an event that is raised."""
        frame = next(self._originals(window), None)
        if frame is not None:
            bundle.snapshot = f"{event.id}/snapshot.jpg"
            if self._writer is not None:
                self._writer.snapshot(bundle.snapshot, frame)
        boxes = event.explanation.boxes if event.explanation is not None else ()
        frame = self._telling(window, boxes[0]) if boxes else None
        if frame is not None:
            bundle.explained = f"{event.id}/explained.jpg"
            if self._writer is not None:
                self._writer.explained(bundle.explained, frame, boxes[0])

    def _telling(self, window: Window, box: Box) -> Sample | None:
        """The full-size frame that shows best what the box is around."""
        originals = [frame for frame in self._originals(window) if frame.stream == box.stream]
        if self._writer is None or len(originals) < 2:  # names are all that is asked for
            return next(iter(originals), None)
        part = window.slices[box.stream]
        small = [f for f in part.frames if f is not None] if isinstance(part, VideoSlice) else []
        best = telling(small, box)
        return next(
            (f for f in originals if best and (f.epoch, f.sequence) == (best.epoch, best.sequence)),
            originals[0],
        )

    def _originals(self, window: Window) -> Iterator[Sample]:
        """Full-size frames of the window, the latest first."""
        for stream, part in window.slices.items():
            if not isinstance(part, VideoSlice):
                continue
            shown = {(f.epoch, f.sequence) for f in part.frames if f is not None}
            for arrived in reversed(self._rings.of(stream)):
                if (arrived.sample.epoch, arrived.sample.sequence) in shown:
                    yield arrived.sample


def _named(event: Event, bundle: _Bundle) -> Evidence:
    """Names of what there is to show of an event."""
    why, over = event.explanation, event.phase is Phase.CLEARED
    bands = why.bands if why is not None else ()
    heard = any(band.stream in bundle.shown for band in bands)
    measured = why is not None and bool(why.channels)
    return Evidence(
        snapshot=bundle.snapshot,
        explained=bundle.explained,
        clip=f"{event.id}/{CLIP}" if over and bundle.video in bundle.shown else "",
        sound=f"{event.id}/{SOUND}" if over and bundle.audio in bundle.shown else "",
        spectrogram=f"{event.id}/{SPECTROGRAM}" if heard else "",
        channels=f"{event.id}/{CHANNELS}" if measured else "",
        recording=f"{event.id}/{RECORDING}" if over else "",
    )


def _recorded(score: WindowScore, threshold: float) -> RecordedScore:
    """A score as it is kept."""
    why = score.explanation
    return RecordedScore(
        scene=score.scene,
        index=score.index,
        start_ns=score.start_ns,
        end_ns=score.end_ns,
        score=anomaly_score(score.p),
        threshold=threshold,
        p=score.p,
        parts={name: anomaly_score(p) for name, p in score.detectors.items()},
        contributions=dict(why.contributions) if why is not None else {},
        notes=dict(score.notes),
        missing=score.missing,
        degraded=dict(score.degraded),
    )
