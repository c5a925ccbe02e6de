"""Evidence in full quality of streams that are sent small: what to fetch back, and what for.

Stands before `EvidenceFiles` as an `EvidenceWriter` and passes everything on, so that small
pictures are on disk as ever, and all that is promised of evidence holds for them. Beside that it
notes which spans of which streams an event shows (`wanted`), and takes what comes of them: a full
picture replaces the files made of the small one of the same moment, and is kept for the clip.

An event is asked for as soon as it is raised, every `EVERY_NS` while it stands, so that nothing
falls out of the node's ring meanwhile, and once more when it is over. Its clip then waits until all
is there, or for `wait_ns`; after that the small pictures serve, and what comes later is thrown
away.

Full pictures better what there is and are no condition of anything: nothing of this is remembered
over a crash but what lies on disk by then. No clock in here: it is told the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog

from pipeline.core.arrival import SampleArrived
from pipeline.core.event import Event
from pipeline.core.explanation import Box
from pipeline.core.sample import Sample
from pipeline.detection.evidence_files import LIMIT_MB, MATERIAL, NOTE, EvidenceFiles
from pipeline.detection.evidence_material import Kept, Material
from pipeline.detection.evidence_writer import Wanted
from pipeline.detection.full_frames import FULL

log = structlog.get_logger(__name__)

EVERY_NS = 5_000_000_000


@dataclass(frozen=True, slots=True)
class WantedSpan:
    """Full pictures to ask for: of a stream, for an event, with stamps in ``[from_ns, to_ns)``."""

    event: str
    stream: str
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class _Picture:
    """A file made of one frame: a snapshot, or one with a box."""

    name: str
    box: Box | None


@dataclass(slots=True)
class _Span:
    """What an event shows of one stream.

    Attributes:
        from_ns: Stamp of its first frame.
        to_ns: Just behind the last one.
        asked_ns: Up to here it was asked for; None: nothing was.
    """

    from_ns: int
    to_ns: int
    asked_ns: int | None = None

    def include(self, stamp_ns: int) -> None:
        """A frame more; one before what was asked for already comes too late."""
        self.from_ns = min(self.from_ns, stamp_ns)
        self.to_ns = max(self.to_ns, stamp_ns + 1)

    def rest(self) -> tuple[int, int] | None:
        """What was not asked for."""
        from_ns = self.from_ns if self.asked_ns is None else self.asked_ns
        return (from_ns, self.to_ns) if from_ns < self.to_ns else None


@dataclass(slots=True)
class _Wish:
    """What is wished for of one event.

    Attributes:
        spans: What it shows, by stream.
        pictures: Files made of single frames, by stream and stamp.
        open: Requests that are not over.
        clip: Stream of its clip; empty: not known, as the event was raised in an earlier life.
        asked_ns: When it was last asked for; None: never.
        finished: Whether its clip waits to be made.
        until_ns: When that waits no longer.
        why: Why something may be missing.
    """

    spans: dict[str, _Span] = field(default_factory=dict)
    pictures: dict[tuple[str, int], list[_Picture]] = field(default_factory=dict)
    open: int = 0
    clip: str = ""
    asked_ns: int | None = None
    finished: bool = False
    until_ns: int | None = None
    why: str = ""

    def include(self, frame: Sample) -> None:
        """The event shows a frame."""
        stamp_ns = frame.timestamp_ns
        self.spans.setdefault(frame.stream, _Span(stamp_ns, stamp_ns + 1)).include(stamp_ns)

    def is_due(self, now_ns: int) -> bool:
        """Whether it is time to ask for what there is more of it."""
        return self.finished or self.asked_ns is None or now_ns - self.asked_ns >= EVERY_NS

    def rests(self) -> list[tuple[str, int, int]]:
        """What was not asked for: stream, from, to."""
        rests = ((stream, span.rest()) for stream, span in self.spans.items())
        return [(stream, *rest) for stream, rest in rests if rest is not None]

    def show_only(self, stream: str) -> None:
        """The clip is of this stream, and of no other that was kept."""
        self.clip = stream
        self.spans = {name: span for name, span in self.spans.items() if name == stream}


class FullEvidence:
    """See the module.

    Args:
        files: Writes the evidence.
        folder: Where.
        streams: Streams of which full pictures are kept elsewhere.
        wait_ns: How long a clip waits for them.
        limit_mb: Most of them that is kept for one clip, MiB.

    Attributes:
        counters: Pictures ``used`` and ``too_late``; clips made without a word of what is missing
            (``whole``), and the others (``small``).
    """

    def __init__(
        self,
        files: EvidenceFiles,
        folder: Path,
        streams: Collection[str],
        wait_ns: int,
        limit_mb: float = LIMIT_MB,
    ) -> None:
        self._files = files
        self._folder = folder
        self._streams = frozenset(streams)
        self._wait_ns = wait_ns
        self._limit = round(limit_mb * 2**20)
        self._wishes: dict[str, _Wish] = {}
        self._materials: dict[str, Material] = {}  # of the thread of `EvidenceFiles.quick`
        self.counters: Counter[str] = Counter()

    def snapshot(self, name: str, frame: Sample) -> None:
        """See `EvidenceWriter`; it is of the camera that the clip is of."""
        self._files.snapshot(name, frame)
        wish = self._wishes.get(_event_of(name))
        if wish is not None:
            wish.show_only(frame.stream)
        self._show(_Picture(name, None), frame)

    def explained(self, name: str, frame: Sample, box: Box) -> None:
        """See `EvidenceWriter`."""
        self._files.explained(name, frame, box)
        self._show(_Picture(name, box), frame)

    def keep(self, event_id: str, kept: Kept) -> None:
        """See `EvidenceWriter`."""
        self._files.keep(event_id, kept)
        if isinstance(kept, SampleArrived) and kept.sample.stream in self._streams:
            wish = self._wish(event_id)
            if wish.clip in ("", kept.sample.stream):
                wish.include(kept.sample)

    def draw(self, event: Event, peak_ns: int, shown: Sequence[Kept]) -> None:
        """See `EvidenceWriter`."""
        self._files.draw(event, peak_ns, shown)

    def finish(self, wanted: Wanted) -> None:
        """See `EvidenceWriter`; what full pictures are wanted for waits."""
        wish = self._wishes.get(wanted.event.id)
        self._files.finish(wanted, hold=wish is not None)
        if wish is not None:
            wish.finished = True

    def wanted(self, now_ns: int) -> list[WantedSpan]:
        """What is to be asked for now; of each, `over` is to be said once."""
        found = []
        for event_id, wish in self._wishes.items():
            rests = wish.rests() if wish.is_due(now_ns) else ()
            for stream, from_ns, to_ns in rests:
                found.append(WantedSpan(event_id, stream, from_ns, to_ns))
                wish.spans[stream].asked_ns = to_ns
                wish.open += 1
                wish.asked_ns = now_ns
        return found

    def take(self, event_id: str, full: Sample) -> None:
        """A full picture came for an event."""
        wish = self._wishes.get(event_id)
        if wish is None:
            self.counters["too_late"] += 1
            return
        self.counters["used"] += 1
        for picture in wish.pictures.get((full.stream, full.timestamp_ns), ()):
            if picture.box is None:
                self._files.snapshot(picture.name, full)
            else:
                self._files.explained(picture.name, full, picture.box)
        self._files.quick(event_id, partial(self._add, event_id, full))

    def over(self, event_id: str, why: str) -> None:
        """No more comes of something that was asked for; `why` says why not all did."""
        wish = self._wishes.get(event_id)
        if wish is not None:
            wish.open -= 1
            wish.why = wish.why or why

    def look(self, now_ns: int) -> None:
        """Let clips be made that have waited for all there is, or for long enough."""
        for event_id, wish in tuple(self._wishes.items()):
            if not wish.finished:
                continue
            if wish.until_ns is None:
                wish.until_ns = now_ns + self._wait_ns
            late = now_ns >= wish.until_ns
            if late or not (wish.open or wish.rests()):
                self._make(event_id, wish, "they did not come in time" if wish.open else "")

    def close(self) -> None:
        """Wait no longer; what waited is being made when this returns."""
        for event_id, wish in tuple(self._wishes.items()):
            if wish.finished:
                cut_off = wish.open or wish.rests()
                self._make(event_id, wish, "the fusion node stopped" if cut_off else "")
        self._files.quick("", self._close_all).result()

    def _show(self, picture: _Picture, frame: Sample) -> None:
        if frame.stream in self._streams:
            wish = self._wish(_event_of(picture.name))
            wish.include(frame)
            wish.pictures.setdefault((frame.stream, frame.timestamp_ns), []).append(picture)

    def _wish(self, event_id: str) -> _Wish:
        if event_id not in self._wishes:
            self._wishes[event_id] = _Wish()
            self._files.quick(event_id, partial(self._open, event_id))
        return self._wishes[event_id]

    def _make(self, event_id: str, wish: _Wish, late: str) -> None:
        del self._wishes[event_id]
        why = wish.why or late
        self.counters["small" if why else "whole"] += 1
        if why:
            log.warning("full pictures of an event are missing", event_id=event_id, reason=why)
        self._files.quick(event_id, partial(self._close, event_id))
        self._files.make(event_id, why)

    def _open(self, event_id: str) -> None:
        """Begin to keep full pictures, unless an earlier run saw the event's end."""
        folder = self._folder / event_id
        if (folder / MATERIAL).exists() and not (folder / NOTE).exists():
            self._materials[event_id] = Material(folder / FULL, self._limit)

    def _add(self, event_id: str, full: Sample) -> None:
        if event_id in self._materials:
            self._materials[event_id].add(SampleArrived(full.timestamp_ns, "", full))

    def _close(self, event_id: str) -> None:
        material = self._materials.pop(event_id, None)
        if material is not None:
            material.close()

    def _close_all(self) -> None:
        for event_id in tuple(self._materials):
            self._close(event_id)


def _event_of(name: str) -> str:
    """The event that a file is of."""
    return name.partition("/")[0]
