"""A cluster of Ray on one machine, each of its nodes with a data folder of its own.

The folder is what makes a node another machine for a lease: processes of one folder keep apart by
its lock, those of two by the lease alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.requirements import require_module
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
STORE_BYTES = 80 << 20
UP_S = 120.0
DATA = "CLUSTER_TEST_DATA"
HEAD = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}


class RaySite:
    """Ray's head, which takes no worker, and nodes that take one each.

    Args:
        folder: For the nodes' data, and the log of ``cluster up``.
        config: The deployment file; ``data`` in it is ``${CLUSTER_TEST_DATA}``.
    """

    def __init__(self, folder: Path, config: Path) -> None:
        require_module("ray")
        self.folder = folder
        self.config = config
        self.log = folder / "up.log"
        self.nodes: dict[str, Any] = {}
        self._cluster: Any = None
        self._up: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RaySite:
        from ray.cluster_utils import Cluster

        os.environ[DATA] = str(self.folder / "head")
        os.environ["RAY_DISABLE_IMPORT_WARNING"] = "1"
        before = os.environ.get("PYTHONPATH", "")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), before)))
        self._cluster = Cluster(initialize_head=True, head_node_args=HEAD)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            if self._up is not None and self._up.poll() is None:
                self._up.send_signal(signal.SIGTERM)
                self._up.wait(30)
        finally:
            self._cluster.shutdown()
            os.environ.pop(DATA)
            for name, pid in self._workers():
                print(f"a worker of {name} was left behind: {pid}")
                os.kill(pid, signal.SIGKILL)

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add(self, name: str) -> None:
        """A node joins."""
        data = self.folder / name
        self.nodes[name] = self._cluster.add_node(
            num_cpus=1, object_store_memory=STORE_BYTES, env_vars={DATA: str(data)}, wait=True
        )

    def remove(self, name: str) -> None:
        """A node is lost: its processes are killed."""
        self._cluster.remove_node(self.nodes.pop(name), allow_graceful=False)

    def up(self) -> None:
        """``fusewatch cluster up``."""
        with self.log.open("ab") as log:
            self._up = subprocess.Popen(
                [sys.executable, "-P", "-m", "nodes.cli", "cluster", "up", str(self.config)],
                stdout=log,
                stderr=log,
                env={**os.environ, "FUSEWATCH_LOG_FORMAT": "json"},
            )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of ``fusewatch cluster``."""
        command = [sys.executable, "-P", "-m", "nodes.cli", "cluster", *arguments[:1]]
        return subprocess.run(
            [*command, str(self.config), *arguments[1:]],
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
            found[:] = [one for one in self._workers(group) if one[0] in self.nodes]
            return bool(found)

        wait_until(is_there, UP_S)
        return found[0]

    def restart(self) -> None:
        """The whole of Ray is lost, and comes back at the same address, nodes and all."""
        from ray.cluster_utils import Cluster

        names, port = list(self.nodes), int(self.address.rpartition(":")[2])
        self.nodes.clear()
        self._cluster.shutdown()
        again = {**HEAD, "gcs_server_port": port}
        self._cluster = Cluster(initialize_head=True, head_node_args=again)
        for name in names:
            self.add(name)

    def _workers(self, group: str = "*") -> Iterator[tuple[str, int]]:
        for path in self.folder.glob(f"*/groups/{group}/run/fusion-{group}.json"):
            try:
                pid = json.loads(path.read_bytes())["pid"]
                os.kill(pid, 0)
            except (OSError, ValueError):
                continue
            yield path.relative_to(self.folder).parts[0], pid
