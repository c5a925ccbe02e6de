"""One deployment on a cluster of Ray: its workers, its commands, and the capture nodes of the hall.

Beside the hall a shed may be watched: a scene with a node of its own, so another worker's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from nodes.links import worker_finder
from nodes.places import fusion_store
from pipeline.config import load_deployment
from pipeline.core.clock import NodeClock
from pipeline.core.ledger import Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.store import FusionStore, Served
from pipeline.store.leases import LEASE_S
from pipeline.transport.sender import Sender
from tests.crash import hall
from tests.system.ports import free_port
from tests.system.ray_site import DATA, DATABASE, RaySite, pid_in
from tests.waiting import wait_until

UP_S = 120.0
RECOVERED_S = 30.0
"""What a recovery may take; or the lease and twice a start, where others load the machine."""
SPEED = 1.0
DUST = StreamInfo("dust", Modality.SENSOR, 2.0, (1,), "float64")
SHED_NODE = "  box: {sources: [{type: csv_file, stream: dust, path: dust.csv}]}\n"
SHED = "  shed: {streams: [dust], sight: {enabled: false}}\n"
ENGINE = """
engine:
  kind: ray
  address: "{address}"
  directory: [tcp://127.0.0.1:{port}]
  cpus: {cpus}
  evidence: {name}-evidence
data: ${{{data}}}/{name}
incidents: {{groups: []}}
"""


class ClusterRun:
    """See the module.

    Args:
        site: Where it runs.
        folder: For its file, its evidence and the log of ``cluster up``.
        name: Of the deployment and of its database.
        model: Model file of the hall.
        shed: Whether the shed is watched too; workers are then two to a node.
    """

    def __init__(
        self, site: RaySite, folder: Path, name: str, model: Path, *, shed: bool = False
    ) -> None:
        self.site = site
        self.config = folder / f"{name}.yaml"
        self._name = name
        self._log = folder / f"{name}-up.log"
        self._up: subprocess.Popen[bytes] | None = None
        store = f"postgresql+psycopg://fusewatch@127.0.0.1:${{{DATABASE}}}/{name}"
        fusion = f"listen: tcp://127.0.0.1:{free_port()}\n  store: {store}"
        text = hall.DEPLOYMENT.format(model=model, record=fusion, streams="")
        text = text.replace("name: d\n", f"name: {name}\n")
        if shed:
            text = text.replace("scenes:\n", f"{SHED_NODE}scenes:\n{SHED}")
        port, cpus = free_port(), 0.5 if shed else 1.0
        made = ENGINE.format(address=site.address, port=port, cpus=cpus, name=name, data=DATA)
        self.config.write_text(text + made)

    def __enter__(self) -> ClusterRun:
        with self._log.open("ab") as log:
            self._up = subprocess.Popen(
                [sys.executable, "-P", "-m", "nodes.cli", "cluster", "up", str(self.config)],
                stdout=log,
                stderr=log,
                env={**os.environ, "FUSEWATCH_LOG_FORMAT": "json"},
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._up is not None and self._up.poll() is None:
            self._up.send_signal(signal.SIGTERM)
            self._up.wait(30)
        if error is not None:
            print(self._log.read_text()[-20_000:])

    def store(self) -> FusionStore:
        """Its store, by a line that is never cut."""
        return fusion_store(load_deployment(self.config))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of ``fusewatch cluster``, or of another if it is told so by ``:``."""
        command = arguments[0].split(":") if ":" in arguments[0] else ["cluster", arguments[0]]
        return subprocess.run(
            [sys.executable, "-P", "-m", "nodes.cli", *command, str(self.config), *arguments[1:]],
            capture_output=True,
            text=True,
            check=False,
            timeout=UP_S,
            env=dict(os.environ),
        )

    def worker(self, group: str) -> tuple[str, int]:
        """On which node the worker of a group runs, and its process; waits for it."""
        found: list[tuple[str, int]] = []

        def is_there() -> bool:
            found[:] = [one for one in self._workers(group) if one[0] in self.site.nodes]
            return bool(found)

        wait_until(is_there, UP_S)
        return found[0]

    def _workers(self, group: str) -> Iterator[tuple[str, int]]:
        place = f"*/{self._name}/groups/{group}/run/fusion-{group}.json"
        for path in self.site.folder.glob(place):
            pid = pid_in(path)
            if pid:
                yield path.relative_to(self.site.folder).parts[0], pid


class Capture:
    """The hall's capture nodes, and the shed's, which ask the directory for their worker.

    Args:
        config: The deployment.
        hold_s: Here it stops until `go_on`, seconds into the script; None: nowhere.
    """

    def __init__(self, config: Path, hold_s: float | None = None) -> None:
        deployment = load_deployment(config)
        self.streams: Mapping[str, Sequence[StreamInfo]] = (
            {**hall.NODES, "box": (DUST,)} if "box" in deployment.nodes else hall.NODES
        )
        self.ledgers = {node: Ledger() for node in self.streams}
        self.captured_s = 0.0
        self._hold_s = hold_s
        self._released = threading.Event()
        clock = NodeClock()
        self.senders = {
            node: Sender(
                node,
                deployment.engine.directory[0],
                clock=clock,
                ledger=ledger,
                clock_sync=False,
                finder=worker_finder(deployment, node),
            )
            for node, ledger in self.ledgers.items()
        }
        for node, streams in self.streams.items():
            for info in streams:
                self.senders[node].add_stream(info)
        self._thread = threading.Thread(target=self._capture, daemon=True)
        self._thread.start()

    def go_on(self) -> None:
        """Capture what is left."""
        self._released.set()

    @property
    def goes_on(self) -> bool:
        """Whether samples come."""
        held = self._hold_s is not None and self.captured_s >= self._hold_s
        return self._thread.is_alive() and (not held or self._released.is_set())

    def wait_for(self, second: float) -> None:
        """Until so much was captured."""
        wait_until(lambda: self.captured_s >= second, UP_S)

    def end(self) -> None:
        """See that all was captured and is committed."""
        self._thread.join()
        for node, sender in self.senders.items():
            for info in self.streams[node]:
                sender.end(info.name)
        for sender in self.senders.values():
            assert sender.drain(UP_S)
            sender.close()
        for ledger in self.ledgers.values():
            for name, account in ledger.snapshot().items():
                assert account.captured == account.delivered, name
                assert account.missing == 0

    def _capture(self) -> None:
        pause, began_s = threading.Event(), time.monotonic()
        for number, turn in enumerate(hall.script()):
            if self._hold_s is not None and self.captured_s >= self._hold_s:
                self._released.wait(UP_S)
            self.captured_s = (turn.now_ns - hall.START_NS) / 1e9
            pause.wait(max(0.0, began_s + self.captured_s / SPEED - time.monotonic()))
            for node, samples in turn.samples.items():
                for sample in samples:
                    self.senders[node].send(sample)
            if "box" in self.senders:
                value = np.array([float(number)])
                dust = Sample(DUST.name, number, turn.now_ns, value, Encoding.FLOAT)
                self.senders["box"].send(dust)


def lives(store: FusionStore) -> dict[str, Served]:
    """Where each scene that is fused now is fused."""
    found = store.directory.served()
    return {name: one for name, one in found.items() if one.live and one.address}


def tokens(store: FusionStore) -> dict[str, int]:
    """Token of each scene that is fused now."""
    return {name: one.token for name, one in lives(store).items()}


def recovered(
    store: FusionStore, before: dict[str, Served], what: str, start_s: float, capture: Capture
) -> None:
    """Wait until another life fuses one of the scenes, and commits; how long that took is told."""
    began_s = time.monotonic()
    again: list[str] = []

    def is_back() -> bool:
        now = lives(store)
        again[:] = [n for n, one in before.items() if n in now and now[n].token > one.token]
        return bool(again)

    wait_until(is_back, UP_S)
    back_s = time.monotonic() - began_s
    scene, committed = again[0], next_window(store, again[0])
    # What was committed in the moment between is no matter; without samples nothing can be.
    wait_until(lambda: next_window(store, scene) > committed or not capture.goes_on, UP_S)
    took_s = time.monotonic() - began_s
    print(
        f"{what}: {scene} is fused again after {back_s:.1f} s, and commits after {took_s:.1f} s; "
        f"the first start took {start_s:.1f} s"
    )
    assert took_s <= max(RECOVERED_S, LEASE_S + 2 * start_s + 3)


def next_window(store: FusionStore, scene: str) -> int:
    """How far a scene is committed."""
    found = store.checkpoint(scene)
    return found.next_window if found is not None else 0


def first_start_s(store: FusionStore, *scenes: str) -> float:
    """Wait until all of these are served for the first time; seconds."""
    began_s = time.monotonic()
    wait_until(lambda: lives(store).keys() >= {*scenes}, UP_S)
    return time.monotonic() - began_s
