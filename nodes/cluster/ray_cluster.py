"""The cluster as Ray sees it: machines, and an actor on one of them for each worker.

The actors are detached and found by their names, so a placer that is started again finds the
workers of the one before. Each life of a worker has an actor of its own name: that of one on a
machine that was lost stays taken until Ray is sure of the loss, which takes it longer than us.

What they are asked takes moments, and a look waits no longer than `ANSWER_S`: who answers later is
heard at the next one. One that cannot be reached for `LOST_S` is lost, and its machine
gets no worker for `SUSPECT_S`; one that can, but does not answer for `SILENT_S`, is ended. Should a
worker that was lost live on, it does no harm: another has its lease, and Ray ends it when it can.
"""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import structlog

from nodes.children import child_environment
from nodes.cluster.keeper import STARTING, Keeper, Kept
from nodes.cluster.placement import Machine, Need
from pipeline.core.errors import ClusterError, DependencyMissing
from pipeline.core.extras import installing

log = structlog.get_logger(__name__)

NAMESPACE = "fusewatch"
ANSWER_S, FIRST_ANSWER_S = 0.5, 2.0
LOST_S, SUSPECT_S = 3.0, 30.0
SILENT_S, STARTING_S = 20.0, 90.0

Actor: TypeAlias = Any  # Ray's handles have no types


@dataclass(slots=True)
class _Known:
    """A worker's actor, and when and what it last said."""

    actor: Actor
    machine: str
    heard_s: float
    last: Kept | None = None
    asked: Any = field(default=None)

    @property
    def is_starting(self) -> bool:
        return self.last is None or self.last.state == STARTING


def require_ray() -> ModuleType:
    """Ray itself, which takes seconds to import.

    Raises:
        DependencyMissing: It is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise DependencyMissing("Ray is not installed", fix=installing("cluster")) from error
    return ray


class RayCluster:
    """A connection to a Ray cluster. All methods belong to one thread.

    Args:
        address: Of the cluster; ``auto``: the one of this machine.
        deployment: Name of the deployment.
        config: Path of its file, the same on every machine.
        need: What a worker needs.
        now_s: Monotonic seconds.

    Raises:
        DependencyMissing: Ray is not installed.
        ClusterError: There is no cluster at that address.
    """

    def __init__(
        self,
        address: str,
        deployment: str,
        config: Path,
        need: Need,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ray = ray = require_ray()
        self._prefix = f"{deployment}:"
        self._config = str(config.resolve())
        self._need = need
        self._now_s = now_s
        self._known: dict[str, _Known] = {}
        self._suspect_until_s: dict[str, float] = {}
        stops = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            ray.init(
                address=address,
                namespace=NAMESPACE,
                log_to_driver=False,
                configure_logging=False,
            )
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            raise ClusterError(
                f"no Ray cluster answers: {error}",
                where=address,
                fix="start it with 'ray start --head' here and 'ray start --address=...' elsewhere",
            ) from error
        for number, action in stops.items():  # Ray has put its own in their place
            signal.signal(number, action)
        self._find_workers()

    def machines(self) -> list[Machine]:
        """Machines that are there now, less those that just lost a worker with their link."""
        found, now_s = [], self._now_s()
        for node in self._ray.nodes():
            resources = node["Resources"]
            if node["Alive"] and now_s >= self._suspect_until_s.get(node["NodeID"], 0.0):
                cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
                found.append(Machine(node["NodeID"], node["NodeManagerAddress"], cpus, gpus))
        return found

    def workers(self) -> dict[str, Kept]:
        """Workers by group, as they are now; those that are lost are no more among them."""
        nodes = self._ray.nodes()
        there = {node["NodeID"] for node in nodes if node["Alive"]}
        for known in self._known.values():
            known.asked = known.asked or known.actor.look.remote()
        asked = [known.asked for known in self._known.values()]
        if asked:
            self._ray.wait(asked, num_returns=len(asked), timeout=ANSWER_S)
        for group, known in list(self._known.items()):
            self._hear(group, known, there)
        return {group: known.last for group, known in self._known.items() if known.last}

    def start(self, group: str, machine: Machine) -> None:
        """Start the worker of a group on a machine."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        remote = self._ray.remote(Keeper).options(
            name=f"{self._prefix}{group}:{secrets.token_hex(4)}",
            lifetime="detached",
            max_restarts=0,
            max_concurrency=4,
            num_cpus=self._need.cpus,
            num_gpus=self._need.gpus,
            scheduling_strategy=NodeAffinitySchedulingStrategy(machine.id, soft=False),
            runtime_env={"env_vars": _environment()},
        )
        actor = remote.remote(self._config, group, machine.id, machine.address)
        first = Kept(machine.id, STARTING, "", 0, 0)
        self._known[group] = _Known(actor, machine.id, self._now_s(), first)
        log.info("worker placed", group=group, machine=machine.address)

    def stop(self, group: str) -> None:
        """Ask the worker of a group to drain and end."""
        if group in self._known:
            self._known[group].actor.stop.remote()

    def remove(self, group: str) -> None:
        """Take away the actor of a worker that has ended."""
        known = self._known.pop(group, None)
        if known is not None:
            self._ray.kill(known.actor)

    def close(self) -> None:
        """Leave the cluster; the workers go on."""
        self._ray.shutdown()

    def _find_workers(self) -> None:
        """Take over the workers of the placer before; of two of a group the one that answers."""
        for name in self._ray.util.list_named_actors():
            if not name.startswith(self._prefix):
                continue
            group = name.removeprefix(self._prefix).rpartition(":")[0]
            known = _Known(self._ray.get_actor(name), "", self._now_s())
            try:
                known.last = self._ray.get(known.actor.look.remote(), timeout=FIRST_ANSWER_S)
            except (self._ray.exceptions.RayError, TimeoutError) as error:
                log.warning("worker does not answer, ending it", group=group, error=_first(error))
            if known.last is None or group in self._known:
                self._ray.kill(known.actor)
                continue
            known.machine = known.last.machine
            self._known[group] = known
        if self._known:
            log.info("workers found", groups=sorted(self._known))

    def _hear(self, group: str, known: _Known, there: set[str]) -> None:
        """Take in what an actor answered, if it did; forget one that is lost."""
        errors = self._ray.exceptions
        silent_s = self._now_s() - known.heard_s
        ready, _ = self._ray.wait([known.asked], timeout=0)
        try:
            if ready:
                answer, known.asked = known.asked, None
                known.last = self._ray.get(answer)
                known.heard_s = self._now_s()
                return
        except errors.ActorUnavailableError as error:
            if silent_s > LOST_S:
                log.warning("worker lost with its link", group=group, error=_first(error))
                self._suspect_until_s[known.machine] = self._now_s() + SUSPECT_S
                self.remove(group)
            return
        except errors.RayError as error:
            log.warning("worker lost", group=group, machine=known.machine, error=_first(error))
            del self._known[group]
            return
        if known.machine not in there:
            log.warning("worker lost with its machine", group=group, machine=known.machine)
            self.remove(group)
        elif silent_s > (STARTING_S if known.is_starting else SILENT_S):
            log.error("worker does not answer, ending it", group=group, machine=known.machine)
            self.remove(group)


def _first(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _environment() -> dict[str, str]:
    """What a keeper's process needs: our packages, where they are not installed, and time to drain.

    Ray would kill what a process started the moment that it ends; ours notice and drain.
    """
    path = child_environment().get("PYTHONPATH", "")
    keep = {"RAY_kill_child_processes_on_worker_exit": "0"}
    return {**keep, "PYTHONPATH": path} if path else keep
