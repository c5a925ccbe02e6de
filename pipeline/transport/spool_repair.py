"""A spool folder looked at or mended by somebody else than its node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.transport.spool_recall import Recalled
from pipeline.transport.spool_segment import (
    Content,
    Damage,
    Segment,
    mend,
    read_content,
    records_of,
    segments_in,
)
from pipeline.transport.spool_summary import read_summary, summary_of
from pipeline.transport.spool_version import check_version


def read_folder(
    folder: Path, *, all_of_it: bool = True
) -> tuple[list[Recalled], list[Damage], int]:
    """What each session left, what is damaged, how many segments there are; changes nothing.

    Args:
        folder: The folder.
        all_of_it: Read all and so find all damage; else segments that were closed are believed.

    Raises:
        SpoolVersionError: Another version of fusewatch wrote it.
    """
    check_version(folder)
    sessions: list[Recalled] = []
    damage: list[Damage] = []
    segments = segments_in(folder)
    for segment in segments:
        damage += _look_at(segment, all_of_it=all_of_it)
        if not sessions or sessions[-1].session != segment.session:
            sessions.append(Recalled(segment.session))
        sessions[-1].take(segment)
    for session in sessions:
        session.settle(records_of)
    return sessions, damage, len(segments)


def _look_at(segment: Segment, *, all_of_it: bool) -> list[Damage]:
    summary = None if all_of_it else read_summary(segment.path)
    if summary is not None:
        segment.summary = summary
        return []
    content = read_content(segment.path, segment.path.read_bytes())
    segment.summary = summary_of(content.records)
    return content.damage


def repair_folder(folder: Path) -> list[Damage]:
    """Mend every segment; what was damaged. No other process may use the folder.

    Raises:
        SpoolVersionError: Another version of fusewatch wrote it; nothing was changed.
    """
    check_version(folder)
    damage = []
    for path, data, content in _damaged(folder):
        mend(path, data, content)
        damage += content.damage
    return damage


def _damaged(folder: Path) -> Iterator[tuple[Path, bytes, Content]]:
    for segment in segments_in(folder):
        data = segment.path.read_bytes()
        content = read_content(segment.path, data)
        if content.damage:
            yield segment.path, data, content
