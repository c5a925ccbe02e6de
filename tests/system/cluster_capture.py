"""The capture nodes of the hall and of the shed, each on a machine at the end of a line."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from tests.crash import hall
from tests.system.line_queue import LAN
from tests.system.ray_site import RaySite
from tests.system.scripted_node import Part, write_parts
from tests.waiting import wait_until

UP_S = 120.0
DUST = StreamInfo("dust", Modality.SENSOR, 2.0, (1,), "float64")
STREAMS: Mapping[str, Sequence[StreamInfo]] = {**hall.NODES, "box": (DUST,)}


class Capture:
    """See the module. They capture as far as `until` says.

    Args:
        site: Where the cluster is.
        config: The deployment, encrypted.
    """

    def __init__(self, site: RaySite, config: Path) -> None:
        self._ended: dict[str, dict[str, Any]] = {}
        self._captured_s = dict.fromkeys(STREAMS, 0.0)
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._logs: dict[str, Path] = {}
        for node, streams in STREAMS.items():
            script = config.with_name(f"{node}.script")
            write_parts(script, streams, parts_of(node))
            machine = site.exchange.connect(node, LAN)
            command = ("-P", "-m", "tests.system.scripted_node", str(config), node, str(script))
            self._logs[node] = config.with_name(f"{node}.log")
            with self._logs[node].open("wb") as log:
                self._running[node] = subprocess.Popen(
                    machine.command(sys.executable, *command),
                    env=site.surroundings(node),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            threading.Thread(target=self._hear, args=(node,), daemon=True).start()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *error: object) -> None:
        for running in self._running.values():
            running.kill()
            running.wait()

    @property
    def captured_s(self) -> float:
        """How far all of them are in the script."""
        return min(self._captured_s.values())

    def until(self, second: float) -> None:
        """Let them capture to there."""
        self._say(f"until {second}")

    def wait_for(self, second: float) -> None:
        """Until so much was captured."""
        self.until(second)
        wait_until(lambda: self.captured_s >= second, UP_S)

    def end(self) -> None:
        """See that all was captured and is committed, and that each ledger adds up."""
        self._say("end")
        wait_until(lambda: len(self._ended) == len(STREAMS), UP_S)
        for node, told in self._ended.items():
            assert told["drained"], node
            for stream, (captured, delivered, missing) in told["accounts"].items():
                assert captured == delivered > 0, stream
                assert missing == 0, stream

    def told(self, node: str) -> dict[int, str]:
        """Where a node was told that its worker is, by the token of the worker's lease."""
        lines = self._logs[node].read_text().splitlines()
        told = [json.loads(line) for line in lines if line.startswith("{")]
        return {o["lease"]: o["address"] for o in told if o["event"] == "fusion node found"}

    def _say(self, what: str) -> None:
        for running in self._running.values():
            assert running.stdin is not None
            print(what, file=running.stdin, flush=True)

    def _hear(self, node: str) -> None:
        out = self._running[node].stdout
        assert out is not None
        for line in out:
            told = json.loads(line)
            self._captured_s[node] = told.get("captured_s", self._captured_s[node])
            if "accounts" in told:
                self._ended[node] = told


def parts_of(node: str) -> list[Part]:
    """What a node captures."""
    parts: list[Part] = []
    for number, turn in enumerate(hall.script()):
        samples = turn.samples.get(node, ())
        if node == "box":
            value = np.array([float(number)])
            samples = [Sample(DUST.name, number, turn.now_ns, value, Encoding.FLOAT)]
        parts.append(((turn.now_ns - hall.START_NS) / 1e9, samples))
    return parts
