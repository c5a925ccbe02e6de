"""A recording replayed a hundred times: the same events, and how fast.

Run as ``python -m tests.benchmarks.replay [TIMES]``. One scene of `tests.benchmarks.real_time`
is learnt and a minute of it, with an anomaly every 20 s, is replayed by ``fusewatch replay``'s own
path. Compared are the bytes of the events and of the scores that the command would write.
Every tenth replay is in a new process, with another seed of Python's hashes: what hung on the order
of a set would show there.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import structlog

from tests.benchmarks.real_time import LIVE_S, ROOT, prepare

TIMES = 100
_NEW_EVERY = 10
_QUIET = 40
TARGET_SPEED = 20.0


def replayed(folder: Path) -> tuple[str, int, float]:
    """Digest of what a replay writes, how many events that is, and its processor seconds."""
    from nodes.replay import replay, write_events, write_scores
    from pipeline.config import load_deployment

    began = time.process_time()
    done = replay([folder / "one.mcap"], load_deployment(folder / "one.yaml"))
    spent_s = time.process_time() - began
    digest = hashlib.sha256()
    for name, write in (
        ("events.jsonl", lambda path: write_events(path, done.events)),
        ("scores.csv", lambda path: write_scores(path, done.scores, done.start_ns)),
    ):
        file = folder / f"{os.getpid()}-{name}"
        write(file)
        digest.update(file.read_bytes())
        file.unlink()
    return digest.hexdigest(), len(done.events), spent_s


def in_new_process(folder: Path, seed: int) -> str:
    """Digest of what a replay in another process writes."""
    command = [sys.executable, "-m", "tests.benchmarks.replay", "one", str(folder)]
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT, env=environment)
    return said.stdout.decode().split()[-1]


def run(times: int) -> None:
    """Replay and compare."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        prepare(folder)
        first, events, spent_s = replayed(folder)
        fastest_s, same = spent_s, 1
        for number in range(1, times):
            if number % _NEW_EVERY == 0:
                digest = in_new_process(folder, number)
            else:
                digest, _, spent_s = replayed(folder)
                fastest_s = min(fastest_s, spent_s)
            same += digest == first
    print(f"{'replays with the same bytes':46}{same:6} of {times}   = all, {events} events each")
    speed = LIVE_S / fastest_s
    print(f"{'times real time, per core':46}{speed:6.1f}   >= {TARGET_SPEED:g}")


def main() -> None:
    """Print the table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_QUIET))
    if sys.argv[1:2] == ["one"]:
        print(replayed(Path(sys.argv[2]))[0])
    else:
        run(int(sys.argv[1]) if len(sys.argv) > 1 else TIMES)


if __name__ == "__main__":
    main()
