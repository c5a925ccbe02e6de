"""What the placer does at each look: from what is, what should be, and the next step to it.

- A group that has no worker gets one where `place` says, at once.
- One worker at a time is moved or started again (`move`, `upgrade`, a machine that joined): it is
  asked to drain, which commits what it has and lets its scenes go, then its group has no worker.
  The next one is not touched before this one serves its scenes again.
- A worker that does not serve and will not where it is (`nodes.cluster.cut_off`) is taken away at
  once, if its group has another machine to go to.
- A worker whose state is ``given up`` stays where it is and is told of: the same start would fail
  the same way. ``upgrade`` tries it anew.
- What was asked of the cluster stands in the store until it is done, so a placer that dies is
  followed by one that goes on with it.

No step of it is needed for safety: whatever is placed twice, the leases let one of them write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import structlog

from nodes.cluster.cut_off import Bars, CutOff
from nodes.cluster.keeper import ENDED, GIVEN_UP, RUNNING, Kept
from nodes.cluster.placement import Machine, Need, place
from pipeline.config.addresses import host_of
from pipeline.store import Served, Sight, Wish, place_of

log = structlog.get_logger(__name__)

DOWN, MOVE, UPGRADE = "down", "move", "upgrade"
CANNOT_MOVE = "cannot move to "


class Cluster(Protocol):
    """What the placer asks of a cluster."""

    def machines(self) -> list[Machine]:
        """Machines that are there now."""
        ...

    def workers(self) -> dict[str, Kept]:
        """Workers by group, less those that are lost."""
        ...

    def start(self, group: str, machine: Machine) -> None:
        """Start the worker of a group."""
        ...

    def stop(self, group: str) -> None:
        """Ask the worker of a group to drain and end."""
        ...

    def remove(self, group: str) -> None:
        """Take away what is left of a worker that has ended."""
        ...


class Placer:
    """See the module.

    Args:
        groups: Scenes of each group.
        need: What a worker needs.
        cluster: Where workers run.
        now_s: Monotonic seconds.
    """

    def __init__(
        self,
        groups: Mapping[str, Sequence[str]],
        need: Need,
        cluster: Cluster,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._groups = groups
        self._now_s = now_s
        self._cut_off, self._bars = CutOff(groups), Bars()
        self._need = need
        self._cluster = cluster
        self._stopping: set[str] = set()
        self._asked: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._last: dict[str, str] = {}
        self.finished = False

    def look(
        self, wishes: Sequence[Wish], served: Mapping[str, Served]
    ) -> tuple[list[Sight], list[Wish]]:
        """See how it is and take the next steps.

        Args:
            wishes: What is asked for.
            served: Where each scene is served, by the store.

        Returns:
            How each group is, and the wishes that are fulfilled.
        """
        workers = self._without_ended(self._cluster.workers())
        machines = self._cluster.machines()  # after it: a machine may be lost with its worker
        self._remember(machines, served)
        if any(wish.kind == DOWN for wish in wishes):
            return self._down(machines, workers, wishes)
        for group in workers.keys() - self._groups.keys():
            self._stop(group)
        fulfilled = self._take_moves(wishes, machines)
        self._replace_cut_off(machines, workers, served)
        wanted = self._wanted(machines, workers, self._bars.now(self._now_s()))
        if not self._start_missing(machines, workers, wanted):
            fulfilled += self._next_change(workers, wanted, wishes, served)
        return self._sights(machines, workers, served), fulfilled

    def _without_ended(self, workers: dict[str, Kept]) -> dict[str, Kept]:
        for group, kept in list(workers.items()):
            if kept.state == ENDED:
                self._cluster.remove(group)
                del workers[group]
        self._stopping.intersection_update(workers)
        return workers

    def _remember(self, machines: Sequence[Machine], served: Mapping[str, Served]) -> None:
        """Where each group was last, as the store knows it and a fresh placer does not."""
        for group, scenes in self._groups.items():
            found = [served[scene].address for scene in scenes if scene in served]
            if found and found[0]:
                self._last[group] = host_of(found[0])
        there = {machine.id for machine in machines}
        self._asked = {group: at for group, at in self._asked.items() if at in there}

    def _down(
        self, machines: Sequence[Machine], workers: Mapping[str, Kept], wishes: Sequence[Wish]
    ) -> tuple[list[Sight], list[Wish]]:
        for group in workers:
            self._stop(group)
        self.finished = not workers
        done = list(wishes) if self.finished else []
        return self._sights(machines, workers, {}, "down", ""), done

    def _take_moves(self, wishes: Sequence[Wish], machines: Sequence[Machine]) -> list[Wish]:
        """Take over where groups are to be; what cannot be is told of the group, and forgotten."""
        taken = [wish for wish in wishes if wish.kind == MOVE]
        for wish in taken:
            self._refused.pop(wish.name, None)
            there = [m.id for m in machines if wish.value in (m.address, m.id)]
            if there and wish.name in self._groups:
                self._asked[wish.name] = there[0]
            else:
                log.error("cannot move", group=wish.name, to=wish.value)
                known = ", ".join(sorted({m.address for m in machines})) or "none"
                self._refused[wish.name] = f"{CANNOT_MOVE}{wish.value}, machines are: {known}"
        return taken

    def _wanted(
        self,
        machines: Sequence[Machine],
        workers: Mapping[str, Kept],
        barred: Collection[str],
    ) -> dict[str, str]:
        now = {g: k.machine for g, k in workers.items() if k.machine and g not in self._stopping}
        weights = {group: len(scenes) for group, scenes in self._groups.items()}
        return place(
            weights,
            machines,
            self._need,
            now=now,
            asked=self._asked,
            last=self._last,
            barred=barred,
        )

    def _replace_cut_off(
        self,
        machines: Sequence[Machine],
        workers: dict[str, Kept],
        served: Mapping[str, Served],
    ) -> None:
        """Take away workers that will not serve where they are and could elsewhere."""
        now_s = self._now_s()
        watched = {
            group: kept
            for group, kept in workers.items()
            if group in self._groups and group not in self._stopping and kept.state != GIVEN_UP
        }
        for group in self._cut_off.find(watched, served, now_s):
            here, detail = workers[group].machine, workers[group].detail
            rest = {name: kept for name, kept in workers.items() if name != group}
            barred = {*self._bars.now(now_s), here}
            if self._wanted(machines, rest, barred).get(group, here) == here:
                continue  # it has nowhere to go
            log.error("worker is cut off, replacing it", group=group, detail=detail)
            self._bars.put(here, now_s)
            self._asked.pop(group, None)
            self._cluster.remove(group)
            del workers[group]

    def _start_missing(
        self,
        machines: Sequence[Machine],
        workers: Mapping[str, Kept],
        wanted: Mapping[str, str],
    ) -> bool:
        """Start workers of groups that have none; whether there were any."""
        by_id = {machine.id: machine for machine in machines}
        missing = [group for group in wanted if group not in workers]
        for group in missing:
            self._cluster.start(group, by_id[wanted[group]])
        return bool(missing)

    def _next_change(
        self,
        workers: Mapping[str, Kept],
        wanted: Mapping[str, str],
        wishes: Sequence[Wish],
        served: Mapping[str, Served],
    ) -> list[Wish]:
        """Stop one worker that is to be moved or started again, if no other is on its way."""
        anew = {wish.name: wish for wish in wishes if wish.kind == UPGRADE}
        unknown = [wish for name, wish in anew.items() if name not in self._groups]
        if any(self._on_its_way(group, workers, served) for group in self._groups):
            return unknown
        for group, kept in workers.items():
            if group in anew or wanted.get(group, kept.machine) != kept.machine:
                log.info("moving" if group not in anew else "starting anew", group=group)
                self._stop(group)
                return [*unknown, anew[group]] if group in anew else unknown
        return unknown

    def _on_its_way(
        self, group: str, workers: Mapping[str, Kept], served: Mapping[str, Served]
    ) -> bool:
        kept = workers.get(group)
        if kept is None or kept.state == GIVEN_UP:
            return False
        return group in self._stopping or place_of(self._groups[group], served) is None

    def _stop(self, group: str) -> None:
        if group not in self._stopping:
            self._stopping.add(group)
            self._cluster.stop(group)

    def _sights(
        self,
        machines: Sequence[Machine],
        workers: Mapping[str, Kept],
        served: Mapping[str, Served],
        without: str = "unplaced",
        why: str = "no machine has room for it",
    ) -> list[Sight]:
        address = {machine.id: machine.address for machine in machines}
        sights = []
        for group, scenes in self._groups.items():
            kept = workers.get(group)
            if kept is None:
                sights.append(Sight(group, "", without, why))
                continue
            state = "stopping" if group in self._stopping else kept.state
            if state == RUNNING:
                state = "serving" if place_of(scenes, served) else "standing by"
            at = address.get(kept.machine, "")
            said = kept.detail or self._refused.get(group, "")
            sights.append(Sight(group, at, state, said, kept.restarts))
        return sights
