"""Following a text file as it grows, through rotation and truncation, by whole lines.

What cannot be given as a line is refused, with the reason: a line that is too long, and one that
was not finished when the file was replaced.
"""

from __future__ import annotations

import os
import threading
from codecs import BOM_UTF8
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pipeline.core.errors import SourceUnavailable

POLL_S = 0.1
LONGEST_LINE = 1 << 20
BLOCK = 1 << 16
LINES_A_CALL = 256
BLOCKS_A_CALL = 64


class FileTail:
    """Whole lines of a file. A file that was replaced or cut is read from its start.

    Args:
        path: The file.
        from_start: Begin with what is there already; else with what is appended.
        refuse: Told of each line that cannot be given, in words.

    Raises:
        SourceUnavailable: The file cannot be opened.
    """

    def __init__(self, path: Path, *, from_start: bool, refuse: Callable[[str], None]) -> None:
        self._path = path
        self._refuse = refuse
        self._never = threading.Event()
        self._partial = b""
        self._too_long = False  # what is read belongs to a line that was refused
        self._lines: list[str] = []
        self._file = self._open()
        if not from_start:
            self.skip_to_end()

    def first_line(self) -> str | None:
        """The next line that is there already, or None."""
        lines = self.take(1)
        return lines[0] if lines else None

    def take(self, count: int) -> list[str]:
        """At most `count` lines that are there already; at the end also an unfinished one."""
        while len(self._lines) < count and self._fill():
            pass
        if len(self._lines) < count and self._partial:
            self._lines.append(_text(self._partial))
            self._partial = b""
        taken, self._lines = self._lines[:count], self._lines[count:]
        return taken

    def lines(self, timeout_s: float) -> list[str]:
        """Finished lines that came, waiting for the first up to `timeout_s`.

        At most `LINES_A_CALL`, and none after `BLOCKS_A_CALL` blocks that end no line: a large
        file is given in many calls, none of which takes so long that its reader seems to hang.
        """
        waited_s = 0.0
        while True:
            more = self._read_some()
            if self._lines or more or waited_s >= timeout_s:
                taken, self._lines = self._lines[:LINES_A_CALL], self._lines[LINES_A_CALL:]
                return taken
            self._follow_rotation()
            self._never.wait(min(POLL_S, timeout_s))
            waited_s += POLL_S

    def skip_to_end(self) -> None:
        """Forget what is there and wait for what comes."""
        self._file.seek(0, os.SEEK_END)
        self._partial, self._too_long, self._lines = b"", False, []

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> BinaryIO:
        try:
            return self._path.open("rb")
        except OSError as error:
            raise SourceUnavailable(
                f"cannot read: {error.strerror}", where=str(self._path), fix="check path and rights"
            ) from error

    def _read_some(self) -> bool:
        """Read what one call may give; whether there may be more."""
        for _ in range(BLOCKS_A_CALL):
            if len(self._lines) >= LINES_A_CALL:
                break
            if not self._fill():
                return False
        return True

    def _fill(self) -> bool:
        begins = self._file.tell() == 0
        block = self._file.read(BLOCK)
        if not block:
            return False
        if begins:
            block = block.removeprefix(BOM_UTF8)
        if self._too_long:
            _, end, block = block.partition(b"\n")
            self._too_long = not end
        *whole, self._partial = (self._partial + block).split(b"\n")
        self._lines.extend(_text(line) for line in whole)
        if len(self._partial) > LONGEST_LINE:
            self._partial, self._too_long = b"", True
            self._refuse(f"a line is longer than {LONGEST_LINE} bytes")
        return True

    def _follow_rotation(self) -> None:
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return
        mine = os.fstat(self._file.fileno())
        if now.st_ino == mine.st_ino and now.st_size >= self._file.tell():
            return
        while self._fill():  # written to the old file after it was last read
            pass
        if self._partial:
            self._refuse(f"the file was replaced within a line: {_text(self._partial)[:80]!r}")
        self._file.close()
        self._file = self._open()
        self._partial, self._too_long = b"", False


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode("utf-8", errors="replace")
