"""What is looked at every few seconds: processes, metrics, folders; one JSON line each time.

A figure that could not be had, as of a process that is stopped or just being started, is
missing from the line and no error.
"""

from __future__ import annotations

import json
import os
import sqlite3
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from http.client import HTTPException
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from nodes.run_files import read_run_files

_PAGE_S = 1.5
_TICKS = os.sysconf("SC_CLK_TCK")
_COUNTS = {
    "fusewatch_captured": "captured",
    "fusewatch_delivered": "delivered",
    "fusewatch_dropped": "dropped",
    "fusewatch_spooled": "spooled",
}


@dataclass(frozen=True, slots=True)
class Process:
    """One process at one moment.

    Attributes:
        pid: Its id; another one is another life.
        resident_mb: Memory resident.
        own_mb: The anonymous part of it: without files and shared memory.
        cpu_s: Processor time since its start.
    """

    pid: int
    resident_mb: float
    own_mb: float
    cpu_s: float


@dataclass(slots=True)
class Books:
    """Account of one stream, see `pipeline.core.ledger`."""

    captured: int = 0
    delivered: int = 0
    spooled: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def unexplained(self) -> int:
        """Samples that the books lack."""
        return self.captured - self.delivered - self.spooled - sum(self.dropped.values())


@dataclass(slots=True)
class Look:
    """Everything at one moment.

    Attributes:
        at_s: Seconds from the start.
        processes: By name; ``supervisor`` and ``soak`` among them.
        ledger: Of the capture node, by stream; empty when it did not answer.
        ages: Of windows when they were scored, in sum: ``count``, ``sum_s``, and ``le`` counts
            by bucket; empty when the fusion node did not answer.
        waiting: What waits where: ``spool_mb``, ``events`` not confirmed by the alert node,
            ``outbox`` not taken by the web address.
    """

    at_s: float
    processes: dict[str, Process] = field(default_factory=dict)
    ledger: dict[str, Books] = field(default_factory=dict)
    ages: dict[str, float] = field(default_factory=dict)
    waiting: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Look:
        """The inverse."""
        told = json.loads(line)
        told["processes"] = {name: Process(**one) for name, one in told["processes"].items()}
        told["ledger"] = {name: Books(**one) for name, one in told["ledger"].items()}
        return cls(**told)


def look(data: Path, at_s: float, others: Mapping[str, int]) -> Look:
    """Look at a deployment that runs here.

    Args:
        data: Its data folder.
        at_s: Seconds from the start.
        others: Ids of further processes to look at, by name.
    """
    found = Look(at_s)
    running = read_run_files(data)
    for name, pid in [*((one.name, one.pid) for one in running), *others.items()]:
        with suppress(OSError, KeyError):  # it ended just now
            found.processes[name] = process(pid)
    for one in running:
        for name, labels, value in _metrics(one.http):
            _note(found, name, labels, value)
    found.waiting = waiting(data)
    return found


def process(pid: int) -> Process:
    """A process at this moment."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    resident_mb, own_mb = (int(status[k].split()[0]) / 1024 for k in ("VmRSS", "RssAnon"))
    cpu_s = (int(stat[11]) + int(stat[12])) / _TICKS
    return Process(pid, round(resident_mb, 2), round(own_mb, 2), cpu_s)


def waiting(data: Path) -> dict[str, float]:
    """What waits on disk."""
    size = sum(_size(file) for file in (data / "spool").rglob("*") if file.is_file())
    found = {"spool_mb": size / 2**20}
    for name, file, query in (
        ("events", "fusion.db", "SELECT count(*) FROM fusion_events WHERE NOT forwarded"),
        ("outbox", "alert.db", "SELECT count(*) FROM outbox_deliveries WHERE state = 'pending'"),
    ):
        with suppress(sqlite3.Error):
            found[name] = rows(data / file, query)[0][0]
    return found


def rows(database: Path, query: str) -> list[tuple[float, ...]]:
    """What a query of an SQLite file gives; the file is opened for reading only."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=2)) as opened:
        return opened.execute(query).fetchall()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # let go of since it was listed
        return 0


def _metrics(port: int | None) -> Iterator[tuple[str, Mapping[str, str], float]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=_PAGE_S) as page:
            text = page.read().decode()
    except (OSError, HTTPException):
        return
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def _note(found: Look, name: str, labels: Mapping[str, str], value: float) -> None:
    count = _COUNTS.get(name.removesuffix("_total"))
    if count == "dropped":
        books = found.ledger.setdefault(labels["stream"], Books())
        books.dropped[labels["reason"]] = int(value)
    elif count is not None:
        setattr(found.ledger.setdefault(labels["stream"], Books()), count, int(value))
    elif name.startswith("fusewatch_window_age_seconds_"):
        part = name.rpartition("_")[2]
        found.ages[f"le {labels['le']}" if part == "bucket" else part] = value
