"""Everything of an event to take away as one file, and whether it is still as it was.

A ZIP is made while it is read: none of it is held in memory or written to disk here.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pipeline.core.event import Event, Phase
from pipeline.store import FusionStore
from pipeline.store.evidence_manifest import (
    MANIFEST,
    FileStanding,
    Standing,
    check,
    evidence_of,
    pieces,
)

PHASES = "event.json"
_LARGE = 2**31
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # ZIP knows no time before


@dataclass(frozen=True, slots=True)
class Verified:
    """How the evidence of one event stands.

    Attributes:
        event: Its id.
        scene: Its scene.
        files: Its files.
    """

    event: str
    scene: str
    files: Sequence[FileStanding]

    @property
    def bad(self) -> bool:
        """Whether something is not as it was."""
        wrong = (Standing.ALTERED, Standing.MISSING, Standing.ADDED)
        return any(one.standing in wrong for one in self.files)


def verify(
    store: FusionStore, evidence: Path, events: Sequence[Event], expired_ns: int | None
) -> list[Verified]:
    """Hold the evidence of events against what was written down of it.

    Args:
        store: The fusion node's store, which has the digests.
        evidence: Where events have a folder each.
        events: Each event's last phase; those with no evidence are passed over.
        expired_ns: Of events that ended before, retention has removed what there was; None: it
            removes nothing.
    """
    seals = store.seals()
    found = []
    for event in events:
        digest = seals.get(event.id, "")
        if not digest and event.evidence == type(event.evidence)():
            continue
        files = _files(event, evidence / event.id, digest, expired_ns)
        found.append(Verified(event.id, event.scene, files))
    return found


def _files(event: Event, folder: Path, digest: str, expired_ns: int | None) -> list[FileStanding]:
    if not folder.exists() and expired_ns is not None and event.end_ns < expired_ns:
        return [FileStanding(MANIFEST, Standing.EXPIRED)]
    under_way = event.phase is not Phase.CLEARED or any(folder.glob(".*"))
    if not digest and under_way:
        return [FileStanding(MANIFEST, Standing.OPEN)]
    files = check(folder, digest)
    named: dict[str, str] = {} if digest else msgspec.to_builtins(event.evidence)
    lost = sorted(Path(name).name for name in named.values() if name)
    gone = (name for name in lost if not (folder / name).exists())
    return [*files, *(FileStanding(name, Standing.MISSING) for name in gone)]


def zip_of(folder: Path, phases: Sequence[Event]) -> Iterator[bytes]:
    """A ZIP of an event's evidence and its phases, piece by piece.

    Args:
        folder: The event's folder; it may be gone.
        phases: All phases of the event, in order.
    """
    out = _Pipe()
    with zipfile.ZipFile(out, "w") as archive:
        told = msgspec.json.format(msgspec.json.encode(phases, order="sorted"), indent=2)
        archive.writestr(zipfile.ZipInfo(PHASES, _EARLIEST), told)
        for path in evidence_of(folder):
            large = path.stat().st_size >= _LARGE
            entry = zipfile.ZipInfo.from_file(path, path.name, strict_timestamps=False)
            with archive.open(entry, "w", force_zip64=large) as inside:
                for piece in pieces(path):
                    inside.write(piece)
                    yield out.taken()
    yield out.taken()


class _Pipe(io.RawIOBase):
    """What is written and not yet taken; it cannot be gone back in."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        """It is there to be written to."""
        return True

    def write(self, data: object) -> int:
        """Take more bytes."""
        piece = memoryview(data)  # type: ignore[arg-type]
        self._waiting += piece
        return piece.nbytes

    def taken(self) -> bytes:
        """What was written since the last time."""
        data, self._waiting = bytes(self._waiting), bytearray()
        return data
