"""What the timers of a recovery come to, by a clock moved by hand: half of what it may take.

Placer, leases and claims are the real ones; processes and Ray are played here, and start in no
time, or in the time that a test says. Each fault comes at several moments between two renewals and
two looks, and the longest recovery counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest

from nodes import claim
from nodes.claim import RENEW_NS, Claim
from nodes.cluster import keeper, ray_cluster
from nodes.cluster.cut_off import GRACE_S
from nodes.cluster.directory import READ_NS
from nodes.cluster.keeper import RUNNING, Kept
from nodes.cluster.placement import Machine, Need
from nodes.cluster.placer import Placer
from nodes.cluster.placer_node import LOOK_S
from nodes.cluster.wanted import placed_elsewhere
from nodes.commands.fusion import WORKER_DRAIN_S
from nodes.supervisor import POLL_S
from pipeline.config import Deployment, load_deployment
from pipeline.core.clock import ManualClock
from pipeline.core.errors import LeaseLost
from pipeline.store import FusionStore, Holder
from pipeline.store.leases import NOW, STALE_S
from pipeline.transport.directory_client import FIRST_S, LONGEST_S
from pipeline.transport.protocol import HELLO_RETRY_NS
from tests.recovery import RECOVERED_S, TIMERS_S

SECOND_NS = 1_000_000_000
TICK_S = 0.125
STEP_S = 0.25  # a turn of a worker that has nothing to do
SETTLED_S, UP_S = 6.0, 60.0
MOMENTS = 4
HERE, THERE = (Machine(f"m{n}", f"10.0.0.{n}", 4.0) for n in (1, 2))
GROUP = "hall"
ASKED_AGAIN_S = READ_NS / SECOND_NS + max(HELLO_RETRY_NS / SECOND_NS + FIRST_S, LONGEST_S)
"""Until a capture node has heard where its worker is: told the old place, or none, before."""
Plants: TypeAlias = Callable[[], Iterator["Plant"]]
DEPLOYMENT = """
name: home
nodes: {hall: {sources: [{type: csv_file, stream: log, path: log.csv}]}}
scenes: {hall: {streams: [log]}}
fusion: {store: "sqlite:///shared.db", standby: true}
"""


@dataclass
class Worker:
    """A process that claims the hall once it has started."""

    machine: Machine
    pid: int
    ready_s: float
    claim: Claim
    store: FusionStore
    works: bool = True
    drains_until_s: float | None = None

    def step(self, now_s: float) -> None:
        if self.drains_until_s is not None and now_s >= self.drains_until_s:
            self.claim.release()
            self.works = False
        if not self.works or now_s < self.ready_s:
            return
        try:
            if self.claim.look():
                self.claim.publish(lambda: (f"tcp://{self.machine.address}:{self.pid}", ""))
        except LeaseLost:
            self.works = False


@dataclass
class Plant:
    """Two machines, and what runs there; `Cluster` to the placer."""

    folder: Path
    deployment: Deployment
    patch: pytest.MonkeyPatch
    start_s: float = 0.0
    moment_s: float = 0.0
    now_s: float = 1e6
    clock: ManualClock = field(default_factory=lambda: ManualClock(10**18))
    there: list[Machine] = field(default_factory=lambda: [HERE, THERE])
    kept: dict[str, Worker] = field(default_factory=dict)
    gone_at_s: dict[str, float] = field(default_factory=dict)
    all: list[Worker] = field(default_factory=list)

    def machines(self) -> list[Machine]:
        return list(self.there)

    def workers(self) -> dict[str, Kept]:
        """As `RayCluster`: one that is not reached for a while is lost, and its machine too."""
        for group, at_s in self.gone_at_s.items():
            if group in self.kept and self.now_s - at_s > ray_cluster.LOST_S:
                self.there.remove(self.kept.pop(group).machine)
        return {g: Kept(w.machine.id, RUNNING, "", 0, w.pid) for g, w in self.kept.items()}

    def start(self, group: str, machine: Machine) -> None:
        pid = len(self.all) + 1
        store = FusionStore(self.folder / "shared.db")
        holder = Holder("fusion of home", machine.id, pid, machine.id)
        self.patch.setattr(claim, "holder_of", lambda _: holder)
        elsewhere = partial(placed_elsewhere, store, group, machine.address)
        claims = Claim(self.deployment, store, self.clock, elsewhere)
        self.gone_at_s.pop(group, None)
        self.kept[group] = Worker(machine, pid, self.now_s + self.start_s, claims, store)
        self.all.append(self.kept[group])

    def stop(self, group: str) -> None:
        raise AssertionError(f"nobody asked {group} to move")

    def remove(self, group: str) -> None:
        self.kept.pop(group)

    def move_clock(self) -> None:
        self.now_s += TICK_S
        self.clock.advance(round(TICK_S * SECOND_NS))
        self.patch.setitem(NOW, "sqlite", repr(self.now_s))


class Recovery:
    """A run through one fault."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.store = FusionStore(plant.folder / "shared.db")
        self.look_s = LOOK_S
        self._due_s = plant.now_s
        self._again_s: float | None = None
        self.placer = self._placer()

    def away(self, seconds: float) -> None:
        """The placer dies and another is there after a while, that remembers nothing."""
        self.placer, self._due_s = self._placer(), self.plant.now_s + seconds

    def restart_in(self, seconds: float) -> None:
        """The worker dies, and its keeper starts it again."""
        self.plant.kept[GROUP].works = False
        self._again_s = self.plant.now_s + seconds

    def run(self, seconds: float, over_token: int | None = None) -> float:
        """Until somebody serves the hall by a newer token, or so long; how long that was."""
        began_s, n = self.plant.now_s, 0
        while self.plant.now_s < began_s + seconds:
            self._tick(n)
            n += 1
            if over_token is not None and self._is_served(over_token):
                return self.plant.now_s - began_s
        return seconds

    @property
    def token(self) -> int:
        return self.store.directory.served()[GROUP].token

    def close(self) -> None:
        for store in (self.store, *(worker.store for worker in self.plant.all)):
            store.close()

    def _is_served(self, over_token: int) -> bool:
        served = self.store.directory.served()[GROUP]
        return served.token > over_token and served.live and bool(served.address)

    def _placer(self) -> Placer:
        return Placer({GROUP: (GROUP,)}, Need(), self.plant, lambda: self.plant.now_s)

    def _tick(self, number: int) -> None:
        plant = self.plant
        plant.move_clock()
        if self._again_s is not None and plant.now_s >= self._again_s:
            self._again_s = None
            plant.start(GROUP, plant.kept[GROUP].machine)
        if plant.now_s >= self._due_s:
            sights, _ = self.placer.look([], self.store.directory.served())
            self.store.cluster.see(sights)
            self._due_s = plant.now_s + self.look_s
        if number % round(STEP_S / TICK_S) == 0:
            for worker in plant.all:
                worker.step(plant.now_s)


def killed(run: Recovery) -> None:
    first_s = keeper.for_ever().delay_s(0.0, 60.0)
    assert first_s is not None
    run.restart_in(POLL_S + first_s)


def lost(run: Recovery) -> None:
    plant = run.plant
    plant.kept[GROUP].works = False
    plant.gone_at_s[GROUP] = plant.now_s


def cut_off(run: Recovery) -> None:
    run.plant.kept[GROUP].works = False
    run.look_s = LOOK_S + ray_cluster.ANSWER_S  # it does not answer the placer either


def head_restarted(run: Recovery) -> None:
    """The machine's Ray ended with the head's, and is back as another node; its worker drains."""
    plant = run.plant
    worker = plant.kept.pop(GROUP)
    worker.drains_until_s = plant.now_s + WORKER_DRAIN_S
    plant.there = [Machine("m3", worker.machine.address, 4.0)]
    run.away(POLL_S + keeper.for_ever().longest_s)


FAULTS = {"killed": killed, "lost": lost, "cut off": cut_off, "head restarted": head_restarted}


@pytest.mark.parametrize("what", FAULTS)
def test_timers_leave_half_of_a_recovery_to_the_work(what: str, plants: Plants) -> None:
    longest_s = max(recovery_s(plant, FAULTS[what]) for plant in plants())
    print(f"{what}: timers of {longest_s:.1f} s at most")
    assert longest_s <= TIMERS_S == RECOVERED_S / 2


@pytest.mark.parametrize("what", FAULTS)
def test_a_start_of_half_the_time_is_in_time(what: str, plants: Plants) -> None:
    longest_s = max(recovery_s(plant, FAULTS[what], RECOVERED_S / 2) for plant in plants())
    print(f"{what}: {longest_s:.1f} s with a start of {RECOVERED_S / 2:.0f} s")
    assert longest_s <= RECOVERED_S


def test_a_worker_has_time_for_another_renewal_before_it_is_given_up() -> None:
    assert 2 * RENEW_NS / SECOND_NS < STALE_S
    assert RENEW_NS / SECOND_NS < GRACE_S


def recovery_s(plant: Plant, fault: Callable[[Recovery], None], start_s: float = 0.0) -> float:
    """From a fault to when capture nodes know who has the hall now, if a start takes so long."""
    run = Recovery(plant)
    try:
        run.run(SETTLED_S + plant.moment_s)
        token, plant.start_s = run.token, start_s
        fault(run)
        return run.run(UP_S, token) + ASKED_AGAIN_S
    finally:
        run.close()


@pytest.fixture
def plants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plants:
    """Makes a plant for each of some moments of a fault, between two renewals and two looks."""

    def make() -> Iterator[Plant]:
        for number in range(MOMENTS):
            folder = tmp_path / str(number)
            folder.mkdir()
            (folder / "d.yaml").write_text(DEPLOYMENT)
            plant = Plant(folder, load_deployment(folder / "d.yaml"), monkeypatch)
            plant.moment_s = number * RENEW_NS / SECOND_NS / MOMENTS
            yield plant

    return make
