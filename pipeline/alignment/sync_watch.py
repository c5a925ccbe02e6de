"""Watches whether the streams of a scene drift apart, over a sliding window of their activity.

The instrument is that of ``fusewatch sync test`` (`activity`, `sync_offset`). What is kept is a
number per picture, a hundred numbers a second of sound and about as many rows of a sensor at
most: some megabytes for a window of two minutes, and no more however long it runs. Twice in a
window the streams are compared with a reference, for some tenths of a second of computing a
stream. No clock and no socket: time is that of the arrivals, so a replay looks at the same
moments and finds the same.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from pipeline.alignment.activity import Activity, ActivityMeter
from pipeline.alignment.sync_offset import SyncOffset, find_offset, reference_of
from pipeline.alignment.sync_watch_settings import SyncWatchSettings
from pipeline.core.errors import AlignmentError
from pipeline.core.sample import Modality, Sample, StreamInfo

SECOND_NS = 1_000_000_000
STEP_NS = 5_000_000


@dataclass(frozen=True, slots=True)
class SyncLook:
    """What one look at a scene found.

    Attributes:
        time_ns: When.
        reference: Stream that the others are compared with; empty when there are no two.
        offsets: Offset of each other stream that can be compared.
        unusable: Streams that cannot, and why.
    """

    time_ns: int
    reference: str = ""
    offsets: tuple[SyncOffset, ...] = ()
    unusable: dict[str, str] = field(default_factory=dict)


class SyncWatch:
    """Watches the streams of one scene.

    Args:
        settings: See the settings.
        streams: Streams of the scene.

    Attributes:
        last: The last look; None before the first.
        certain: Per stream when it was last certain, and of what.
    """

    def __init__(self, settings: SyncWatchSettings, streams: Collection[str]) -> None:
        self._window_ns = round(settings.window_s * SECOND_NS)
        self._span_ns = round(settings.span_s * SECOND_NS)
        self._streams = frozenset(streams)
        self._infos: dict[str, StreamInfo] = {}
        self._meters: dict[str, ActivityMeter] = {}
        self._due_ns: int | None = None
        self.last: SyncLook | None = None
        self.certain: dict[str, tuple[int, SyncOffset]] = {}

    def open(self, info: StreamInfo) -> None:
        """A stream was announced, or announced anew: what it showed before is forgotten."""
        if info.name in self._streams and info.modality is not Modality.TEXT:
            self._infos[info.name] = info
            self._meters[info.name] = ActivityMeter(info, self._window_ns)

    def take(self, sample: Sample) -> None:
        """Take in one sample of any stream; those of other scenes are not looked at."""
        meter = self._meters.get(sample.stream)
        if meter is not None:
            meter.take(sample)

    def look(self, now_ns: int) -> SyncLook | None:
        """Compare the streams when it is time to; None when it is not."""
        if self._due_ns is None:
            self._due_ns = now_ns + self._window_ns
        if now_ns < self._due_ns:
            return None
        self._due_ns = now_ns + self._window_ns // 2
        self.last = self._compare(now_ns)
        self.certain |= {o.second: (now_ns, o) for o in self.last.offsets if o.certain}
        return self.last

    def _compare(self, now_ns: int) -> SyncLook:
        unusable: dict[str, str] = {}
        found: dict[str, Activity] = {}
        for name, meter in self._meters.items():
            try:
                found[name] = self._recent(meter.activity(), now_ns)
            except AlignmentError as error:
                unusable[name] = error.message
        if len(found) < 2:
            return SyncLook(now_ns, unusable=unusable)
        reference = reference_of(found, self._infos)
        offsets: list[SyncOffset] = []
        for name in found.keys() - {reference}:
            try:
                offsets.append(find_offset(found[reference], found[name], self._span_ns, STEP_NS))
            except AlignmentError as error:
                unusable[name] = error.message
        offsets.sort(key=lambda one: one.second)
        return SyncLook(now_ns, reference, tuple(offsets), unusable)

    def _recent(self, activity: Activity, now_ns: int) -> Activity:
        """What lies in the window; a stream that fell silent must not be compared for ever."""
        recent = activity.between(now_ns - 2 * self._window_ns, now_ns + self._window_ns)
        if not len(recent.amount):
            raise AlignmentError("silent", where=activity.name)
        return recent
