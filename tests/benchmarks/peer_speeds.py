"""How fast frames go over a link, compared with a plain socket at the same time.

A shared machine is now quick and now slow, and what limits raw frames is its memory: one run says
little. So all links take turns for some rounds, a socket before and after each. A link's ratios
are to the mean of the two, and the median over the rounds counts. Of each run the first quarter
is not counted: there the memory that a link keeps is touched for the first time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np

from tests.benchmarks.peer_ends import Task
from tests.benchmarks.peer_links import OURS, RAW
from tests.benchmarks.peer_runs import DEADLINE_S, Course, Pair

HOST = "ours as it chooses on one host"
Shape: TypeAlias = tuple[int, int, int]


class Speed(NamedTuple):
    """One run: frames a second, CPU of both processes a frame, frames lost."""

    fps: float
    cpu_ms: float
    lost: int


@dataclass(slots=True)
class Compared:
    """The runs of a link, and its ratios to the socket's beside them."""

    runs: list[Speed] = field(default_factory=list)
    fps: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, run: Speed, before: Speed, after: Speed) -> None:
        """Take in a run, and the socket's before and after it."""
        self.runs.append(run)
        self.fps.append(2 * run.fps / (before.fps + after.fps))
        self.cpu.append(2 * run.cpu_ms / (before.cpu_ms + after.cpu_ms))

    @property
    def lost(self) -> int:
        """Most frames lost in a run."""
        return max(run.lost for run in self.runs)

    def __str__(self) -> str:
        low, middle, high = np.percentile(self.fps, (25, 50, 75))
        return f"{middle:.2f}x ({low:.2f} to {high:.2f}), CPU {np.median(self.cpu):.2f}x"


def compare(
    shape: Shape, count: int, rounds: int, names: Sequence[str]
) -> tuple[list[Speed], Mapping[str, Compared]]:
    """The socket's runs, and each other link beside them; ours once more as it chooses itself.

    Args:
        shape: Of the frames.
        count: Frames a run.
        rounds: How often each has its turn.
        names: Of the links.
    """
    found = {name: Compared() for name in (*names, HOST) if name != RAW}
    raw = [throughput(RAW, shape, count)]
    for _ in range(rounds):
        for name, link in found.items():
            run = throughput(OURS if name == HOST else name, shape, count, shared=name == HOST)
            raw.append(throughput(RAW, shape, count))
            link.add(run, *raw[-2:])
    return raw, found


def throughput(name: str, shape: Shape, count: int, *, shared: bool = False) -> Speed:
    """One run, as fast as it goes."""
    warm = count // 3
    pair = Pair(name, Course(Task(shape, shared=shared), warm + count, warm=warm))
    try:
        pair.listen(warm + count, DEADLINE_S)
        pair.await_sender(DEADLINE_S)
        got, sent = pair.got[-1], pair.sent
    finally:
        pair.close()
    came = len(got.numbers) - warm
    if came < 2:
        return Speed(0.0, float("nan"), count - came)
    cpu_ms = 1e3 * (got.cpu_s / came + (sent.cpu_s or float("nan")) / count)
    return Speed((came - 1) / got.took_s, cpu_ms, count - came)
