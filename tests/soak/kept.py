"""What a soak leaves in its folder, and how it is read again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.core.arrival import LedgerReport
from pipeline.recording.reader import Recording
from tests.soak.faults import Fault
from tests.soak.sampling import Books, Look, rows
from tests.soak.witness import Recorded, read_recorded

PLAN, LOOKS, END = "plan.json", "looks.jsonl", "end.json"
_STORED = "SELECT id, revision, phase FROM fusion_events ORDER BY position"


@dataclass(slots=True)
class Kept:
    """What is left of a soak.

    Attributes:
        seconds: Planned length.
        faults: The plan.
        looks: In order of time.
        last: The last account that the capture node gave of its streams, as it was recorded.
        recorded: What the recordings hold that are left.
        stored: ``(id, revision, phase)`` of every event of the fusion node's store.
        taken: Key and body of what the web address took, in order.
        exit_code: Of the supervisor; -1 when it was never asked to end.
    """

    seconds: float
    faults: list[Fault]
    looks: list[Look]
    last: dict[str, Books]
    recorded: dict[str, Recorded]
    stored: list[tuple[str, int, str]]
    taken: list[tuple[str, str]]
    exit_code: int


def write_plan(folder: Path, seconds: float, faults: Sequence[Fault]) -> None:
    """Keep what is planned."""
    told = {"seconds": seconds, "faults": [asdict(fault) for fault in faults]}
    (folder / PLAN).write_text(json.dumps(told))


def write_end(folder: Path, exit_code: int, taken: Sequence[tuple[str, str]]) -> None:
    """Keep how it ended, and what the web address took."""
    (folder / END).write_text(json.dumps({"exit_code": exit_code, "taken": taken}))


def read(folder: Path) -> Kept:
    """Read all of it, of a soak that is over or still runs."""
    told = json.loads((folder / PLAN).read_text())
    end: dict[str, Any] = {"exit_code": -1, "taken": []}
    if (folder / END).exists():
        end = json.loads((folder / END).read_text())
    lines = (folder / LOOKS).read_text().splitlines()
    stored = rows(folder / "data" / "fusion.db", _STORED)
    return Kept(
        told["seconds"],
        [Fault(**fault) for fault in told["faults"]],
        [Look.from_json(line) for line in lines if line.endswith("}")],
        _last_account(folder / "recordings"),
        read_recorded(folder / "recordings"),
        [(str(event), int(revision), str(phase)) for event, revision, phase in stored],
        [(key, body) for key, body in end["taken"]],
        end["exit_code"],
    )


def _last_account(recordings: Path) -> dict[str, Books]:
    """What the newest recording that has one says last of the capture node's streams."""
    for path in sorted(recordings.glob("*.mcap"), reverse=True):
        with Recording(path) as recording:
            reports = [a for a in recording.arrivals() if isinstance(a, LedgerReport)]
        told = [report.accounts for report in reports if report.accounts]
        if told:
            return {
                name: Books(a.captured, a.delivered, a.spooled, dict(a.dropped))
                for name, a in told[-1].items()
            }
    return {}
