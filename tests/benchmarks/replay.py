"""Does a replay give the same events, bit for bit, and how fast is it?

Run as ``python -m tests.benchmarks.replay [--times 100]``. A minute of one synthetic scene with
anomalies (that of `real_time`) is replayed again and again, in several processes, whose hashing
is seeded differently. Compared are all phases of all events as canonical JSON, and the bits of
every score. Speed is scene time over processor time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.real_time import LIVE_S, ROOT, prepare

PROCESSES = 5


def replays(folder: Path, times: int) -> list[tuple[str, int, float]]:
    """Digest of all events and scores, number of phases, processor seconds; of each replay."""
    from nodes.replay import replay
    from pipeline.config import load_deployment
    from pipeline.core.event import to_json

    found = []
    for _ in range(times):
        began = time.process_time()
        done = replay([folder / "one.mcap"], load_deployment(folder / "one.yaml"))
        spent_s = time.process_time() - began
        digest = hashlib.sha256()
        for event in done.events:
            digest.update(to_json(event))
        for score in done.scores:
            digest.update(f"{score.start_ns} {float(score.p).hex()}".encode())
        found.append((digest.hexdigest(), len(done.events), spent_s))
    return found


def in_a_process(folder: Path, times: int) -> list[tuple[str, int, float]]:
    """The same in a new process."""
    command = [sys.executable, "-m", "tests.benchmarks.replay", "--folder", str(folder)]
    command += ["--times", str(times)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT)
    return [(digest, count, s) for digest, count, s in json.loads(said.stdout.splitlines()[-1])]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the rows, or, given a folder, what replays of it gave."""
    parser = argparse.ArgumentParser(description="replays of one recording")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.folder is not None:
        print(json.dumps(replays(given.folder, given.times)))
        return
    with tempfile.TemporaryDirectory() as made:
        prepare(Path(made))
        shares = [
            given.times // PROCESSES + (n < given.times % PROCESSES) for n in range(PROCESSES)
        ]
        found = [one for times in shares if times for one in in_a_process(Path(made), times)]
    same = sum(one[0] == found[0][0] for one in found)
    speed = sorted(LIVE_S / one[2] for one in found)
    print(f"replays with the same events and scores: {same} of {len(found)}; target all")
    print(f"phases of events in each: {found[0][1]}")
    print(
        f"times real time, median: {speed[len(speed) // 2]:.1f}, slowest: {speed[0]:.1f}; target 20"
    )


if __name__ == "__main__":
    main()
