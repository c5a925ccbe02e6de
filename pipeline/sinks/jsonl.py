"""Events as lines of JSON in a file.

Each line is `pipeline.core.event.to_json` of one phase. A line that a crash cut short is
taken out when the file is opened (its event was never acknowledged and comes again), and a
phase whose key stands near the end of the file is not written twice. A file that was moved
away, by log rotation say, is begun anew.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Literal

import msgspec

from pipeline.core.errors import SinkUnavailable
from pipeline.core.event import Event, from_json, to_json
from pipeline.sinks.base import SinkContext, SinkSettings

TAIL_BYTES = 4 << 20
"""How much of the file's end is read for keys when it is opened."""

REMEMBERED = 8192
"""Keys kept to not write a phase twice."""


class JsonlSettings(SinkSettings):
    """Append events to a file, one JSON object a line."""

    type: Literal["jsonl"] = "jsonl"
    """Kind of sink."""

    path: Path = Path("events.jsonl")
    """The file; its folder is made when absent."""

    fsync: bool = True
    """Have each line on the disk before it counts as delivered."""

    def build(self, context: SinkContext) -> JsonlSink:
        """Make the sink."""
        return JsonlSink(self)


class JsonlSink:
    """Appends events to a file.

    Args:
        settings: Which file.
    """

    def __init__(self, settings: JsonlSettings) -> None:
        self._settings = settings
        self._file: int | None = None
        self._keys: OrderedDict[str, None] = OrderedDict()

    def open(self) -> None:
        """Open or make the file and mend its end.

        Raises:
            SinkUnavailable: The file cannot be written.
        """
        try:
            self._settings.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._settings.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._mend(self._file)
        except OSError as error:
            raise self._unavailable(error) from error

    def deliver(self, event: Event) -> None:
        """Append the event unless its key is there already."""
        if event.key in self._keys:
            return
        try:
            file = self._current()
            self._append(file, to_json(event) + b"\n")
        except OSError as error:
            raise self._unavailable(error) from error
        self._remember(event.key)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _current(self) -> int:
        """The open file, opened anew if what has its name now is another one."""
        if self._file is not None and not _same(self._file, self._settings.path):
            self.close()
        if self._file is None:
            self.open()
        if self._file is None:
            raise OSError("the file was closed")
        return self._file

    def _append(self, file: int, line: bytes) -> None:
        before = os.fstat(file).st_size
        try:
            written = os.write(file, line)
            if written < len(line):
                raise OSError(f"only {written} of {len(line)} bytes were written")
            if self._settings.fsync:
                os.fsync(file)
        except OSError:
            os.ftruncate(file, before)
            raise

    def _mend(self, file: int) -> None:
        """Learn the keys near the end; complete or take out a last line without its end."""
        size = os.fstat(file).st_size
        begin = max(0, size - TAIL_BYTES)
        tail = os.pread(file, size - begin, begin)
        *whole, last = tail.split(b"\n")
        if last and _key(last) is None:
            os.ftruncate(file, size - len(last))
        elif last:
            os.write(file, b"\n")
            whole.append(last)
        for line in whole[-REMEMBERED:]:
            if (key := _key(line)) is not None:
                self._remember(key)

    def _remember(self, key: str) -> None:
        self._keys[key] = None
        if len(self._keys) > REMEMBERED:
            self._keys.popitem(last=False)

    def _unavailable(self, error: OSError) -> SinkUnavailable:
        return SinkUnavailable(
            f"cannot write: {error.strerror or error}",
            where=str(self._settings.path),
            fix="check that its disk has space and that this user may write there",
        )


def _key(line: bytes) -> str | None:
    try:
        return from_json(line).key
    except msgspec.DecodeError:
        return None


def _same(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


PLUGIN = JsonlSettings
