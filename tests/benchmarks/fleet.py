"""A simulated fleet: what scenes, nodes and streams cost a fusion worker, and whether it is linear.

Run as ``python -m tests.benchmarks.fleet [--only SWEEP...] [--points N...] [--plot FILE.png]``; by
hand, as it takes a quarter of an hour. Hundreds of light capture nodes in this process
(`tests.benchmarks.fleet_nodes`) speak the real protocol to real fusion workers, processes of
``fusewatch fusion`` with a learnt model per scene (`tests.benchmarks.fleet_site`): readings at
2 Hz, windows of 4 s every 2 s; with ``senses`` also pictures of 320x180 at 2 Hz and sound of 8 kHz.

Five sweeps: scenes with sensors alone, scenes with all senses, nodes of a scene, streams of a
node, and the same scenes dealt to several workers. A row a point. Cost is processor time, not
waiting, so that a busy machine (its load is printed) disturbs little; a point that did not keep
up with its windows is marked ``!`` and not part of the fit. *bare* is what bare ZeroMQ takes to
receive the same messages, in the same run: the least that any worker must do. Then by stage: what
a window costs. A worker costs ``a + b * scenes``; that it is linear shows in what one scene more
costs in the upper half of the sweep against the lower, and in the unit cost at both ends.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from tests.benchmarks.fleet_growth import Sweep, line_of
from tests.benchmarks.fleet_point import Cost, measure
from tests.benchmarks.fleet_site import Layout
from tests.benchmarks.fleet_worker import STAGES

SCENES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SENSES = (1, 2, 4, 8, 16)
SHARES = (1, 2, 4, 8)
OF_SCENES = 16
WORKERS, DEALT = (1, 2, 4), 64
LINEAR = 1.2
HEADING = (
    f"{'':14}{'core %':>8}{'ms/win':>8}{'x bare':>8}{'MB':>7}{'win/s':>7}"
    f"{'p50 s':>7}{'p99 s':>7}{'kB/s':>8}{'start':>6}"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A point to be measured: its row's name, and what is varied."""

    name: str
    varied: int
    layout: Layout
    scenes: int
    workers: int = 1


def sweeps(points: Sequence[int] = ()) -> dict[str, tuple[str, str, list[Asked]]]:
    """Title, unit and points of each sweep; `points`: what is varied instead of its own."""
    return {
        "scenes": (
            "scenes, a node with one sensor stream each",
            "scenes",
            [Asked(f"{n} scenes", n, Layout(), n) for n in points or SCENES],
        ),
        "senses": (
            "scenes, a node with camera, microphone and sensors each",
            "scenes",
            [Asked(f"{n} scenes", n, Layout("senses", 1, 3), n) for n in points or SENSES],
        ),
        "nodes": (
            f"nodes of each of {OF_SCENES} scenes, a sensor stream each",
            "nodes",
            [Asked(f"{n} nodes", n, Layout("sensors", n, 1), OF_SCENES) for n in points or SHARES],
        ),
        "streams": (
            f"sensor streams of the one node of each of {OF_SCENES} scenes",
            "streams",
            [
                Asked(f"{n} streams", n, Layout("sensors", 1, n), OF_SCENES)
                for n in points or SHARES
            ],
        ),
        "workers": (
            f"workers that {DEALT} scenes of one sensor stream are dealt to",
            "workers",
            [Asked(f"{n} workers", n, Layout(), DEALT, n) for n in points or WORKERS],
        ),
    }


def row(name: str, cost: Cost) -> str:
    """The line of a point."""
    return (
        f"{name + ('' if cost.kept_up else ' !'):14}{100 * cost.total:8.1f}"
        f"{1e3 * cost.total / cost.windows_hz:8.2f}{cost.total / cost.bare:8.1f}"
        f"{sum(cost.resident_mb):7.0f}{cost.windows_hz:7.1f}"
        f"{cost.age_s[0]:7.2f}{cost.age_s[1]:7.2f}{cost.bytes_hz / 1e3:8.1f}{cost.start_s:6.1f}"
    )


def stage_row(name: str, cost: Cost) -> str:
    """What a window cost by stage, milliseconds; the main thread's, and of other threads."""
    each = [cost.stages.get(stage, 0.0) for stage in STAGES]
    cells = [*each, cost.total - sum(each)]
    spent = "".join(f"{1e3 * s / cost.windows_hz:7.2f}" for s in cells)
    return f"{name:14}{spent}{cost.commits_hz:10.1f}"


def told(sweep: Sweep) -> Iterator[str]:
    """What is said of how a sweep grows."""
    kept = [(n, cost) for n, cost in sweep.points if cost.kept_up]
    if len(kept) >= 3:
        line = line_of([n for n, _ in kept], [cost.total for _, cost in kept])
        yield (
            f"{1e3 * line.fixed:.1f} + {1e3 * line.each:.2f} ms/s a one of the {sweep.unit}; "
            f"upper over lower half {line.bend:.2f}, unit cost "
            f"{kept[-1][0]} over {kept[0][0]}: {line.unit:.2f} (linear: at most {LINEAR})"
        )
    books = [cost.books for _, cost in sweep.points]
    captured, delivered = sum(b.captured for b in books), sum(b.delivered for b in books)
    dropped, wrong = sum(b.dropped for b in books), sum(not b.exact for b in books)
    events, fleet = sum(c.events for _, c in sweep.points), max(c.fleet for _, c in sweep.points)
    yield (
        f"captured {captured} = delivered {delivered} + dropped {dropped}; "
        f"{wrong} points not exact; {events} events; all nodes at most {100 * fleet:.0f} % of a "
        "core"
    )


def run(title: str, unit: str, asked: Sequence[Asked], seconds: float, kept: Path) -> Sweep:
    """Measure a sweep and print it."""
    sweep = Sweep(title, unit)
    print(f"\n{title}\n{HEADING}", flush=True)
    for one in asked:
        cost = measure(one.layout, one.scenes, seconds, kept, one.workers)
        sweep.points.append((one.varied, cost))
        print(f"{row(one.name, cost)}   load {os.getloadavg()[0]:.0f}", flush=True)
    stages = "".join(f"{stage:>7}" for stage in (*STAGES, "others"))
    print(f"{'ms a window':14}{stages}{'commits/s':>10}")
    for one, (_, cost) in zip(asked, sweep.points, strict=True):
        print(stage_row(one.name, cost))
    for words in told(sweep):
        print(words, flush=True)
    return sweep


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="what a fleet costs a fusion worker")
    known = sweeps()
    parser.add_argument("--only", nargs="+", choices=known, default=list(known))
    parser.add_argument("--points", type=int, nargs="+", default=[], help="what is varied")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long a point is watched")
    parser.add_argument("--models", type=Path, help="folder where learnt models are kept")
    parser.add_argument("--plot", type=Path, help="PNG to draw")
    given = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load}, {datetime.now(UTC):%Y-%m-%d}")
    with tempfile.TemporaryDirectory(prefix="fusewatch-fleet-") as made:
        kept = given.models or Path(made)
        asked = sweeps(given.points)
        found = {name: run(*asked[name], given.seconds, kept) for name in given.only}
    if given.plot is not None:
        from tests.benchmarks.fleet_plot import draw

        draw(found, given.plot)


if __name__ == "__main__":
    main()
