"""What an outage costs a scene of two nodes, by the order in which their backlogs are taken.

Run by hand: ``python -m tests.benchmarks.outage``. The fusion node is killed, both nodes go on, and
when it is back one delivers all it kept before the other. Counted are the windows that lack one of
them, or were never cut, beside the peer in the same run: the same fusion node taking samples in the
order in which they arrive.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Container, Mapping
from functools import partial
from pathlib import Path
from unittest.mock import patch

import structlog

from nodes.fair_queue import FairQueue
from tests.crash.kills import Kills
from tests.crash.room import SECOND, SILENT_S, START_NS, STREAMS, room, script
from tests.crash.world import World

STEPS_TO_KILL = 60
AFTER_S = 30.0
TURN_S, WINDOW_S = 0.5, 2.0


class ByArrival(FairQueue):
    """The peer: no stream is ordered by when it was captured."""

    def __init__(
        self, of_node: Mapping[str, str], weights: Mapping[str, float], _streams: Container[str]
    ) -> None:
        super().__init__(of_node, weights)


def lacking(folder: Path, away_s: float, queue: type[FairQueue], first: str) -> tuple[int, int]:
    """Windows that lack a node or were never cut, of how many; `first` delivers first."""
    seconds = away_s + AFTER_S
    world: World = room(folder)
    world.nodes = dict(sorted(world.nodes.items(), key=lambda named: named[0] != first))
    turns = script(TURN_S, seconds)
    with patch("nodes.fusion.FairQueue", queue), patch("tests.crash.world.LAST_TURNS", 400):
        told = world.run(turns, Kills({STEPS_TO_KILL}), down_turns=round(away_s / TURN_S))
    scores = told.scores.values()
    lacks = [s for s in scores if s.missing or len(s.detectors) < len(STREAMS)]
    starts_s = [(score.start_ns - START_NS) / SECOND for score in lacks]
    silent = sum(SILENT_S[0] <= at_s <= SILENT_S[1] - WINDOW_S for at_s in starts_s)
    whole = 1 + round((seconds - WINDOW_S) / TURN_S)
    return whole - len(scores) + len(lacks) - silent, whole


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--away", type=float, nargs="+", default=[0.0, 10.0, 60.0, 300.0, 900.0])
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print("windows lacking a node or never cut, of all; by arrival and as fusewatch takes them")
    print(f"{'away':>8} {'first':>6} {'by arrival':>12} {'fusewatch':>12}")
    for away_s in arguments.away:
        for first in ("one", "two"):
            with tempfile.TemporaryDirectory() as folder:
                judged = partial(lacking, away_s=away_s, first=first)
                peer, count = judged(Path(folder) / "peer", queue=ByArrival)
                own, _ = judged(Path(folder) / "own", queue=FairQueue)
            print(f"{away_s:6.0f} s {first:>6} {peer:6} of {count:<5} {own:6} of {count}")


if __name__ == "__main__":
    main()
