"""Transport beside other libraries: every row of the transport goals in one table.

Run: ``python -m tests.benchmarks.peers [--quick]``. Peers are imagezmq (REQ/REP, PUB/SUB) and
VidGear (NetGear, PAIR), used as their own documentation says, and a plain TCP socket. One that
is not installed is said to be, with what to install (``pip install imagezmq vidgear``).

Every end runs in a process of its own on this machine. Frames are raw; each carries its number
and when it was sent, and one colour all over, so that a torn one is noticed.

- throughput: as fast as it goes, best of two; CPU of both processes a frame; frames lost.
- overload: a camera of 30 fps, a consumer that takes 10; how fast the camera goes, how old is
  what is consumed (p99), and whether what was skipped is accounted for.
- restart: the consumer is killed and comes back two seconds later; how long until frames flow,
  how many were lost in all, the longest time that sending one took.
- reused: the camera writes each frame into the same memory; frames that came out wrong.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from tests.benchmarks.peer_ends import Task
from tests.benchmarks.peer_links import LINKS, OURS, RAW
from tests.benchmarks.peer_runs import DEADLINE_S, NS, Course, Pair, Sent

SIZES = {"640x480": (480, 640, 3), "1280x720": (720, 1280, 3), "1920x1080": (1080, 1920, 3)}
CAMERA_FPS, TAKES_S = 30.0, 0.1
OVERLOAD_S, RESTART_S, DOWN_S = 8.0, 9.0, 2.0
WIDTH = 30
Shape: TypeAlias = tuple[int, int, int]


def throughput(name: str, shape: Shape, count: int, *, shared: bool = True) -> list[float]:
    """Frames a second, CPU-milliseconds a frame, frames lost."""
    pair = Pair(name, Course(Task(shape, shared=shared), count))
    try:
        pair.listen(count, DEADLINE_S)
        got, sent = pair.got[-1], pair.sent
    finally:
        pair.close()
    came = len(got.numbers)
    if came < 2:
        return [0.0, 0.0, float(count - came)]
    cpu_ms = 1e3 * (got.cpu_s / came + sent.cpu_s / max(sent.count, 1))
    return [(came - 1) / got.took_s, cpu_ms, float(count - came)]


def best(name: str, shape: Shape, count: int, *, shared: bool = True) -> list[float]:
    """The better of two, figure by figure."""
    first, second = (throughput(name, shape, count, shared=shared) for _ in range(2))
    return [max(first[0], second[0]), min(first[1], second[1]), max(first[2], second[2])]


def overload(name: str) -> str:
    """A camera of 30 frames a second and a consumer that takes 10."""
    count = round(OVERLOAD_S * CAMERA_FPS)
    task = Task(SIZES["640x480"], fresh=True)
    pair = Pair(name, Course(task, count, CAMERA_FPS, consume_s=TAKES_S))
    try:
        pair.listen(count, OVERLOAD_S + 1.0)
        got, sent = pair.got[-1], pair.sent
        pair.listen(count, 2.0)
    finally:
        pair.close()
    fps = sent.count / max(sent.took_s, OVERLOAD_S)
    age_ms = 1e3 * float(np.percentile(got.ages_s, 99)) if got.ages_s else float("nan")
    return f"{fps:.1f} fps, {age_ms:.0f} ms, {_accounted(pair.sent, pair.received)}"


def _accounted(sent: Sent, received: int) -> str:
    if sent.dropped is None:
        return f"{sent.count - received} silent"
    return f"{sent.count - received - sent.dropped} silent"


def restart(name: str) -> str:
    """The consumer is killed and another started in its place."""
    count = round(RESTART_S * CAMERA_FPS)
    pair = Pair(name, Course(Task(SIZES["640x480"]), count, CAMERA_FPS))
    try:
        pair.listen(count, DOWN_S)
        pair.kill_consumer()
        time.sleep(DOWN_S)
        pair.new_consumer()
        pair.listen(count, RESTART_S + 3.0)
        got = pair.got[-1]
        back_s = (got.first_ns - got.ready_ns) / NS if got.first_ns else float("inf")
        flows = f"{back_s:.2f} s" if got.first_ns else "never"
        lost, worst_s = pair.sent.count - pair.received, pair.worst_s
    finally:
        pair.close()
    return f"{flows}, {lost} of {count} lost, {worst_s:.2f} s"


def reused(name: str, count: int) -> str:
    """Frames that came out wrong of a camera that writes all into the same memory."""
    pair = Pair(name, Course(Task(SIZES["1280x720"]), count, reused=True))
    try:
        pair.listen(count, DEADLINE_S)
        got = pair.got[-1]
    finally:
        pair.close()
    return f"{got.wrong} of {len(got.numbers)}"


def table(names: Sequence[str], *, quick: bool) -> None:
    """Measure and print, a row at a time."""
    _print_row("", {name: name for name in names}, names)
    for size, shape in SIZES.items():
        _speeds(size, shape, round((0.6e9 if quick else 1.8e9) / np.prod(shape)), names)
    frames = 300 if quick else 10_000
    rows: dict[str, Callable[[str], str]] = {
        "overload: camera, age p99, skipped": overload,
        "restart: flows after, lost, longest send": restart,
        "reused memory: wrong frames": lambda name: reused(name, frames),
    }
    for what, measure in rows.items():
        _print_row(what, {name: measure(name) for name in names if name != RAW}, names)


def _speeds(size: str, shape: Shape, count: int, names: Sequence[str]) -> None:
    """Throughput of frames of one size, in three rows."""
    found = {name: best(name, shape, count, shared=False) for name in names}
    host = best(OURS, shape, count)
    fps, cpu_ms, _ = found[RAW]
    cells = {name: _ratios(figures, fps, cpu_ms) for name, figures in found.items()}
    _print_row(f"{size}, fps (x raw, CPU x raw)", cells, names)
    _print_row("  ours as it chooses on one host", {OURS: _ratios(host, fps, cpu_ms)}, names)
    lost = {name: f"{figures[2]:.0f} of {count}" for name, figures in found.items()}
    _print_row("  lost", lost, names)


def _ratios(found: Sequence[float], fps: float, cpu_ms: float) -> str:
    return f"{found[0]:.0f} ({found[0] / fps:.2f}x, {found[1] / cpu_ms:.2f}x)"


def _print_row(what: str, cells: Mapping[str, str], names: Sequence[str]) -> None:
    print(f"{what:42}" + "".join(f"{cells.get(n, ''):>{WIDTH}}" for n in names), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.peers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="fewer frames: a first impression")
    options = parser.parse_args(arguments)
    for link in LINKS.values():
        if link.absent:
            print(f"{link.name}: absent, not measured; to have it: {link.absent}")
    names = [link.name for link in LINKS.values() if not link.absent]
    table(names, quick=options.quick)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
