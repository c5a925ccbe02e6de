"""One deployment on a cluster of Ray: its processes on the hub, its commands, its recoveries.

Beside the hall a shed is watched: a scene with a node of its own, so another worker's.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from nodes.places import fusion_store
from pipeline.config import load_deployment
from pipeline.config.addresses import host_of
from pipeline.core.event import from_json
from pipeline.store import FusionStore, Served
from pipeline.transport.key_store import KeyStore, Role
from tests.crash import hall
from tests.recovery import RECOVERED_S, TIMERS_S
from tests.system.cluster_capture import STREAMS, UP_S, Capture
from tests.system.ray_site import DATA, HUB, SERVER, WAY, RaySite
from tests.waiting import wait_until

QUIET = 1.5
"""Processes that want a core, by core: beyond it the machine, not ours, is what takes the time."""
FLOWS_S = 2.5
NODES = "  box: {sources: [{type: csv_file, stream: dust, path: dust.csv}]}\n"
SHED = "  shed: {streams: [dust], sight: {enabled: false}}\n"
FUSION = """\
listen: tcp://0.0.0.0:7710
  alert: tcp://{hub}:7711
  store: postgresql+psycopg://fusewatch@${{{server}}}/{name}${{{way}}}
"""
REST = """
engine:
  kind: ray
  address: "{address}"
  directory: [tcp://{hub}:7712]
  cpus: 0.5
  evidence: {name}-evidence
alert:
  listen: tcp://0.0.0.0:7711
  sinks: [{{type: jsonl, path: {folder}/told.jsonl}}]
security: {{keys: {folder}/keys}}
data: ${{{data}}}/{name}
incidents: {{groups: []}}
"""


class ClusterRun:
    """See the module.

    Args:
        site: Where it runs.
        folder: For its file, its evidence and logs.
        name: Of the deployment and of its database.
        model: Model file of the hall.
    """

    def __init__(self, site: RaySite, folder: Path, name: str, model: Path) -> None:
        self.site = site
        self.folder = folder
        self.config = folder / f"{name}.yaml"
        self._name = name
        self._opened = ExitStack()
        known = {"hub": site.exchange.addresses[HUB], "name": name, "folder": folder}
        fusion = FUSION.format(server=SERVER, way=WAY, **known)
        text = hall.DEPLOYMENT.format(
            model=model, record=fusion, streams="", sight_s=hall.PATIENT_S
        )
        text = text.replace("name: d\n", f"name: {name}\n")
        text = text.replace("scenes:\n", f"{NODES}scenes:\n{SHED}")
        self.config.write_text(text + REST.format(address=site.address, data=DATA, **known))
        keys = KeyStore(folder / "keys")
        keys.create("fusion", Role.FUSION)
        keys.create("alert", Role.ALERT)
        for node in STREAMS:
            keys.create(node, Role.CAPTURE)

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            for what in (("alert",), ("cluster", "up")):
                self._start(opened, *what)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        self._opened.close()
        if kind is not None:
            for log in sorted(self.folder.glob("*.log")):
                print(f"{log.name}:\n{log.read_text()[-10_000:]}")
            print(f"workers:\n{self.site.log()[-20_000:]}")

    def store(self) -> FusionStore:
        """Its store, by a way that is never cut."""
        return fusion_store(load_deployment(self.config))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of ``fusewatch cluster`` on the hub, or of another if told so by ``:``."""
        command = arguments[0].split(":") if ":" in arguments[0] else ["cluster", arguments[0]]
        return subprocess.run(
            self._command(*command, *arguments[1:]),
            env=self.site.surroundings(HUB),
            capture_output=True,
            text=True,
            check=False,
            timeout=UP_S,
        )

    def heard(self) -> list[str]:
        """Keys of what the alert node was told and handed on."""
        lines = (self.folder / "told.jsonl").read_bytes().splitlines()
        return [from_json(line).key for line in lines]

    def worker(self, one: Served) -> tuple[str, int]:
        """On which machine the owner of a scene runs, and its process."""
        found = re.search(r"\(process (\d+)\)$", one.holder)
        assert found is not None
        at = {address: name for name, address in self.site.exchange.addresses.items()}
        return at[host_of(one.address)], int(found[1])

    def _start(self, opened: ExitStack, *what: str) -> None:
        with (self.folder / f"{'-'.join(what)}.log").open("ab") as log:
            running = subprocess.Popen(
                self._command(*what), stdout=log, stderr=log, env=self.site.surroundings(HUB)
            )

        def end() -> None:
            running.send_signal(signal.SIGTERM)
            try:
                running.wait(30)
            finally:
                running.kill()

        opened.callback(end)

    def _command(self, *words: str) -> list[str]:
        python = (sys.executable, "-P", "-m", "nodes.cli")
        at = len(words) if words[0] == "alert" else 2
        return self.site.hub.command(*python, *words[:at], str(self.config), *words[at:])


class Fault:
    """Something is about to happen to a scene that is served; how long it takes to recover is told.

    Args:
        what: In words.
        store: The store.
        capture: Captures on, before and meanwhile, so that there is something to fuse.
        start_s: What the first start of the workers took.
    """

    def __init__(self, what: str, store: FusionStore, capture: Capture, start_s: float) -> None:
        self._what = what
        self._store, self._capture, self._start_s = store, capture, start_s
        self.before = lives(store)
        before_s = capture.captured_s
        capture.until(before_s + FLOWS_S)
        wait_until(lambda: capture.captured_s > before_s, UP_S)
        self._began_s = time.monotonic()

    def recovered(self, *scenes: str) -> Mapping[str, Served]:
        """Wait until another life fuses one of these scenes, and has committed a window; all lives.

        Raises:
            AssertionError: It took too long.
        """
        again: list[str] = []

        def is_back() -> bool:
            now = lives(self._store)
            again[:] = [s for s in scenes if s in now and now[s].token > self.before[s].token]
            return bool(again)

        wait_until(is_back, UP_S)
        back_s = time.monotonic() - self._began_s
        scene, committed = again[0], next_window(self._store, again[0])
        self._capture.until(self._capture.captured_s + FLOWS_S)
        wait_until(lambda: next_window(self._store, scene) > committed, UP_S)
        took_s = time.monotonic() - self._began_s
        load, allowed_s = os.getloadavg()[0], RECOVERED_S
        if load > QUIET * (os.cpu_count() or 1):
            allowed_s = max(RECOVERED_S, TIMERS_S + self._start_s)
        print(
            f"{self._what}: {scene} is served again after {back_s:.1f} s, its first window scored "
            f"after {took_s:.1f} s of {allowed_s:.0f} s; load {load:.1f}, the first start took "
            f"{self._start_s:.1f} s"
        )
        assert took_s <= allowed_s
        return lives(self._store)


def lives(store: FusionStore) -> dict[str, Served]:
    """Where each scene that is fused now is fused."""
    found = store.directory.served()
    return {name: one for name, one in found.items() if one.live and one.address}


def tokens(store: FusionStore) -> dict[str, int]:
    """Token of each scene that is fused now."""
    return {name: one.token for name, one in lives(store).items()}


def next_window(store: FusionStore, scene: str) -> int:
    """How far a scene is committed."""
    found = store.checkpoint(scene)
    return found.next_window if found is not None else 0


def first_start_s(store: FusionStore, *scenes: str) -> float:
    """Wait until all of these are served for the first time; seconds."""
    began_s = time.monotonic()
    wait_until(lambda: lives(store).keys() >= {*scenes}, UP_S)
    return time.monotonic() - began_s
