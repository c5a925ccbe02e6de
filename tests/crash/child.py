"""Real SIGKILLs: a process forked for each point dies there, and what it left is gone on with.

    python -m tests.crash.child FOLDER MODEL

With the process die the capture nodes and the alert node of its world. New ones give the same
samples as the same sessions, so the fusion node drops what it has and takes what it lacks. The
result, one line of JSON per point, is for `tests/unit/test_crash_exact.py`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from bisect import bisect_right
from pathlib import Path

import av
import msgspec
import torch

from pipeline.core.event import from_json
from pipeline.recording import Recording
from pipeline.store.evidence_manifest import MANIFEST
from tests.crash import hall
from tests.crash.kills import Kills, end_process

POINTS = (
    ("receiver.ack", 0.25),
    ("sql INSERT fusion_events", 0.6),
    ("sql COMMIT", 0.35),
)
"""Steps, and after what share of their number in a run the process is killed there."""


def main(folder: Path, model: Path) -> None:
    """Kill a process at each of the points; print what became of it."""
    torch.set_num_threads(1)
    whole = Kills()
    world = hall.hall(folder / "whole", model)
    told = world.run(hall.script(), whole)
    for number, (name, share) in enumerate(POINTS):
        places = [i for i, passed in enumerate(whole.passed) if passed == name]
        at = places[int(share * len(places))]
        data = folder / str(number)
        killed_by = _killed(data, model, at)
        turn = bisect_right(world.steps, at)
        after = hall.hall(data, model).run(hall.script(), Kills(), first_turn=turn)
        same = after.events == told.events
        result = {"point": name, "signal": killed_by, "same": same, "evidence": _evidence(data)}
        sys.stdout.write(json.dumps(result) + "\n")
    names = [v for e in told.events for v in evidence_names(e)]
    sys.stdout.write(
        json.dumps({"named": sorted(set(names)), "whole": _evidence(folder / "whole")})
    )


def _killed(data: Path, model: Path, at: int) -> int:
    """The signal that ended a process that ran up to a point."""
    child = os.fork()
    if child == 0:
        hall.hall(data, model).run(hall.script(), Kills({at}, end_process))
        os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def _evidence(data: Path) -> dict[str, int]:
    """Each file of evidence with its number of frames, samples or files; of bytes of a picture."""
    folder = data / "data" / "evidence"
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): _size(path) for path in sorted(files)}


def _size(path: Path) -> int:
    if path.suffix == ".mcap":
        with Recording(path) as recording:
            return sum(total.samples for total in recording.totals.values())
    if path.name == MANIFEST:
        return len(json.loads(path.read_text())["files"])
    if path.suffix != ".mp4":
        return path.stat().st_size
    with av.open(str(path)) as clip:
        return sum(1 for _ in clip.decode(video=0))


def evidence_names(event: bytes) -> list[str]:
    """Files that an event names."""
    evidence = from_json(event).evidence
    named: dict[str, str] = msgspec.to_builtins(evidence)
    return [name for name in named.values() if name]


if __name__ == "__main__":
    signal.alarm(150)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
