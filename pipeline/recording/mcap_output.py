"""Bytes to disk: creating the file, writing pieces unjoined, encoding rare records."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mcap.data_stream import RecordBuilder
from mcap.records import Footer, McapRecord

from pipeline.core.errors import RecordingError
from pipeline.recording.chunk import Buffer
from pipeline.recording.mcap_format import HEAD, crc32

_MAX_PIECES = 512  # below IOV_MAX of every system


def create(path: Path, overwrite: bool) -> int:
    """Create a file for writing and give its descriptor; until that is closed, it `is_written`.

    Raises:
        RecordingError: It exists already, or cannot be created.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if overwrite else os.O_EXCL)
    try:
        file = os.open(path, flags, 0o644)
    except FileExistsError as error:
        raise RecordingError(
            "the file exists already", where=str(path), fix="name another one or remove it"
        ) from error
    except OSError as error:
        raise RecordingError(
            f"cannot create: {error.strerror}",
            where=str(path),
            fix="check that its folder is there and that this user may write to it",
        ) from error
    with suppress(OSError):  # a file system without locks: then its own process alone knows
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return file


def is_written(path: Path) -> bool:
    """Whether a process has a file open that it made with `create`.

    It holds a lock (`flock`) on the file, of which the kernel lets go when the process ends.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(file)
    return False


def write_all(file: int, pieces: Sequence[Buffer]) -> int:
    """Write all pieces, one after the other, without joining them; the bytes written.

    Raises:
        OSError: The disk refuses them.
    """
    left = [memoryview(piece) for piece in pieces if len(piece)]
    total = 0
    while left:
        written = os.writev(file, left[:_MAX_PIECES])
        total += written
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = left[0][written:]
    return total


def encode(record: McapRecord) -> bytes:
    """A whole record."""
    builder = RecordBuilder()
    record.write(builder)
    data: bytes = builder.end()  # type: ignore[no-untyped-call]
    return data


def signed_footer(summary: bytes, start: int, offset_start: int) -> bytes:
    """The footer with its CRC, which covers the summary and the footer up to the CRC."""
    unsigned = Footer(summary_start=start, summary_offset_start=offset_start, summary_crc=0)
    covered = summary + encode(unsigned)[: HEAD.size + 16]
    return encode(
        Footer(summary_start=start, summary_offset_start=offset_start, summary_crc=crc32(covered))
    )
