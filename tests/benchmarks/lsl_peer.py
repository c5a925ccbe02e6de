"""Small messages over the Lab Streaming Layer, as a peer of our link: two processes, loopback."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any

import numpy as np

from tests.lsl_alone import LSL_ALONE

NAME = "fusewatch-bench"
CHANNELS = 6
_PULL = 1000  # messages taken at once
PATIENCE_S = 5.0  # without a message, before the rest counts as lost


def run_lsl(
    context: SpawnContext, count: int, rate_hz: float | None = None, chunk: int = 1
) -> dict[str, Any]:
    """Send `count` messages of six numbers, at a rate or as fast as possible.

    Args:
        context: How to start processes.
        count: How many messages.
        rate_hz: One by one at this rate; None: as fast as possible.
        chunk: Messages handed over at once, if not at a rate.

    Returns:
        ``rate`` of those that arrived, per second; ``cpu`` of both sides, seconds a message;
        ``ages_ms`` of each; ``lost``, how many never came.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "lsl_api.cfg"
        settings.write_text(LSL_ALONE)
        ours, theirs = context.Pipe()
        send_ours, send_theirs = context.Pipe()
        receiver = context.Process(target=_receive, args=(theirs, str(settings), count))
        sender = context.Process(
            target=_send, args=(send_theirs, str(settings), count, rate_hz, chunk)
        )
        sender.start()
        receiver.start()
        took, spent, ages = ours.recv()
        sent = send_ours.recv()
        receiver.join()
        sender.join()
    got = max(len(ages), 1)
    return {
        "rate": len(ages) / took,
        "cpu": spent / got + sent / count,
        "ages_ms": np.array(ages) * 1e3,
        "lost": count - len(ages),
    }


def _send(pipe: Connection, settings: str, count: int, rate_hz: float | None, chunk: int) -> None:
    os.environ["LSLAPICFG"] = settings
    import pylsl

    about = pylsl.StreamInfo(NAME, "bench", CHANNELS, 0.0, pylsl.cf_double64, NAME)
    outlet = pylsl.StreamOutlet(about, max_buffered=count)
    outlet.wait_for_consumers(30)
    values = [0.0] * CHANNELS
    began = time.process_time()
    due = time.perf_counter()
    for number in range(0, count, chunk):
        if rate_hz:
            due += 1 / rate_hz
            while (left := due - time.perf_counter()) > 0:
                time.sleep(left)
        if chunk == 1:
            outlet.push_sample(values, pylsl.local_clock())
        else:
            outlet.push_chunk([values] * min(chunk, count - number), pylsl.local_clock())
    spent = time.process_time() - began
    time.sleep(PATIENCE_S)
    pipe.send(spent)


def _receive(pipe: Connection, settings: str, count: int) -> None:
    os.environ["LSLAPICFG"] = settings
    import pylsl

    found = pylsl.resolve_byprop("name", NAME, timeout=30)
    inlet = pylsl.StreamInlet(found[0], max_buflen=count)
    inlet.open_stream(30)
    ages: list[float] = []
    began, used = 0.0, time.process_time()
    heard = time.perf_counter()
    while len(ages) < count and time.perf_counter() - heard < PATIENCE_S:
        stamps = _pull(inlet)
        if stamps:
            now, heard = pylsl.local_clock(), time.perf_counter()
            began = began or heard
            ages += [now - stamp for stamp in stamps]
    pipe.send((heard - began, time.process_time() - used, ages))


def _pull(inlet: Any) -> Sequence[float]:
    """What is there, waiting for the first message only."""
    first = inlet.pull_sample(timeout=0.5)[1]
    if first is None:
        return ()
    return [first, *inlet.pull_chunk(timeout=0.0, max_samples=_PULL)[1]]
