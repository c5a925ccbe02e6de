"""A folder of recordings: a new file when one is full or long, old ones removed (`retention`).

Rules. Files are named by the UTC time of their first arrival, so names sort by time. Every
file explains itself: it begins with the streams that are open and the hops that are wide, marked
as repeated. Only files of this folder's naming are ever removed, never the one being written. The
total has room for three files at least: the open one counts at its full size, so that with fewer
the beginning of a file would take all earlier ones with it. A disk that refuses to write stops
nothing but the recording: what is lost is counted in `lost`, and a new file is tried every few
seconds of arrivals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from pipeline.core.arrival import Arrival, HopSet, StreamEnded, StreamOpened
from pipeline.core.errors import RecordingError
from pipeline.core.event import Event
from pipeline.recording.retention import Removal, Retention
from pipeline.recording.writer import RecordingWriter

log = structlog.get_logger(__name__)

_STAMP = r"(?P<begun>\d{8}T\d{6}\.\d{6})Z(-\d+)?\.mcap$"
_LEAST_FILES = 3
_RETRY_NS = 5_000_000_000
_SWEEP_NS = 60_000_000_000


def begun_ns(path: Path) -> int:
    """UTC of the first arrival in a file of a `RecordingFolder`, by its name; 0 of any other."""
    found = re.search(_STAMP, path.name)
    if found is None:
        return 0
    begun = datetime.strptime(found["begun"], "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC)
    return round(begun.timestamp() * 1e6) * 1000


class RecordingFolder:
    """Records without end into files of bounded size; used by one thread.

    Args:
        folder: Where the files go; made when missing.
        name: Begin of the file names, the deployment's name as a rule.
        max_file_mb: Begin a new file at this size, MiB, or at a third of the total ...
        max_file_s: ... and when this long a time lies in one, seconds; None: however long.
        max_total_gb: Remove the oldest files beyond this total, GiB.
        max_age_days: Remove files last written longer ago; None: none.
        scenes: Streams of each scene, kept with every file.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        max_file_mb: float = 1024.0,
        max_file_s: float | None = None,
        max_total_gb: float = 20.0,
        max_age_days: float | None = None,
        scenes: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.folder = folder
        self.lost = 0
        self._name = name
        max_total = round(max_total_gb * (1 << 30))
        self._max_file = min(round(max_file_mb * (1 << 20)), max_total // _LEAST_FILES)
        self._max_span_ns = None if max_file_s is None else round(max_file_s * 1e9)
        self._retention = Retention(max_total, max_age_days)
        self._scenes = dict(scenes or {})
        self._writer: RecordingWriter | None = None
        self._open: dict[tuple[str, str], StreamOpened] = {}
        self._hops: dict[str, HopSet] = {}
        self._retry_ns: int | None = None
        self._repeated = 0
        self._begun_ns = 0
        self._swept_ns = 0

    @property
    def current(self) -> Path | None:
        """The file being written."""
        return self._writer.path if self._writer else None

    @property
    def removed(self) -> Mapping[Removal, int]:
        """Files removed since the start, by reason."""
        return self._retention.removed

    def files(self) -> tuple[Path, ...]:
        """Files of this folder's naming, oldest first."""
        pattern = re.compile(re.escape(self._name) + "-" + _STAMP)
        found = (p for p in self.folder.glob("*.mcap") if pattern.match(p.name))
        return tuple(sorted(found))

    def write(self, arrival: Arrival) -> None:
        """Append what arrived; never raises for the disk's sake, see `lost`."""
        self._remember(arrival)
        without = arrival if isinstance(arrival, StreamOpened | HopSet) else None
        self._put(arrival.arrival_ns, lambda writer: writer.write(arrival), without)

    def event(self, event: Event, arrival_ns: int) -> None:
        """Append an event beside the samples that caused it."""
        self._put(arrival_ns, lambda writer: writer.event(event, arrival_ns))

    def clock_offset(self, node: str, offset_ns: int, uncertainty_ns: int, arrival_ns: int) -> None:
        """Append a node's clock offset."""
        self._put(
            arrival_ns,
            lambda writer: writer.clock_offset(node, offset_ns, uncertainty_ns, arrival_ns),
        )

    def flush_due(self, now_ns: int) -> None:
        """Write what waits for a second, end and remove what got too old; for quiet times too."""
        if now_ns - self._swept_ns >= _SWEEP_NS:
            self._sweep(now_ns)
        if self._writer is not None and self._long(now_ns):
            self._finish(sync=False)
        if self._writer is not None:
            try:
                self._writer.flush_due(now_ns)
            except RecordingError as error:
                self._failed(error, now_ns)

    def flush(self, now_ns: int) -> None:
        """Write what waits, so that a kill of this process costs none of it."""
        if self._writer is not None:
            try:
                self._writer.flush()
            except RecordingError as error:
                self._failed(error, now_ns)

    def close(self) -> None:
        """Finish the file being written; may be called twice."""
        self._finish(sync=True)

    def _put(
        self,
        now_ns: int,
        put: Callable[[RecordingWriter], None],
        without: Arrival | None = None,
    ) -> None:
        writer = self._ready(now_ns, without)
        if writer is None:
            self.lost += 1
            return
        accepted = writer.accepted
        try:
            put(writer)
        except RecordingError as error:
            self.lost += writer.accepted == accepted
            self._failed(error, now_ns)

    def _remember(self, arrival: Arrival) -> None:
        if isinstance(arrival, StreamOpened):
            self._open[arrival.node, arrival.info.name] = arrival
        elif isinstance(arrival, StreamEnded):
            self._open.pop((arrival.node, arrival.stream), None)
        elif isinstance(arrival, HopSet):
            self._hops[arrival.scene] = arrival

    def _ready(self, now_ns: int, without: Arrival | None = None) -> RecordingWriter | None:
        """The writer to use, a new one when there is none or the old one is full."""
        if self._writer is not None and not self._full(self._writer, now_ns):
            return self._writer
        if self._retry_ns is not None and now_ns < self._retry_ns:
            return None
        self._finish(sync=False)
        try:
            self._writer = self._begin(now_ns, without)
        except RecordingError as error:
            self._failed(error, now_ns)
        else:
            self._retry_ns = None
        return self._writer

    def _full(self, writer: RecordingWriter, now_ns: int) -> bool:
        return self._long(now_ns) or writer.size_bytes >= self._max_file

    def _long(self, now_ns: int) -> bool:
        return self._max_span_ns is not None and now_ns - self._begun_ns >= self._max_span_ns

    def _finish(self, *, sync: bool) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.close(sync=sync)
        except RecordingError as error:
            log.warning("recording not finished", reason=str(error))
            writer.abandon()
        self._count_lost(writer)

    def _begin(self, now_ns: int, without: Arrival | None) -> RecordingWriter:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep(now_ns)
        except OSError as error:
            raise RecordingError(
                f"cannot use the folder: {error.strerror}", where=str(self.folder)
            ) from error
        path = self._free_name(now_ns)
        try:
            writer = RecordingWriter(path, deployment=self._name, scenes=self._scenes)
        except RecordingError:
            path.unlink(missing_ok=True)
            raise
        self._begun_ns = now_ns
        wide = [said for said in self._hops.values() if said.times > 1]
        repeats: list[StreamOpened | HopSet] = [*self._open.values(), *wide]
        repeats = [said for said in repeats if said is not without]
        self._repeated = len(repeats)
        for said in repeats:
            writer.repeat(replace(said, arrival_ns=now_ns))
        log.info("recording", path=str(writer.path))
        return writer

    def _free_name(self, now_ns: int) -> Path:
        micros = now_ns // 1000
        start = datetime.fromtimestamp(micros // 1_000_000, UTC)
        stamp = f"{start:%Y%m%dT%H%M%S}.{micros % 1_000_000:06d}Z"
        path = self.folder / f"{self._name}-{stamp}.mcap"
        number = 2
        while path.exists():
            path = self.folder / f"{self._name}-{stamp}-{number}.mcap"
            number += 1
        return path

    def _sweep(self, now_ns: int) -> None:
        """Remove what is to be kept no longer, with room for the open file at its full size."""
        self._swept_ns = now_ns
        closed = [path for path in self.files() if path != self.current]
        self._retention.sweep(closed, now_ns, room=self._max_file)

    def _failed(self, error: RecordingError, now_ns: int) -> None:
        """Say so; when it was the disk, give the file up and let a later arrival try anew."""
        writer = self._writer
        if writer is None or writer.broken:
            self._retry_ns = now_ns + _RETRY_NS
            self._writer = None
        if writer is not None and writer.broken:
            writer.abandon()
            self._count_lost(writer)
        log.warning("cannot record", reason=str(error), lost=self.lost, every_s=60)

    def _count_lost(self, writer: RecordingWriter) -> None:
        """Count what the disk refused, but not announcements that were mere repeats."""
        self.lost += writer.lost
        if not writer.written:
            self.lost -= min(self._repeated, writer.lost)
            writer.path.unlink(missing_ok=True)
