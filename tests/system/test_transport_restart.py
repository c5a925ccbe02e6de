"""A receiving process is killed under full traffic and comes back."""

from __future__ import annotations

import json
import multiprocessing as mp
import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.arrival import SampleArrived, StreamEnded, StreamOpened
from pipeline.core.clock import NodeClock
from pipeline.core.ledger import Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.receiver import Receiver
from pipeline.transport.sender import Sender

pytestmark = pytest.mark.system

SPAWN = mp.get_context("spawn")
VIB = StreamInfo("vib", Modality.SENSOR, 200.0, (3,), "float64")
CAM = StreamInfo("cam", Modality.VIDEO, 20.0, (200, 200, 3), "uint8")
COMMIT_EVERY_S = 0.1


def fusion(pipe: Connection, endpoint: str, store: Path) -> None:
    """Receives, commits to a file ten times a second, acks what is committed."""
    committed = points(store)
    receiver = Receiver(
        endpoint, clock=NodeClock(), resume=lambda *_: {k: v + 1 for k, v in committed.items()}
    )
    pipe.send(("listening", receiver.address))
    session, first, ended = "", True, set()
    fresh: list[tuple[str, int]] = []
    last: dict[str, int] = {}
    due = time.monotonic() + COMMIT_EVERY_S
    with store.open("a") as file:
        while not pipe.poll():
            for item in receiver.poll(0.02):
                if isinstance(item, StreamOpened):
                    session = item.session
                elif isinstance(item, StreamEnded):
                    ended.add(item.stream)
                elif isinstance(item, SampleArrived):
                    if first:
                        first = False
                        pipe.send(("first", item.sample.stream))
                    value = int(np.asarray(item.sample.data).flat[0])
                    fresh.append((item.sample.stream, item.sample.sequence, value))
                    last[item.sample.stream] = item.sample.sequence
            if time.monotonic() >= due and fresh:
                file.write(json.dumps(fresh) + "\n")
                file.flush()
                os.fsync(file.fileno())
                receiver.ack("n1", last, session)
                fresh, due = [], time.monotonic() + COMMIT_EVERY_S
            if len(ended) == 2 and not fresh:
                ended.clear()
                pipe.send(("ended", ""))
    receiver.close()


def rows(store: Path) -> list[tuple[str, int, int]]:
    lines = store.read_text().splitlines() if store.exists() else []
    return [tuple(row) for line in lines for row in json.loads(line)]


def points(store: Path) -> dict[str, int]:
    return {stream: sequence for stream, sequence, _ in rows(store)}


class Capture:
    """Sends at a steady pace from a thread of its own, and notes how long it had to wait."""

    def __init__(self, sender: Sender, clock: NodeClock) -> None:
        self._sender, self._clock = sender, clock
        self._closing = threading.Event()
        self.longest_s = 0.0
        self.sent = {"vib": 0, "cam": 0}
        sender.add_stream(VIB)
        sender.add_stream(CAM)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._closing.wait(0.005):
            started = time.monotonic()
            now = self._clock.now_ns()
            self._give(Sample("vib", 0, now, np.full(3, float(self.sent["vib"])), Encoding.FLOAT))
            if number % 10 == 0:
                frame = np.full(CAM.shape, self.sent["cam"] % 256, np.uint8)
                self._give(Sample("cam", 0, now, frame, Encoding.RAW))
            number += 1
            self.longest_s = max(self.longest_s, time.monotonic() - started)

    def _give(self, sample: Sample) -> None:
        self._sender.send(sample)
        self.sent[sample.stream] += 1

    def stop(self) -> None:
        self._closing.set()
        self._thread.join()


def start(endpoint: str, store: Path) -> tuple[mp.Process, Connection, str]:
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=fusion, args=(theirs, endpoint, store))
    process.start()
    assert ours.poll(60)
    _, address = ours.recv()
    return process, ours, address


def expect(pipe: Connection, what: str, timeout_s: float = 60) -> float:
    started = time.monotonic()
    while True:
        assert pipe.poll(timeout_s), f"no {what!r} came"
        if pipe.recv()[0] == what:
            return time.monotonic() - started


def test_a_killed_receiver_comes_back_and_nothing_is_lost(tmp_path: Path) -> None:
    store = tmp_path / "committed.jsonl"
    process, pipe, address = start("tcp://127.0.0.1:0", store)
    clock, ledger = NodeClock(), Ledger()
    sender = Sender("n1", address, clock=clock, ledger=ledger, clock_sync=False)
    capture = Capture(sender, clock)
    expect(pipe, "first")
    outage = threading.Event()
    for _ in range(2):
        outage.wait(0.7)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        outage.wait(0.5)
        process, pipe, _ = start(address, store)
        resumed_s = expect(pipe, "first")
        print(f"resumed after {resumed_s:.3f} s")
        assert resumed_s < 5
    outage.wait(0.5)
    capture.stop()
    sender.end("vib")
    sender.end("cam")
    assert sender.drain(30)
    sender.close()
    pipe.send("stop")
    process.join()
    accounts = ledger.snapshot()
    for stream in ("vib", "cam"):
        account, count = accounts[stream], capture.sent[stream]
        assert (account.captured, account.delivered, account.spooled) == (count, count, 0)
        assert account.dropped == {}
        arrived = [(sequence, value) for name, sequence, value in rows(store) if name == stream]
        wrap = 256 if stream == "cam" else 10**9
        assert arrived == [(n, n % wrap) for n in range(count)]
    assert capture.longest_s < 2


def test_a_stopped_receiver_goes_on_when_it_is_woken(tmp_path: Path) -> None:
    store = tmp_path / "committed.jsonl"
    process, pipe, address = start("tcp://127.0.0.1:0", store)
    clock, ledger = NodeClock(), Ledger()
    sender = Sender("n1", address, clock=clock, ledger=ledger, clock_sync=False)
    capture = Capture(sender, clock)
    expect(pipe, "first")
    pause = threading.Event()
    os.kill(process.pid, signal.SIGSTOP)
    pause.wait(6.5)
    assert sender.status.counters["connections"] > 1
    os.kill(process.pid, signal.SIGCONT)
    pause.wait(0.5)
    capture.stop()
    sender.end("vib")
    sender.end("cam")
    assert sender.drain(30)
    sender.close()
    pipe.send("stop")
    process.join()
    for stream, account in ledger.snapshot().items():
        assert account.delivered + sum(account.dropped.values()) == capture.sent[stream]
        sequences = [sequence for name, sequence, _ in rows(store) if name == stream]
        assert sequences == sorted(set(sequences))
        assert len(sequences) == account.delivered
