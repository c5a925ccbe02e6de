"""Ray's own cluster utility in a process of its own, its nodes in network namespaces.

Run on the machine of Ray's head. Takes an order a line from the standard input, answers each with
a line of JSON, and takes everything down when the input ends. What a thread starts is in the
namespace that the thread is in, so that is changed while the processes of a node are started.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray.cluster_utils import Cluster

STORE_BYTES = 80 << 20
HEAD = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
_CLONE_NEWNET = 0x40000000  # os.setns comes with Python 3.12
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Have this thread, and what it starts, in a namespace."""
    with open("/proc/thread-self/ns/net") as here, open(f"/run/netns/{namespace}") as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(here.fileno())


def _enter(file: int) -> None:
    if _LIBC.setns(file, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "the namespace cannot be entered")


class Nodes:
    """Ray's head, which takes no worker, and nodes that take as many as they have CPUs for.

    Args:
        address: Of the head's machine.
    """

    def __init__(self, address: str) -> None:
        self._head = {**HEAD, "node_ip_address": address}
        self._cluster = Cluster(initialize_head=True, head_node_args=self._head)
        self._port = int(self._cluster.address.rpartition(":")[2])
        self._nodes: dict[str, Any] = {}
        self._sessions = [self._session()]

    def about(self) -> dict[str, object]:
        """Address of the head, and Ray's folders."""
        return {"address": self._cluster.address, "sessions": list(self._sessions)}

    def add(self, name: str, namespace: str, address: str, env: Mapping[str, str]) -> None:
        """A node joins."""
        with inside(namespace):
            self._nodes[name] = self._cluster.add_node(
                num_cpus=1,
                node_ip_address=address,
                object_store_memory=STORE_BYTES,
                env_vars=dict(env),
                wait=True,
            )

    def remove(self, name: str) -> None:
        """A node is lost: its processes are killed."""
        self._cluster.remove_node(self._nodes.pop(name), allow_graceful=False)

    def lose_head(self) -> None:
        """The head is lost; the nodes are left to themselves."""
        self._cluster.remove_node(self._cluster.head_node, allow_graceful=False)

    def restart_head(self) -> None:
        """A head is back at the same address; of the nodes it knows nothing."""
        self._cluster.add_node(**self._head, gcs_server_port=self._port)
        self._sessions.append(self._session())

    def _session(self) -> str:
        return str(self._cluster.head_node.get_session_dir_path())

    def end(self) -> None:
        """Take everything down, logs as well."""
        self._cluster.shutdown()
        for session in self._sessions:
            shutil.rmtree(session, ignore_errors=True)


def main(address: str) -> None:
    """Carry orders out until there are no more."""
    with os.fdopen(os.dup(1), "w", buffering=1) as answers:
        os.dup2(2, 1)  # what Ray prints is no answer
        nodes = Nodes(address)
        try:
            for line in sys.stdin:
                order = json.loads(line)
                answer = getattr(nodes, order.pop("do"))(**order)
                print(json.dumps(answer), file=answers)
        finally:
            nodes.end()


if __name__ == "__main__":
    main(sys.argv[1])
