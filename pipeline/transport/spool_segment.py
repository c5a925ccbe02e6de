"""A segment of the spool: a file of records of one session.

Reading one whole never fails for what it holds: whole records are taken, a torn tail and damaged
parts are told. `mend` leaves a file of whole records alone and puts damaged parts aside.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pipeline.core.errors import CodecError
from pipeline.core.stream_codec import decode_stream
from pipeline.transport.spool_format import Found, Kind, is_torn, read_acked, read_sample, scan
from pipeline.transport.spool_summary import Summary, decode_summary

QUARANTINE = "quarantine"
_NAME = re.compile(r"(?P<number>[0-9]{10})\.(?P<session>[A-Za-z0-9_-]{1,128})\.spool")
_READS: dict[Kind, Callable[[bytes | memoryview], object]] = {
    Kind.STREAM: decode_stream,
    Kind.SAMPLE: read_sample,
    Kind.COPY: read_sample,
    Kind.ACKED: read_acked,
    Kind.SUMMARY: decode_summary,
}


@dataclass(slots=True, eq=False)
class Segment:
    """A file of the spool.

    Attributes:
        path: The file.
        number: Its place among all segments.
        session: Session whose records it holds.
        size: Its bytes.
        summary: What it holds, in short.
        unread: Samples that are here alone and were not read back yet, by stream.
        skipped: Offsets of samples that were given up while they were written.
        gone: Whether the file was removed.
    """

    path: Path
    number: int
    session: str
    size: int = 0
    summary: Summary = field(default_factory=Summary)
    unread: Counter[str] = field(default_factory=Counter)
    skipped: set[int] = field(default_factory=set)
    gone: bool = False


class Place(NamedTuple):
    """Where a record lies."""

    segment: Segment
    offset: int
    size: int


class Damage(NamedTuple):
    """A part of a file that holds no whole record.

    Attributes:
        path: The file.
        offset: Where it begins.
        size: Its bytes.
        torn: Whether it is a last record that was not written to its end.
    """

    path: Path
    offset: int
    size: int
    torn: bool


class Content(NamedTuple):
    """What a segment's file holds."""

    records: list[Found]
    damage: list[Damage]


def segment_name(number: int, session: str) -> str:
    """File name of a segment."""
    return f"{number:010d}.{session}.spool"


def segments_in(folder: Path) -> list[Segment]:
    """Segments of a folder, oldest first, unread."""
    found = []
    for path in folder.glob("*.spool"):
        name = _NAME.fullmatch(path.name)
        if name is not None and path.is_file():
            size = path.stat().st_size
            found.append(Segment(path, int(name["number"]), name["session"], size))
    return sorted(found, key=lambda segment: segment.number)


def read_content(path: Path, data: bytes) -> Content:
    """Whole records and damaged parts of a segment."""
    records, damage, end = [], [], 0
    for found in scan(data):
        if not _is_sound(found):
            continue
        if found.offset > end:
            damage.append(Damage(path, end, found.offset - end, torn=False))
        records.append(found)
        end = found.offset + found.size
    if end < len(data):
        torn = is_torn(memoryview(data)[end:])
        damage.append(Damage(path, end, len(data) - end, torn))
    return Content(records, damage)


def records_of(segment: Segment) -> list[Found]:
    """Whole records of a segment.

    Raises:
        OSError: The file cannot be read.
    """
    return read_content(segment.path, segment.path.read_bytes()).records


def mend(path: Path, data: bytes, content: Content) -> None:
    """Leave whole records only: cut a torn tail off, put damaged parts into quarantine.

    A summary goes as well: it spoke of what is no longer there.

    Raises:
        OSError: The disk does not let it.
    """
    if put_aside(path, data, content.damage):
        whole = [found for found in content.records if found.record.kind is not Kind.SUMMARY]
        _rewrite(path, [data[found.offset : found.offset + found.size] for found in whole])
    elif content.damage:
        os.truncate(path, content.damage[0].offset)


def put_aside(path: Path, data: bytes, damage: Sequence[Damage]) -> int:
    """Copy damaged parts of a file into quarantine, torn tails aside; how many.

    Raises:
        OSError: The disk does not let it.
    """
    rotten = [part for part in damage if not part.torn]
    folder = path.parent / QUARANTINE
    for part in rotten:
        folder.mkdir(mode=0o700, exist_ok=True)
        number = sum(1 for _ in folder.glob(f"{path.stem}.*.bin"))
        piece = data[part.offset : part.offset + part.size]
        _write(folder / f"{path.stem}.{number}.bin", [piece])
    return len(rotten)


def _rewrite(path: Path, pieces: Sequence[bytes]) -> None:
    fresh = path.with_suffix(".new")
    _write(fresh, pieces)
    fresh.replace(path)


def _write(path: Path, pieces: Sequence[bytes]) -> None:
    """Write a file that its owner alone may read, as samples are."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())


def _is_sound(found: Found) -> bool:
    try:
        _READS[found.record.kind](found.record.body)
    except CodecError:
        return False
    return True
