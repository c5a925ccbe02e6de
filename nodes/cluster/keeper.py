"""Keeps the worker of one group running on one machine: an actor of Ray's, and nothing goes by it.

The worker is the fusion node's own process, kept running as ``fusewatch run`` keeps it: started
again with backoff for as long as it fails, given up when the same start would fail the same way
(a deployment file that is wrong, a model that is missing). When the actor's process dies, with its
machine or alone, the worker notices and drains, see `nodes.runner`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from nodes.children import FUSION, Child, RestartPolicy, fusewatch_command
from nodes.cluster.narrowing import worker_name
from nodes.supervisor import Supervisor

DRAIN_S = 15.0
STARTING, RUNNING, GIVEN_UP, ENDED = "starting", "running", "given up", "ended"


def for_ever() -> RestartPolicy:
    """Starts again for as long as it takes: a cluster that heals must find its processes there."""
    return RestartPolicy(limit=1_000_000, longest_s=4.0)


@dataclass(frozen=True, slots=True)
class Kept:
    """How a worker is.

    Attributes:
        machine: Id of the machine that it was placed on.
        state: As `Supervisor` tells; or `STARTING`: its actor has not answered yet; or `ENDED`: it
            was asked to end and has.
        detail: How it last ended, in words; empty: it never did.
        restarts: How often it was started again.
        pid: Its process; 0: none now.
    """

    machine: str
    state: str
    detail: str
    restarts: int
    pid: int


class Keeper:
    """See the module.

    Args:
        config: Path of the deployment file, the same on every machine.
        group: The group.
        machine: Id of the machine.
        host: Address of the machine for others.
    """

    def __init__(self, config: str, group: str, machine: str, host: str) -> None:
        self._name = worker_name(group)
        self._machine = machine
        self._stopping = False
        command = fusewatch_command("fusion", config, "--group", group, "--host", host)
        self._supervisor = Supervisor(
            [Child(self._name, command, FUSION)],
            policy=for_ever,
            drain_s=DRAIN_S,
        )
        self._thread = threading.Thread(target=self._supervisor.run, daemon=True)
        self._thread.start()

    def look(self) -> Kept:
        """How the worker is."""
        supervisor, name = self._supervisor, self._name
        state = supervisor.states()[name]
        if not self._thread.is_alive() and state != GIVEN_UP:
            state = ENDED
        detail, restarts = supervisor.last_ends()[name], supervisor.restarts()[name]
        return Kept(self._machine, state, detail, restarts, supervisor.pids().get(name, 0))

    def stop(self) -> None:
        """Let the worker drain and end; `look` tells when it has."""
        if not self._stopping:  # a second time would not let it drain
            self._stopping = True
            self._supervisor.stop()

    def join(self, timeout_s: float) -> bool:
        """Wait for the worker to have ended; whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()
