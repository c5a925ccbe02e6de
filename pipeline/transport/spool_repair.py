"""A spool folder looked at or mended by somebody else than its node; all of it is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.transport.spool_recall import Recalled
from pipeline.transport.spool_segment import Content, Damage, mend, read_content, segments_in
from pipeline.transport.spool_summary import summary_of


def read_folder(folder: Path) -> tuple[list[Recalled], list[Damage], int]:
    """What each session left, what is damaged, how many segments there are; changes nothing."""
    sessions: list[Recalled] = []
    damage: list[Damage] = []
    segments = segments_in(folder)
    for segment in segments:
        content = read_content(segment.path, segment.path.read_bytes())
        damage += content.damage
        if not sessions or sessions[-1].session != segment.session:
            sessions.append(Recalled(segment.session))
        segment.summary = summary_of(content.records)
        sessions[-1].take(segment)
    for session in sessions:
        session.settle(
            lambda segment: read_content(segment.path, segment.path.read_bytes()).records
        )
    return sessions, damage, len(segments)


def repair_folder(folder: Path) -> list[Damage]:
    """Mend every segment; what was damaged. No other process may use the folder."""
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
