"""How a fusion node's work grows with its scenes, by a clock that is moved by hand.

Run as ``python -m tests.benchmarks.fleet_steps [--only SWEEP...] [--points N...] [--plot FILE]``.
The fusion node, its receiver and store are the real ones, and so are the sockets and the light
nodes; but all is in one process, and both ends go by one clock that stands still while they work.
So the machine may be as busy as it likes: the node always keeps up, in turns of 20 ms, and what
counts is processor time of its thread for each second by that clock. The sweeps are those of
`tests.benchmarks.fleet`, which measures workers in processes of their own and all around them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from nodes.fusion import FusionNode
from nodes.health import Health
from pipeline.config import load_deployment
from pipeline.core.arrival import Arrival, SampleArrived
from pipeline.core.clock import ManualClock
from tests.benchmarks.fleet import sweeps
from tests.benchmarks.fleet_growth import Step, line_of
from tests.benchmarks.fleet_loop import Fleet
from tests.benchmarks.fleet_point import SETTLE_S, nodes_of
from tests.benchmarks.fleet_site import Layout, deploy, give_models, learn, scene_names
from tests.benchmarks.fleet_worker import STAGES, Stages, watched
from tests.system.ports import free_port

SCENES, SENSES, SHARES = (1, 4, 16, 64, 256), (1, 4, 16), (1, 2, 4, 8)
POINTS = {"scenes": SCENES, "senses": SENSES, "nodes": SHARES, "streams": SHARES}
STEP_NS, CONNECT_NS, IDLE_NS = 20_000_000, 5_000_000, 250_000_000
WAIT_MS = 1_000
START_NS = 1_750_000_000 * 10**9
MOST_TURNS = 100_000


def steps(layout: Layout, scenes: int, seconds: float, kept: Path, stages: Stages) -> Step:
    """What a fusion node of so many scenes takes; `stages` times those of this process."""
    shown = learn(layout, kept)
    with tempfile.TemporaryDirectory(prefix="fusewatch-fleet-") as made:
        names, endpoint = scene_names(scenes), f"tcp://127.0.0.1:{free_port()}"
        config = deploy(Path(made), layout, names, endpoint)
        give_models(Path(made), layout, names, kept)
        clock = ManualClock(START_NS)
        node = FusionNode(load_deployment(config), clock)
        node.register(Health(), CollectorRegistry())
        with closing(node):
            node.start()
            fleet = Fleet(nodes_of(layout, names, endpoint, shown, clock), clock)
            with closing(fleet):
                hand = Hand(node, fleet, clock)
                hand.connect()
                hand.run(SETTLE_S)
                stages.spent.clear()
                stages.windows = 0
                total = hand.run(seconds) / seconds
                spent = {stage: stages.spent[stage] / seconds for stage in STAGES}
                return Step(total, spent, stages.windows / seconds)


class Hand:
    """Moves the clock, and lets both ends work in turns.

    Args:
        node: The fusion node, which listens.
        fleet: The capture nodes.
        clock: Of both.
    """

    def __init__(self, node: FusionNode, fleet: Fleet, clock: ManualClock) -> None:
        self._node = node
        self._fleet = fleet
        self._clock = clock
        self._taken = 0
        self._stepped_ns = 0
        self._spent_s = 0.0
        self._socket = node._receiver._socket
        plain = node._receiver.poll

        def counted(timeout_s: float, waiting: Mapping[str, int]) -> list[Arrival]:
            found = plain(timeout_s, waiting)
            self._taken += sum(isinstance(one, SampleArrived) for one in found)
            return found

        node._receiver.poll = counted  # type: ignore[method-assign]

    def connect(self) -> None:
        """Until every node is welcome."""
        for _ in range(MOST_TURNS):
            if self._fleet.ready == len(self._fleet.nodes):
                return
            self._turn(CONNECT_NS)
            self._step()
        raise RuntimeError("not every node was welcomed")

    def run(self, seconds: float) -> float:
        """Processor seconds that the node took for so many seconds of the clock."""
        self._spent_s = 0.0
        for _ in range(round(seconds * 1e9 / STEP_NS)):
            self._turn(STEP_NS)
        if wrong := self._fleet.unexplained():
            raise RuntimeError(f"the books do not add up: {wrong}")
        return self._spent_s

    def _turn(self, by_ns: int) -> None:
        """A moment: what is sent in it arrives in it; without any the node looks now and then."""
        self._clock.advance(by_ns)
        self._fleet.turn(1)
        for _ in range(MOST_TURNS):
            if self._taken >= self._fleet.traffic.samples:
                break
            self._socket.poll(WAIT_MS)
            self._step()
        if self._clock.now_ns() - self._stepped_ns >= IDLE_NS:
            self._step()

    def _step(self) -> None:
        self._stepped_ns = self._clock.now_ns()
        began = time.thread_time()
        self._node.step(0.0)
        self._spent_s += time.thread_time() - began


def row(varied: int, step: Step) -> str:
    """The line of a point: share of a core, then milliseconds a window by stage."""
    each = [1e3 * step.stages[stage] / step.windows_hz for stage in STAGES]
    cells = "".join(f"{ms:8.2f}" for ms in (1e3 * step.total / step.windows_hz, *each))
    return f"{varied:7}{100 * step.total:8.2f}{cells}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="how a fusion node's work grows with its scenes")
    parser.add_argument("--only", nargs="+", choices=POINTS, default=list(POINTS))
    parser.add_argument("--points", type=int, nargs="+", help="what is varied")
    parser.add_argument("--seconds", type=float, default=20.0, help="by the clock, of each point")
    parser.add_argument("--models", type=Path, help="folder where learnt models are kept")
    parser.add_argument("--plot", type=Path, help="PNG to draw")
    given = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    stages = Stages()
    watched(stages)
    print(f"load {os.getloadavg()[0]:.0f}, {datetime.now(UTC):%Y-%m-%d}")
    found: dict[str, list[tuple[int, Step]]] = {}
    with tempfile.TemporaryDirectory(prefix="fusewatch-fleet-") as made:
        kept = given.models or Path(made)
        for name in given.only:
            title, unit, asked = sweeps(given.points or POINTS[name])[name]
            heads = "".join(f"{stage:>8}" for stage in ("ms/win", *STAGES))
            print(f"\n{title}\n{unit:>7}{'core %':>8}{heads}", flush=True)
            points = found[title] = []
            for one in asked:
                step = steps(one.layout, one.scenes, given.seconds, kept, stages)
                points.append((one.varied, step))
                print(row(one.varied, step), flush=True)
            print(told(points, unit), flush=True)
    if given.plot is not None:
        from tests.benchmarks.fleet_plot import draw_steps

        draw_steps(found, given.plot)


def told(points: Sequence[tuple[int, Step]], unit: str) -> str:
    """How it grows."""
    if len(points) < 3:
        return ""
    line = line_of([n for n, _ in points], [step.total for _, step in points])
    return (
        f"{1e3 * line.fixed:.1f} + {1e3 * line.each:.2f} ms/s for each of the {unit}; "
        f"upper over lower half {line.bend:.2f},\nunit cost {points[-1][0]} over {points[0][0]}: "
        f"{line.unit:.2f}"
    )


if __name__ == "__main__":
    main()
