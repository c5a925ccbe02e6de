"""The manifest of an event's evidence: every file with its size and SHA-256.

It is written when all files are whole. Its own digest is kept in the store, where whoever can
write files cannot reach it: what is altered afterwards shows, in a file or in the manifest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from pipeline.core.whole_file import replace_file

MANIFEST = "manifest.json"


class Standing(StrEnum):
    """How a file stands against what was written down of it."""

    GOOD = "good"
    ALTERED = "altered"
    MISSING = "missing"
    ADDED = "added"
    """It is no part of what was written down."""

    EXPIRED = "expired"
    """Retention has removed it."""

    OPEN = "not sealed"
    """Its manifest, or the digest of that, is not written yet, or was never."""


class ListedFile(msgspec.Struct, frozen=True):
    """A file as it was.

    Attributes:
        size: Bytes.
        sha256: Digest, in hexadecimal.
    """

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What there is of an event.

    Attributes:
        event: Its id.
        files: Its files, by name.
        left_out: Samples that are in none of them, by stream and reason.
    """

    event: str
    files: dict[str, ListedFile]
    left_out: dict[str, dict[str, int]] = {}


_MANIFEST_DECODER = msgspec.json.Decoder(Manifest)


@dataclass(frozen=True, slots=True)
class FileStanding:
    """How one file stands."""

    name: str
    standing: Standing


def seal(folder: Path, left_out: Mapping[str, Mapping[str, int]] | None = None) -> str:
    """Write the manifest of a folder.

    Args:
        folder: Evidence of one event; its name is the event's id.
        left_out: Samples that are in no file, by stream and reason.

    Returns:
        The digest of the manifest.

    Raises:
        OSError: It cannot be written.
    """
    files = {path.name: _listed(path) for path in evidence_of(folder) if path.name != MANIFEST}
    omitted = {stream: dict(counts) for stream, counts in (left_out or {}).items()}
    body = msgspec.json.encode(Manifest(folder.name, files, omitted), order="sorted")
    content = msgspec.json.format(body, indent=2) + b"\n"
    replace_file(folder / MANIFEST, content)
    return hashlib.sha256(content).hexdigest()


def digest_of(folder: Path) -> str:
    """The digest of a folder's manifest; empty when it has none."""
    path = folder / MANIFEST
    return _listed(path).sha256 if path.is_file() else ""


def check(folder: Path, digest: str) -> list[FileStanding]:
    """How each file of a folder stands.

    Args:
        folder: Evidence of one event.
        digest: Digest of its manifest as it was kept; empty: none was.
    """
    if not (folder / MANIFEST).is_file():
        return [FileStanding(MANIFEST, Standing.MISSING if digest else Standing.OPEN)]
    try:
        manifest = _MANIFEST_DECODER.decode((folder / MANIFEST).read_bytes())
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return [FileStanding(MANIFEST, Standing.ALTERED)]
    own = Standing.OPEN if not digest else _same(digest_of(folder) == digest)
    there = {path.name: path for path in evidence_of(folder)}
    found = [FileStanding(MANIFEST, own)]
    for name, listed in sorted(manifest.files.items()):
        path = there.pop(name, None)
        same = path is not None and _listed(path) == listed
        found.append(FileStanding(name, Standing.MISSING if path is None else _same(same)))
    added = sorted(name for name in there if name != MANIFEST)
    return [*found, *(FileStanding(name, Standing.ADDED) for name in added)]


def evidence_of(folder: Path) -> list[Path]:
    """The finished files of an event, by name; what is under way begins with a dot."""
    return sorted(p for p in folder.glob("*") if p.is_file() and not p.name.startswith("."))


def pieces(path: Path, size: int = 1 << 20) -> Iterator[bytes]:
    """A file's bytes, piece by piece."""
    with path.open("rb") as file:
        while piece := file.read(size):
            yield piece


def _same(same: bool) -> Standing:
    return Standing.GOOD if same else Standing.ALTERED


def _listed(path: Path) -> ListedFile:
    digest = hashlib.sha256()
    for piece in pieces(path):
        digest.update(piece)
    return ListedFile(os.path.getsize(path), digest.hexdigest())
