"""What writer and reader of a recording must agree on beyond the messages themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.recording import schemas

TOPIC = "/fusewatch/"
"""Topics of everything that is not a sample begin with this."""

ORIGIN = "origin_ns"
"""Note of the time that second 0 stands for, where that is not the first sample's stamp."""
ABOUT = "fusewatch"
"""Metadata record at the start: deployment and scenes."""

VERSION = 1
"""Of this layout, raised when an older fusewatch could no longer read what is written."""

VERSION_KEY = "version"
"""Key of the version in `ABOUT`; a recording without it is of version 1."""

TOTALS = "fusewatch.totals"
"""Metadata record at the end: `StreamTotal` of each stream."""

ACCOUNTS = "fusewatch.ledger"
"""Metadata record at the end: the loss ledger of each stream as its node told it last."""

CONTROL: dict[str, schemas.Schema] = {
    "streams": schemas.STREAM_INFO,
    "ended": schemas.STREAM_ENDED,
    "ledger": schemas.LEDGER,
    "clock": schemas.CLOCK_OFFSET,
    "events": schemas.EVENT,
}

HOPS = "hops"
"""Topic of changes of the hop; only where there was one."""

WAITS = "waits"
"""Topic of samples that waited, as the fusion node was behind; only where some did."""

SCORES = "scores"
"""Topic of the scores; only the recording of an event has it."""


def version_of(metadata: Mapping[str, Mapping[str, str]]) -> str:
    """The version that a recording's metadata records tell."""
    return metadata.get(ABOUT, {}).get(VERSION_KEY, "1")


@dataclass(slots=True)
class StreamTotal:
    """What a recording holds of one stream.

    Attributes:
        node: Node the stream came from.
        samples: How many.
        start_ns: Earliest stamp.
        end_ns: Latest stamp.
        nbytes: Size of the payloads.
    """

    node: str
    samples: int
    start_ns: int
    end_ns: int
    nbytes: int

    def add(self, time_ns: int, nbytes: int) -> None:
        """Count one more sample."""
        self.samples += 1
        self.nbytes += nbytes
        if time_ns > self.end_ns:
            self.end_ns = time_ns
        elif time_ns < self.start_ns:
            self.start_ns = time_ns
