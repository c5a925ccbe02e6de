"""A capture node that sends what it was given, as a process: the link of a real one, no sources.

Samples keep the time of the script, which a clock exchange would change by microseconds. Orders
come by the standard input, a line each: ``until SECONDS`` (of the script; go on to there, in real
time), ``end`` (what is left, as fast as it goes; end when all is committed). Answers are JSON.
"""

from __future__ import annotations

import json
import pickle
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from nodes.links import worker_finder
from nodes.logs import configure_logs
from pipeline.config import load_deployment
from pipeline.core.clock import NodeClock
from pipeline.core.ledger import Ledger
from pipeline.core.sample import Sample, StreamInfo
from pipeline.transport.key_store import Role
from pipeline.transport.security import curve_client
from pipeline.transport.sender import Sender

DRAIN_S = 120.0
Part = tuple[float, Sequence[Sample]]
"""Seconds into the script, and what was captured until then since the part before."""


def write_parts(path: Path, streams: Sequence[StreamInfo], parts: Sequence[Part]) -> None:
    """Write what a node is to send; trusted as the test that wrote it."""
    path.write_bytes(pickle.dumps((streams, parts)))


class Orders:
    """What the test wants, which a thread reads."""

    def __init__(self) -> None:
        self._until_s = 0.0
        self._ending = False
        self._news = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def pace(self, parts: Sequence[Part]) -> Iterator[Part]:
        """Parts, each when it is time."""
        due_s, before_s = time.monotonic(), 0.0
        for at_s, samples in parts:
            due_s += at_s - before_s
            with self._news:
                if not self._goes_to(at_s):
                    self._news.wait_for(lambda at=at_s: self._goes_to(at))  # type: ignore[misc]
                    due_s = time.monotonic()
                left_s = due_s - time.monotonic()
                self._news.wait_for(lambda: self._ending, max(0.0, left_s))
            before_s = at_s
            yield at_s, samples

    def await_end(self) -> None:
        """Until nothing more is wanted."""
        with self._news:
            self._news.wait_for(lambda: self._ending)

    def _goes_to(self, at_s: float) -> bool:
        return self._ending or at_s <= self._until_s

    def _read(self) -> None:
        for line in sys.stdin:
            word, *values = line.split()
            with self._news:
                self._until_s = max([self._until_s, *map(float, values)])
                self._ending = self._ending or word == "end"
                self._news.notify_all()
        with self._news:  # the test is gone
            self._ending = True
            self._news.notify_all()


def main(config: Path, node: str, script: Path) -> None:
    """Send it all."""
    configure_logs(node)
    deployment = load_deployment(config)
    streams, parts = pickle.loads(script.read_bytes())
    ledger = Ledger()
    sender = Sender(
        node,
        deployment.engine.directory[0],
        clock=NodeClock(),
        ledger=ledger,
        clock_sync=False,
        curve=curve_client(deployment.security.keys, node, Role.CAPTURE, Role.FUSION),
        finder=worker_finder(deployment, node),
    )
    for info in streams:
        sender.add_stream(info)
    orders = Orders()
    for at_s, samples in orders.pace(parts):
        for sample in samples:
            sender.send(sample)
        print(json.dumps({"captured_s": at_s}), flush=True)
    orders.await_end()
    for info in streams:
        sender.end(info.name)
    drained = sender.drain(DRAIN_S)
    sender.close()
    accounts = {
        name: [account.captured, account.delivered, account.missing]
        for name, account in ledger.snapshot().items()
    }
    print(json.dumps({"drained": drained, "accounts": accounts}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
