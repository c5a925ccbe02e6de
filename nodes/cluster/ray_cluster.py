"""The cluster as Ray sees it: machines, and an actor on one of them for each worker.

The actors are detached and found by their names, so a placer that is started again finds the
workers of the one before. What they are asked takes moments; one that does not answer for
`SILENT_S` though its machine is there is ended, and its worker with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import structlog

from nodes.children import child_environment
from nodes.cluster.keeper import STARTING, Keeper, Kept
from nodes.cluster.placement import Machine, Need
from pipeline.core.errors import ClusterError, DependencyMissing

log = structlog.get_logger(__name__)

NAMESPACE = "fusewatch"
ANSWER_S = 2.0
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
        try:
            import ray
        except ModuleNotFoundError as error:
            raise DependencyMissing(
                "Ray is not installed", fix="pip install 'fusewatch[cluster]'"
            ) from error
        self._ray = ray
        self._prefix = f"{deployment}:"
        self._config = str(config.resolve())
        self._need = need
        self._now_s = now_s
        self._known: dict[str, _Known] = {}
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
        self._find_workers()

    def machines(self) -> list[Machine]:
        """Machines that are there now."""
        found = []
        for node in self._ray.nodes():  # type: ignore[no-untyped-call]
            resources = node["Resources"]
            if node["Alive"]:
                cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
                found.append(Machine(node["NodeID"], node["NodeManagerAddress"], cpus, gpus))
        return found

    def workers(self, machines: Sequence[Machine]) -> dict[str, Kept]:
        """Workers by group, as they are now; those that are lost are no more among them."""
        there = {machine.id for machine in machines}
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
            name=self._prefix + group,
            lifetime="detached",
            max_restarts=0,
            max_concurrency=4,
            num_cpus=self._need.cpus,
            num_gpus=self._need.gpus,
            scheduling_strategy=NodeAffinitySchedulingStrategy(machine.id, soft=False),
            runtime_env={"env_vars": _environment()},
        )
        try:
            actor = remote.remote(self._config, group, machine.id, machine.address)
        except ValueError as error:  # its name is still taken by one that is ending
            log.info("not started yet", group=group, because=str(error))
            return
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
        for name in self._ray.util.list_named_actors():
            if name.startswith(self._prefix):
                actor = self._ray.get_actor(name)
                self._known[name.removeprefix(self._prefix)] = _Known(actor, "", self._now_s())
        if self._known:
            log.info("workers found", groups=sorted(self._known))

    def _hear(self, group: str, known: _Known, there: set[str]) -> None:
        """Take in what an actor answered, if it did; forget one that is lost."""
        ready, _ = self._ray.wait([known.asked], timeout=0)
        try:
            if ready:
                known.last = self._ray.get(known.asked)
                known.asked, known.heard_s = None, self._now_s()
                known.machine = known.last.machine
        except self._ray.exceptions.RayError as error:
            log.warning("worker lost", group=group, machine=known.machine, error=_first(error))
            del self._known[group]
            return
        if known.machine and known.machine not in there:
            log.warning("worker lost with its machine", group=group, machine=known.machine)
            self.remove(group)
        elif self._now_s() - known.heard_s > (STARTING_S if known.is_starting else SILENT_S):
            log.error("worker does not answer, ending it", group=group, machine=known.machine)
            self.remove(group)


def _first(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _environment() -> dict[str, str]:
    """Where a keeper finds our packages, when they are not installed where it runs."""
    path = child_environment().get("PYTHONPATH", "")
    return {"PYTHONPATH": path} if path else {}
