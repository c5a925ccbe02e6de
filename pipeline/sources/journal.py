"""The systemd journal as lines of text, by ``journalctl --output=export``.

The export format is documented by systemd ("Journal Export Formats"): an entry is a block of
``FIELD=value`` lines ended by an empty line; a field with binary data is its name alone on a
line, then the length as 64-bit little endian, the data, and a newline.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from collections.abc import Iterator, Sequence

from pipeline.core.errors import SourceUnavailable
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.sources.base import SourceContext

BLOCK = 1 << 16
LARGEST_ENTRY = 1 << 20


class ExportParser:
    """Entries out of the bytes of a journal export, fed in any portions."""

    def __init__(self) -> None:
        self._bytes = b""
        self._entry: dict[str, bytes] = {}

    def feed(self, data: bytes) -> Iterator[dict[str, bytes]]:
        """Entries that are whole with `data`."""
        self._bytes += data
        while (field := self._take()) is not None:
            name, value = field
            if name:
                self._entry[name] = value
            elif self._entry:
                entry, self._entry = self._entry, {}
                yield entry

    def _take(self) -> tuple[str, bytes] | None:
        end = self._bytes.find(b"\n")
        if end < 0:
            return None
        line = self._bytes[:end]
        name, equals, value = line.partition(b"=")
        if equals or not line:
            self._bytes = self._bytes[end + 1 :]
            return name.decode("ascii", "replace"), value
        if len(self._bytes) < end + 9:
            return None
        size = int.from_bytes(self._bytes[end + 1 : end + 9], "little")
        stop = end + 9 + size
        if len(self._bytes) < stop + 1:
            return None
        value = self._bytes[end + 9 : stop]
        self._bytes = self._bytes[stop + 1 :]
        return line.decode("ascii", "replace"), value

    @property
    def waiting(self) -> int:
        """Bytes of an unfinished field."""
        return len(self._bytes)


class Journal:
    """Follows the journal from now on.

    Args:
        stream: Name of the stream.
        matches: Matches for journalctl.
        context: Clock and account.
        command: Program to run; replaced in tests.
    """

    def __init__(
        self,
        stream: str,
        matches: Sequence[str],
        context: SourceContext,
        command: Sequence[str] = ("journalctl", "--follow", "--lines=0", "--output=export"),
    ) -> None:
        self._stream = stream
        self._command = [*command, *matches]
        self._context = context
        self._process: subprocess.Popen[bytes] | None = None
        self._parser = ExportParser()

    def open(self) -> tuple[StreamInfo, ...]:
        """Start following."""
        self.close()
        if shutil.which(self._command[0]) is None:
            raise SourceUnavailable(
                f"the program {self._command[0]!r} is not installed",
                fix="follow a log file with `path` instead",
            )
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        self._parser = ExportParser()
        return (StreamInfo(self._stream, Modality.TEXT, stamp="device"),)

    def read(self, timeout_s: float) -> Sequence[Sample]:
        """Lines that came."""
        if self._process is None or self._process.stdout is None:
            raise SourceUnavailable("not open", where="journal")
        out = self._process.stdout.fileno()
        if not select.select([out], [], [], timeout_s)[0]:
            return []
        data = os.read(out, BLOCK)
        if not data:
            raise SourceUnavailable(
                f"journalctl ended with status {self._process.wait()}", where="journal"
            )
        samples = [s for e in self._parser.feed(data) if (s := self._sample(e)) is not None]
        if self._parser.waiting > LARGEST_ENTRY:
            self._context.reject(self._stream, DropReason.TOO_LARGE, "journal field over 1 MiB")
            self._parser = ExportParser()
        return samples

    def close(self) -> None:
        """Stop following."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def _sample(self, entry: dict[str, bytes]) -> Sample | None:
        text = entry.get("MESSAGE", b"").decode("utf-8", "replace").replace("\n", " ")
        try:
            time_ns = int(entry["__REALTIME_TIMESTAMP"]) * 1000
        except (KeyError, ValueError):
            self._context.reject(self._stream, DropReason.CORRUPT, "entry without a time")
            return None
        who = entry.get("SYSLOG_IDENTIFIER", b"").decode("utf-8", "replace")
        return Sample(self._stream, 0, time_ns, f"{who}: {text}" if who else text, Encoding.UTF8)
