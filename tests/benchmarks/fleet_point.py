"""One point of a fleet's sweep: so many scenes, nodes and streams, and what they cost.

Scenes are dealt to as many workers as asked for, all nodes send from this process. Once every
node is welcome and windows flow, the workers are watched for a while; then the nodes end, and
everything that was captured must be acked or dropped with a reason.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from nodes.free_ports import free_ports
from pipeline.core.clock import NodeClock
from tests.benchmarks.fleet_bare import bare_s
from tests.benchmarks.fleet_loop import Fleet
from tests.benchmarks.fleet_nodes import LightNode
from tests.benchmarks.fleet_site import (
    HOP_S,
    WINDOW_S,
    Layout,
    Shown,
    deploy,
    give_models,
    learn,
    scene_names,
)
from tests.benchmarks.fleet_worker import COMMITS, STAGES, Worker, ages_s, quantile_s
from tests.waiting import wait_until

PATIENCE_S = 400.0
SETTLE_S = WINDOW_S + 2 * HOP_S
WINDOWS, AGES, EVENTS = (
    "fusewatch_windows_total",
    "fusewatch_window_age_seconds_bucket",
    "fusewatch_events_total",
)


@dataclass(frozen=True, slots=True)
class Books:
    """The ledgers of all nodes at the end.

    Attributes:
        captured: Samples that came to be.
        delivered: Acked by the workers.
        dropped: Given up, whatever the reason.
        spooled: Neither.
        unexplained: Streams whose books did not add up, while it ran or at the end.
    """

    captured: int
    delivered: int
    dropped: int
    spooled: int
    unexplained: int

    @property
    def exact(self) -> bool:
        """Whether every sample is accounted for and none is left."""
        summed = self.delivered + self.dropped + self.spooled
        return not self.unexplained and not self.spooled and self.captured == summed


@dataclass(frozen=True, slots=True)
class Cost:
    """What a point cost.

    Attributes:
        scenes: Scenes in all.
        nodes: Nodes in all.
        streams: Streams in all.
        cpu: Processor seconds a second of each worker.
        stages: Processor seconds a second by stage, of all workers.
        commits_hz: Transactions a second, of all workers.
        resident_mb: Resident memory of each worker.
        windows_hz: Windows scored a second, of all workers.
        age_s: Median and 99th percentile of a window's age when it was scored.
        messages_hz: Messages with samples a second.
        bytes_hz: Bytes of these messages a second.
        bare: Processor seconds a second that bare ZeroMQ takes to receive them.
        start_s: From the start of a worker until it listens, seconds, the slowest.
        start_cpu_s: Processor seconds of a worker until then, the most.
        fleet: Processor seconds a second of the process with all nodes.
        events: Events that the workers told of.
        books: The ledgers at the end.
    """

    scenes: int
    nodes: int
    streams: int
    cpu: list[float]
    stages: dict[str, float]
    commits_hz: float
    resident_mb: list[float]
    windows_hz: float
    age_s: tuple[float, float]
    messages_hz: float
    bytes_hz: float
    bare: float
    start_s: float
    start_cpu_s: float
    fleet: float
    events: int
    books: Books

    @property
    def total(self) -> float:
        """Processor seconds a second of all workers."""
        return sum(self.cpu)

    @property
    def kept_up(self) -> bool:
        """Whether the windows that came due were scored."""
        return self.windows_hz * HOP_S > 0.9 * self.scenes


def measure(layout: Layout, scenes: int, seconds: float, kept: Path, workers: int = 1) -> Cost:
    """Run a point.

    Args:
        layout: How streams are dealt to nodes.
        scenes: How many.
        seconds: How long the workers are watched.
        kept: Where learnt models are kept.
        workers: Fusion processes that the scenes are dealt to.
    """
    shown = learn(layout, kept)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="fusewatch-fleet-"))
        stack.callback(shutil.rmtree, folder)
        names, clock, nodes, started = scene_names(scenes), NodeClock(), [], []
        for number, port in enumerate(free_ports(workers)):
            own, endpoint = names[number::workers], f"tcp://127.0.0.1:{port}"
            place = folder / str(number)
            config = deploy(place, layout, own, endpoint)
            give_models(place, layout, own, kept)
            started.append(Worker(config, place / "data", clock.offset_ns))
            stack.callback(started[-1].stop)
            nodes += nodes_of(layout, own, endpoint, shown, clock)
        with Fleet(nodes, clock) as fleet:
            return _watch(fleet, started, layout, scenes, seconds)


def nodes_of(
    layout: Layout, scenes: Sequence[str], endpoint: str, shown: Sequence[Shown], clock: NodeClock
) -> list[LightNode]:
    """The nodes of some scenes."""
    found = []
    for scene in scenes:
        own = dict(zip(layout.of_scene(scene), shown, strict=True))
        for node in range(layout.nodes):
            streams = {name: own[name] for name in layout.of_node(scene, node)}
            found.append(LightNode(f"{scene}-n{node}", endpoint, streams, clock))
    return found


def _watch(
    fleet: Fleet, workers: Sequence[Worker], layout: Layout, scenes: int, seconds: float
) -> Cost:
    wait_until(lambda: fleet.ready == len(fleet.nodes), PATIENCE_S)
    time.sleep(SETTLE_S)
    metrics = [worker.metrics() for worker in workers]
    stages = [worker.stages() for worker in workers]
    cpu, own, began = [w.cpu_s() for w in workers], time.process_time(), time.monotonic()
    messages, size = fleet.traffic.messages, fleet.traffic.size
    time.sleep(seconds)
    took_s = time.monotonic() - began
    spent = [(w.cpu_s() - then) / took_s for w, then in zip(workers, cpu, strict=True)]
    fleet_cpu = (time.process_time() - own) / took_s
    messages, size = fleet.traffic.messages - messages, fleet.traffic.size - size
    later = [worker.metrics() for worker in workers]
    each = [
        {name: (s - then.get(name, 0.0)) / took_s for name, s in worker.stages().items()}
        for worker, then in zip(workers, stages, strict=True)
    ]
    resident_mb = [worker.resident_mb() for worker in workers]
    unexplained = len(fleet.unexplained())
    pairs = list(zip(metrics, later, strict=True))
    windows = sum(sum(b[WINDOWS].values()) - sum(a[WINDOWS].values()) for a, b in pairs)
    ages = ages_s([(a[AGES], b[AGES]) for a, b in pairs])
    return Cost(
        scenes=scenes,
        nodes=len(fleet.nodes),
        streams=scenes * layout.nodes * layout.streams,
        cpu=spent,
        stages={stage: sum(one.get(stage, 0.0) for one in each) for stage in STAGES},
        commits_hz=sum(one[COMMITS] for one in each),
        resident_mb=resident_mb,
        windows_hz=windows / took_s,
        age_s=(quantile_s(ages, 0.5), quantile_s(ages, 0.99)),
        messages_hz=messages / took_s,
        bytes_hz=size / took_s,
        bare=bare_s(fleet.traffic.kept) * messages / took_s,
        start_s=max(worker.start_s for worker in workers),
        start_cpu_s=max(worker.start_cpu_s for worker in workers),
        fleet=fleet_cpu,
        events=round(sum(sum(one[EVENTS].values()) for one in later)),
        books=_end(fleet, unexplained),
    )


def _end(fleet: Fleet, unexplained: int) -> Books:
    """End all streams, and wait until everything is accounted for."""
    fleet.end()
    wait_until(lambda: fleet.done, PATIENCE_S)
    accounts = fleet.accounts().values()
    return Books(
        sum(a.captured for a in accounts),
        sum(a.delivered for a in accounts),
        sum(sum(a.dropped.values()) for a in accounts),
        sum(a.spooled for a in accounts),
        unexplained + len(fleet.unexplained()),
    )
