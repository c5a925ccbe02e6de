"""Which machine fuses which group of scenes: a function of what there is, with few moves.

1. A group stays where it is while its machine is there, unless it was asked to be elsewhere.
2. A group that is nowhere goes to where it last was, if that is there and has room; otherwise to
   the machine with the least load that has room. The heaviest choose first.
   A machine that is barred is the last resort; groups that are there stay.
3. While moving one group would leave its machine, and the one it goes to, both with less load than
   its machine has now, the move that leaves the least is made: so a machine that joins is given
   its share, and machines that are level are left alone.

Load is the scenes on a machine for each CPU it has, or for each GPU where workers use one. A group
that fits nowhere is in no answer: it waits for a machine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

_EVEN = 1e-9


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of the cluster.

    Attributes:
        id: Its id, for as long as it is part of the cluster.
        address: Address by which others reach it.
        cpus: CPUs it offers.
        gpus: GPUs it offers.
    """

    id: str
    address: str
    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class Need:
    """What each worker needs.

    Attributes:
        cpus: CPUs.
        gpus: GPUs, or a part of one.
    """

    cpus: float = 1.0
    gpus: float = 0.0

    def room_on(self, machine: Machine) -> int:
        """How many workers a machine takes."""
        by_gpu = int((machine.gpus + _EVEN) / self.gpus) if self.gpus else None
        by_cpu = int((machine.cpus + _EVEN) / self.cpus)
        return by_cpu if by_gpu is None else min(by_cpu, by_gpu)

    def strength_of(self, machine: Machine) -> float:
        """What the load of a machine is shared by."""
        return machine.gpus if self.gpus else machine.cpus


class _Plan:
    """Who is where so far, and the load of each machine."""

    def __init__(
        self,
        weights: Mapping[str, int],
        machines: Sequence[Machine],
        need: Need,
        barred: Collection[str],
    ) -> None:
        self.at: dict[str, str] = {}
        self._barred = barred
        self._weights = weights
        self._machines = {m.id: m for m in machines if need.room_on(m)}
        self._room = {name: need.room_on(m) for name, m in self._machines.items()}
        self._strength = {name: need.strength_of(m) for name, m in self._machines.items()}
        self._scenes = dict.fromkeys(self._machines, 0)

    def put(self, group: str, machine: str) -> None:
        """Place a group, from where it was if it was anywhere."""
        before = self.at.get(group)
        if before is not None:
            self._room[before] += 1
            self._scenes[before] -= self._weights[group]
        self.at[group] = machine
        self._room[machine] -= 1
        self._scenes[machine] += self._weights[group]

    def load(self, machine: str, change: int = 0) -> float:
        return (self._scenes[machine] + change) / self._strength[machine]

    def has_room(self, machine: str) -> bool:
        return self._room.get(machine, 0) > 0

    def takes(self, machine: str) -> bool:
        return self.has_room(machine) and machine not in self._barred

    def best_for(self, group: str, but: str = "", *, last_resort: bool = False) -> str | None:
        takes = self.has_room if last_resort else self.takes
        free = [m for m in self._machines if m != but and takes(m)]
        return min(free, key=lambda m: (self.load(m, self._weights[group]), m), default=None)

    def at_address(self, address: str) -> str:
        found = (m.id for m in self._machines.values() if m.address == address)
        return next((machine for machine in found if self.takes(machine)), "")

    def best_move(self, fixed: Mapping[str, str]) -> tuple[str, str] | None:
        """The move that leaves the two machines it is between with the least load."""
        found: list[tuple[float, str, str]] = []
        for group, here in self.at.items():
            there = None if group in fixed else self.best_for(group, but=here)
            if there is None:
                continue
            weight = self._weights[group]
            left = max(self.load(here, -weight), self.load(there, weight))
            if left < self.load(here) - _EVEN:
                found.append((left, group, there))
        return min(found)[1:] if found else None


def place(
    weights: Mapping[str, int],
    machines: Sequence[Machine],
    need: Need,
    *,
    now: Mapping[str, str] | None = None,
    asked: Mapping[str, str] | None = None,
    last: Mapping[str, str] | None = None,
    barred: Collection[str] = (),
) -> dict[str, str]:
    """Say which machine each group belongs on.

    Args:
        weights: Scenes of each group, by its name.
        machines: What there is.
        need: What a worker needs.
        now: Machine that each group is on.
        asked: Machine that a group was asked to be on.
        last: Address of the machine on which a group was last.
        barred: Machines that nobody is to be put on while another will do.

    Returns:
        Id of the machine of each group that fits somewhere.
    """
    now, asked, last = now or {}, asked or {}, last or {}
    plan = _Plan(weights, machines, need, barred)
    fixed = {g: m for g, m in asked.items() if g in weights and plan.takes(m)}
    for wanted in (fixed, now):
        for group, machine in wanted.items():
            if group in weights and group not in plan.at and plan.has_room(machine):
                plan.put(group, machine)
    nowhere = [group for group in weights if group not in plan.at]
    for group in sorted(nowhere, key=lambda g: (-weights[g], g)):
        there = plan.at_address(last.get(group, "")) or plan.best_for(group)
        there = there or plan.best_for(group, last_resort=True)
        if there:
            plan.put(group, there)
    while (move := plan.best_move(fixed)) is not None:  # ends: each leaves both below the fuller
        plan.put(*move)
    return plan.at
