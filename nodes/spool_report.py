"""What a spool folder holds, for people and scripts."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.transport.spool_recall import StoredStream
from pipeline.transport.spool_repair import read_folder
from pipeline.transport.spool_segment import Damage

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class StreamLine:
    """What waits of one stream.

    Attributes:
        stream: Its name.
        samples: Samples that were not acked.
        size: Their bytes on the disk.
        oldest: Stamp of the oldest, UTC; empty when there is none.
    """

    stream: str
    samples: int
    size: int
    oldest: str


@dataclass(frozen=True, slots=True)
class SpoolReport:
    """One node's spool.

    Attributes:
        node: The node.
        segments: Files.
        streams: What waits, by name.
        damage: Parts that are not whole.
    """

    node: str
    segments: int
    streams: list[StreamLine]
    damage: list[Damage]

    def as_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        damage = [{**part._asdict(), "path": str(part.path)} for part in self.damage]
        return {**asdict(self), "damage": damage}


def look_at(node: str, folder: Path, *, all_of_it: bool = False) -> SpoolReport:
    """Look at a spool folder; an absent one is empty.

    Args:
        node: Whose it is.
        folder: The folder.
        all_of_it: Read all of it, to find all damage; else what is read when it is opened.
    """
    sessions, damage, segments = read_folder(folder, all_of_it=all_of_it)
    streams: dict[str, StoredStream] = {}
    for session in sessions:
        for name, stored in session.streams.items():
            total = streams.setdefault(name, StoredStream())
            total.samples += stored.samples
            total.size += stored.size
            stamps = [s for s in (total.oldest_ns, stored.oldest_ns) if s is not None]
            total.oldest_ns = min(stamps, default=None)
    lines = [
        StreamLine(name, stored.samples, stored.size, _utc(stored.oldest_ns))
        for name, stored in sorted(streams.items())
        if stored.samples
    ]
    return SpoolReport(node, segments, lines, damage)


def _utc(stamp_ns: int | None) -> str:
    if stamp_ns is None:
        return ""
    whole = datetime.datetime.fromtimestamp(stamp_ns // _SECOND_NS, datetime.UTC)
    return whole.strftime("%Y-%m-%d %H:%M:%S")
