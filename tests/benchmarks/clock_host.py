"""The clock offset between two processes of one host, measured over real sockets.

Both sides' node time counts from the same boot, so the true offset is the difference of their
offsets, which are known: the error is what the sockets and the scheduler do. LSL's clock is the
same on both sides, so its true offset is 0.
"""

from __future__ import annotations

import multiprocessing as mp
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
import numpy.typing as npt
import pylsl

from pipeline.core.clock import NodeClock
from pipeline.transport.clock_probe import ClockSync
from pipeline.transport.clock_responder import ClockResponder

_SITE_NS, _NODE_NS = 5_000_000_000, 2_000_000_000
_EVERY_S = 0.05
_SPAWN = mp.get_context("spawn")

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HostRun:
    """What one way of measuring gave on one host.

    Attributes:
        first_s: From asking to the first answer, seconds.
        error_ns: Estimate less truth, from the first answer on ``(T,)``.
        bound_ns: What was said it would be at most ``(T,)``; LSL says nothing, NaN.
    """

    first_s: float
    error_ns: Array
    bound_ns: Array


def run_pair(seconds: float) -> tuple[HostRun, HostRun]:
    """Our offset and LSL's, each to a process of its own, looked at in turn for `seconds`."""
    name = f"fusewatch-clock-{time.monotonic_ns()}"
    answerer, port = _begin(_answer)
    offerer, _ = _begin(_offer, name)
    try:
        return _measure(port, name, seconds)
    finally:
        for pipe in (answerer, offerer):
            pipe.send(None)


def _begin(target: Callable[..., None], *arguments: str) -> tuple[Connection, int]:
    """A process of its own, the pipe to end it by, and what it says first."""
    ours, theirs = _SPAWN.Pipe()
    _SPAWN.Process(target=target, args=(theirs, *arguments)).start()
    return ours, ours.recv()


def _measure(port: int, name: str, seconds: float) -> tuple[HostRun, HostRun]:
    (stream,) = pylsl.resolve_byprop("name", name, 1, 10.0)
    inlet = pylsl.StreamInlet(stream)
    inlet.open_stream(10.0)
    begun = time.perf_counter()
    inlet.time_correction(timeout=10.0)
    lsl_first = time.perf_counter() - begun
    begun = time.perf_counter()
    sync = ClockSync(f"tcp://127.0.0.1:{port}", NodeClock(_NODE_NS))
    while sync.estimate() is None:
        time.sleep(0.0005)
    first = time.perf_counter() - begun
    ours, bounds, lsl = [], [], []
    for _ in range(round(seconds / _EVERY_S)):
        time.sleep(_EVERY_S)
        found = sync.estimate()
        if found is not None:
            ours.append(found.offset_ns - (_SITE_NS - _NODE_NS))
            bounds.append(found.uncertainty_ns)
        lsl.append(inlet.time_correction(timeout=1.0) * 1e9)
    sync.close()
    unsaid = np.full(len(lsl), np.nan)
    return (
        HostRun(first, np.array(ours, np.float64), np.array(bounds, np.float64)),
        HostRun(lsl_first, np.array(lsl), unsaid),
    )


def _answer(pipe: Connection) -> None:
    responder = ClockResponder("127.0.0.1", 0, NodeClock(_SITE_NS))
    pipe.send(responder.port)
    pipe.recv()
    responder.close()


def _offer(pipe: Connection, name: str) -> None:
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "test", 1, 100.0, "float32", name))
    pipe.send(0)
    pipe.recv()
    del outlet
