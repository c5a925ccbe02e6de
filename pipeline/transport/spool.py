"""The disk spool of a capture node: a bounded ring of segments in a folder.

Records are appended to one segment at a time, see `pipeline.transport.spool_format`. Beyond
`max_bytes` or `max_age_ns` the oldest segment goes, whatever it holds.

What survives
    Every record is handed to the kernel as soon as it is written: a process that is killed
    loses none. A power cut loses what was written since the last fsync, at most `fsync_ns` as
    long as `flush` is called at least that often; what a disk says is written and is not,
    no software can keep. What a segment holds never keeps a spool from opening; that another
    version wrote the folder does, see `pipeline.transport.spool_version`.

What opening reads
    Of a segment that was closed its summary alone (`pipeline.transport.spool_summary`), a few
    hundred bytes; of any other, all of it, one segment at a time. So a spool of any size opens
    at once. Where a whole file is read, a last record that was cut short and anything that was
    changed on the disk is found by its CRC: the tail is cut off, damaged parts go to
    ``quarantine/``. The others are checked so when they are read back (`look_at_damage`). Both
    are counted.

One process at a time may have a folder open. Not thread-safe: its owner calls it from one
thread.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from pipeline.core.codec import size_of
from pipeline.core.ledger import DropReason
from pipeline.transport.spool_format import Piece
from pipeline.transport.spool_recall import Recalled
from pipeline.transport.spool_segment import (
    Content,
    Damage,
    Place,
    Segment,
    mend,
    put_aside,
    read_content,
    records_of,
    segment_name,
    segments_in,
)
from pipeline.transport.spool_summary import read_summary, summary_of, summary_parts
from pipeline.transport.spool_version import check_version, write_version

log = structlog.get_logger(__name__)

SEGMENT_BYTES = 8 << 20
_FEWEST = 4  # segments that the ring holds at least


class Spool:
    """See the module.

    Args:
        folder: Where the segments lie; made when absent.
        max_bytes: Most bytes of all segments.
        max_age_ns: Segments whose newest record is older go.
        fsync_ns: Longest time between a write and its fsync.
        segment_bytes: A segment is closed at this size; at most a quarter of `max_bytes`.

    Attributes:
        segments: All segments, oldest first.
        damage: What was found damaged so far.
        earlier: What the folder holds of earlier sessions, oldest first.

    Raises:
        OSError: The folder cannot be made, read or written.
        SpoolVersionError: Another version of fusewatch wrote it; nothing was changed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        max_age_ns: int,
        fsync_ns: int,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_age_ns = max_age_ns
        self._fsync_ns = fsync_ns
        self._segment_bytes = min(segment_bytes, max_bytes // _FEWEST)
        self._active: Segment | None = None
        self._file = -1
        self._dirty_ns: int | None = None
        folder.mkdir(parents=True, exist_ok=True)
        check_version(folder)
        write_version(folder)
        self.segments = segments_in(folder)
        self.damage: list[Damage] = []
        self.earlier: list[Recalled] = []
        self._number = max((segment.number for segment in self.segments), default=0)
        for segment in tuple(self.segments):
            self._recall(segment)
        for session in self.earlier:
            session.settle(records_of)

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self.segments)

    def segment_for(self, session: str, size: int) -> Segment:
        """The segment to which `size` more bytes of a session are to be written.

        Raises:
            OSError: A new one cannot be made.
        """
        active = self._active
        if active is not None and (
            active.session != session or (active.size and active.size + size > self._segment_bytes)
        ):
            self.seal()
        return self._active or self._begin(session)

    def write(self, parts: Sequence[Piece], now_ns: int) -> Place:
        """Append a record to the segment that `segment_for` gave.

        Raises:
            OSError: The disk is full or fails; nothing was written then.
        """
        active = self._active
        if active is None:
            raise ValueError("segment_for comes before write")
        size = sum(size_of(part) for part in parts)
        _append(self._file, parts, active.size)
        place = Place(active, active.size, size)
        active.size += size
        active.summary.written_ns = now_ns
        self._dirty_ns = now_ns if self._dirty_ns is None else self._dirty_ns
        return place

    def flush(self, now_ns: int) -> None:
        """Bring to the disk what has waited for `fsync_ns`.

        Raises:
            OSError: The disk fails.
        """
        if self._dirty_ns is not None and now_ns - self._dirty_ns >= self._fsync_ns:
            self._sync()

    def seal(self) -> None:
        """Close the segment that is written to; the next record begins another.

        Raises:
            OSError: The disk fails.
        """
        active, self._active = self._active, None
        if active is not None:
            try:
                active.size += _summarize(self._file, active)
                self._sync()
            finally:
                os.close(self._file)

    def seal_if_active(self, segment: Segment) -> None:
        """Close a segment if it is the one that is written to.

        Raises:
            OSError: The disk fails.
        """
        if segment is self._active:
            self.seal()

    def read(self, place: Place) -> bytes | None:
        """The bytes of a record; None when its segment is gone."""
        if place.segment.gone:
            return None
        with place.segment.path.open("rb") as file:
            return os.pread(file.fileno(), place.size, place.offset)

    def overdue(self, now_ns: int) -> tuple[Segment, DropReason] | None:
        """The oldest segment, and why, if it has to be removed to keep the limits."""
        if not self.segments:
            return None
        oldest = self.segments[0]
        if len(self.segments) > 1 and self.size > self._max_bytes:
            return oldest, DropReason.SPOOL_FULL
        too_old = oldest.size and now_ns - oldest.summary.written_ns > self._max_age_ns
        return (oldest, DropReason.SPOOL_AGE) if too_old else None

    def remove(self, segment: Segment) -> None:
        """Delete a segment.

        Raises:
            OSError: It cannot be deleted.
        """
        if segment is self._active:
            self._active = self._dirty_ns = None
            os.close(self._file)
        segment.path.unlink(missing_ok=True)
        segment.gone = True
        self.segments.remove(segment)

    def close(self) -> None:
        """Bring everything to the disk and let go of the folder."""
        self.seal()

    def look_at_damage(self, segment: Segment, data: bytes, content: Content) -> None:
        """Note what of a segment that is read back is damaged; the file stays as it is.

        Raises:
            OSError: The quarantine cannot be written.
        """
        if content.damage:
            self.damage += content.damage
            log.error("spool damaged", file=segment.path.name, bytes=_bytes(content.damage))
            put_aside(segment.path, data, content.damage)

    def _recall(self, segment: Segment) -> None:
        """Take in a segment that was here before."""
        summary = read_summary(segment.path)
        if summary is not None:
            segment.summary = summary
        elif not self._read_whole(segment):
            self.remove(segment)
            return
        if not self.earlier or self.earlier[-1].session != segment.session:
            self.earlier.append(Recalled(segment.session))
        self.earlier[-1].take(segment)

    def _read_whole(self, segment: Segment) -> bool:
        """Read a segment that has no summary, mend it if need be; whether it holds anything."""
        data = segment.path.read_bytes()
        content = read_content(segment.path, data)
        if content.damage:
            self.damage += content.damage
            log.error("spool damaged", file=segment.path.name, bytes=_bytes(content.damage))
        mended = not content.damage or _mended(segment.path, data, content)
        segment.summary = summary_of(content.records)
        segment.size = segment.path.stat().st_size
        if segment.size and mended:  # a summary behind damage would say that it was looked at
            file = os.open(segment.path, os.O_WRONLY | os.O_APPEND)
            try:
                segment.size += _summarize(file, segment)
            finally:
                os.close(file)
        return bool(content.records)

    def _begin(self, session: str) -> Segment:
        self._number += 1
        path = self._folder / segment_name(self._number, session)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._active = Segment(path, self._number, session)
        self.segments.append(self._active)
        return self._active

    def _sync(self) -> None:
        """Fsync the file and the folder that names it."""
        if self._dirty_ns is None:
            return
        self._dirty_ns = None
        os.fsync(self._file)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _mended(path: Path, data: bytes, content: Content) -> bool:
    """Mend a segment; False when the disk does not let it: it is read as it is."""
    try:
        mend(path, data, content)
    except OSError as error:
        log.error("damage not put aside", file=path.name, error=error.strerror)
        return False
    return True


def _summarize(file: int, segment: Segment) -> int:
    """End a segment with its summary; how many bytes. Without room for it there is none."""
    parts = summary_parts(segment.summary, segment.size)
    with suppress(OSError):  # such a file is read whole when the spool is opened
        _append(file, parts, segment.size)
        return sum(size_of(part) for part in parts)
    return 0


def _append(file: int, parts: Sequence[Piece], at: int) -> None:
    """Write everything behind the first `at` bytes, or nothing and raise."""
    try:
        written = os.writev(file, parts)
        if written < sum(size_of(part) for part in parts):
            rest = b"".join(parts)[written:]
            while rest:
                rest = rest[os.write(file, rest) :]
    except OSError:
        os.ftruncate(file, at)
        raise


def _bytes(damage: Sequence[Damage]) -> int:
    return sum(part.size for part in damage)
