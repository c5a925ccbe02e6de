"""A sender whose receiver moves: it asks the directory, and what was not acked is sent again."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from pipeline.core.clock import NodeClock
from pipeline.core.ledger import Ledger
from pipeline.core.sample import Encoding, Sample
from pipeline.transport.directory_client import WorkerFinder
from pipeline.transport.directory_messages import Here, Nowhere
from pipeline.transport.directory_server import DirectoryServer
from pipeline.transport.sender import Sender
from tests.system.ports import free_port
from tests.system.spool_link import VIB, Fusion
from tests.waiting import wait_until

pytestmark = pytest.mark.system
CLOCK = NodeClock()


def test_a_sender_finds_its_receiver_and_follows_it_to_another_place() -> None:
    said: list[Here | Nowhere] = [Nowhere("nobody yet")]
    directory = DirectoryServer("tcp://127.0.0.1:0", lambda _node: said[-1])
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            directory.poll(0.02)

    serving = threading.Thread(target=serve)
    serving.start()
    places = [f"tcp://127.0.0.1:{free_port()}" for _ in range(2)]
    ledger = Ledger()
    finder = WorkerFinder("cell", [directory.address])
    sender = Sender("cell", directory.address, clock=CLOCK, ledger=ledger, finder=finder)
    try:
        sender.add_stream(VIB)
        for number in range(50):
            sender.send(Sample("vib", 0, CLOCK.now_ns(), np.full(3, float(number)), Encoding.FLOAT))
        wait_until(lambda: "nobody yet" in sender.status.refusal, 10)
        first = Fusion(places[0], ack_to=19)
        said.append(Here(places[0], "", 1))
        wait_until(lambda: len(first.samples) == 50, 10)
        second = Fusion(places[1])
        said.append(Here(places[1], "", 2))
        first.close()
        wait_until(lambda: len(second.samples) >= 30, 10)
        wait_until(lambda: sender.clock_estimate() is not None, 10)
        sender.end("vib")
        assert sender.drain(10)
        assert [int(s.data[0]) for s in second.samples] == list(range(20, 50))
        account = ledger.snapshot()["vib"]
        assert (account.captured, account.delivered, account.missing) == (50, 50, 0)
        second.close()
    finally:
        sender.close()
        ended.set()
        serving.join()
        directory.close()
