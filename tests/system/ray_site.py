"""A cluster of Ray on one machine, each of its nodes a machine of its own to the deployment.

A node has an address (of the loopback), a data folder and a line to the database of its own.
Processes of one folder keep apart by its lock, those of two by their leases alone.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.requirements import require_module
from tests.system.cut_line import CutLine
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
ENDED_S = 60.0
STORE_BYTES = 80 << 20
DATA, DATABASE = "CLUSTER_TEST_DATA", "CLUSTER_TEST_DATABASE"
HEAD = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}


class RaySite:
    """Ray's head, which takes no worker, and nodes that take as many as they have CPUs for.

    Args:
        folder: For the nodes' data.
        database: Port of the PostgreSQL server.
    """

    def __init__(self, folder: Path, database: int) -> None:
        require_module("ray")
        self.folder = folder
        self.nodes: dict[str, Any] = {}
        self.addresses: dict[str, str] = {}
        self.lines: dict[str, CutLine] = {}
        self._database = database
        self._cluster: Any = None
        self._head_port = 0

    def __enter__(self) -> RaySite:
        from ray.cluster_utils import Cluster

        os.environ |= {DATA: str(self.folder / "head"), DATABASE: str(self._database)}
        os.environ |= {"RAY_DISABLE_IMPORT_WARNING": "1", "RAY_worker_niceness": "0"}
        before = os.environ.get("PYTHONPATH", "")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), before)))
        self._cluster = Cluster(initialize_head=True, head_node_args=HEAD)
        self._head_port = int(self.address.rpartition(":")[2])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._cluster.shutdown()
        self._end_workers()
        for line in self.lines.values():
            line.__exit__(None, None, None)
        for name in (DATA, DATABASE):
            os.environ.pop(name)

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add(self, name: str) -> None:
        """A node joins, or comes back at the address and with the data that it had."""
        if name not in self.lines:
            self.lines[name] = CutLine(self._database).__enter__()
            self.addresses[name] = f"127.0.0.{2 + len(self.addresses)}"
        own = {DATA: str(self.folder / name), DATABASE: str(self.lines[name].port)}
        self.nodes[name] = self._cluster.add_node(
            num_cpus=1,
            node_ip_address=self.addresses[name],
            object_store_memory=STORE_BYTES,
            env_vars=own,
            wait=True,
        )

    def remove(self, name: str) -> None:
        """A node is lost: its processes are killed."""
        self._cluster.remove_node(self.nodes.pop(name), allow_graceful=False)

    def lose_head(self) -> None:
        """The head is lost; the nodes are left to themselves."""
        self._cluster.remove_node(self._cluster.head_node, allow_graceful=False)

    def restart_head(self) -> None:
        """A head is back at the same address; of the nodes it knows nothing."""
        self._cluster.add_node(**HEAD, gcs_server_port=self._head_port)

    def rejoin(self, name: str) -> None:
        """What a node's service does when Ray's processes there ended: start them again."""
        self.remove(name)
        self.add(name)

    def _end_workers(self) -> None:
        """See that every worker ends by itself, as its keeper has; one that does not is killed."""
        try:
            wait_until(lambda: not self._workers(), ENDED_S)
        finally:
            for pid in self._workers():
                os.kill(pid, signal.SIGKILL)

    def _workers(self) -> list[int]:
        files = self.folder.glob("*/*/groups/*/run/fusion-*.json")
        return [pid for path in files if is_running(pid := pid_in(path))]


def pid_in(run_file: Path) -> int:
    """The process that a run file is of, if it runs; else 0."""
    try:
        pid = int(json.loads(run_file.read_bytes())["pid"])
        os.kill(pid, 0)
    except (OSError, ValueError):
        return 0
    return pid


def is_running(pid: int) -> bool:
    """Whether a process runs, or is stopped, and is not merely unburied."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
