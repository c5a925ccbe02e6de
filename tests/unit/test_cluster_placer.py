"""The placer: what is missing is started, one is moved at a time, orders are carried out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from nodes.cluster.keeper import ENDED, Kept
from nodes.cluster.placement import Machine, Need
from nodes.cluster.placer import Placer
from pipeline.store import Served, Sight, Wish

ONE, TWO = (Machine(f"m{n}", f"10.0.0.{n}", 4.0) for n in (1, 2))
GROUPS = {"a": ("hall", "yard"), "b": ("shed",)}


@dataclass
class Plant:
    """A cluster that does at once what it is asked, and the store that its workers write to."""

    there: list[Machine] = field(default_factory=lambda: [ONE])
    running: dict[str, Kept] = field(default_factory=dict)
    served: dict[str, Served] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    slow: bool = False

    def machines(self) -> list[Machine]:
        return list(self.there)

    def workers(self) -> dict[str, Kept]:
        ids = {machine.id for machine in self.there}
        self.running = {g: k for g, k in self.running.items() if k.machine in ids}
        return dict(self.running)

    def start(self, group: str, machine: Machine) -> None:
        self.running[group] = Kept(machine.id, "running", "", 0, 1)
        for scene in GROUPS[group]:
            before = self.served.get(scene)
            token = before.token + 1 if before else 1
            address = f"tcp://{machine.address}:1"
            self.served[scene] = Served(scene, address, "", token, "", 0.0, not self.slow)

    def stop(self, group: str) -> None:
        self.stopped.append(group)
        self.running[group] = replace(self.running[group], state=ENDED)
        for scene in GROUPS[group]:
            self.served[scene] = replace(self.served[scene], live=False)

    def remove(self, group: str) -> None:
        del self.running[group]

    def at(self) -> dict[str, str]:
        return {group: kept.machine for group, kept in self.running.items()}


class Site:
    def __init__(self) -> None:
        self.plant = Plant()
        self.placer = Placer(GROUPS, Need(), self.plant)
        self.wishes: list[Wish] = []

    def look(self, times: int = 1) -> dict[str, Sight]:
        for _ in range(times):
            sights, done = self.placer.look(self.wishes, self.plant.served)
            self.wishes = [wish for wish in self.wishes if wish not in done]
        return {sight.name: sight for sight in sights}


def test_every_group_gets_a_worker_and_then_nothing_happens() -> None:
    site = Site()
    site.look()
    assert site.plant.at() == {"a": "m1", "b": "m1"}
    sights = site.look(3)
    assert {sight.state for sight in sights.values()} == {"serving"}
    assert sights["a"].machine == ONE.address
    assert site.plant.stopped == []


def test_workers_of_a_lost_machine_are_started_elsewhere() -> None:
    site = Site()
    site.look()
    site.plant.there = [TWO]
    site.look()
    assert site.plant.at() == {"a": "m2", "b": "m2"}
    site.plant.there = []
    assert site.look()["b"].state == "unplaced"


def test_a_machine_that_joins_gets_its_share_one_drained_worker_at_a_time() -> None:
    site = Site()
    site.look()
    site.plant.there = [ONE, TWO]
    site.look(4)
    assert sorted(site.plant.at().values()) == ["m1", "m2"]
    assert len(site.plant.stopped) == 1


def test_a_group_is_moved_where_it_was_asked_to_be_and_stays() -> None:
    site = Site()
    site.plant.there = [ONE, TWO]
    site.look(2)
    target = TWO if site.plant.at()["b"] == "m1" else ONE
    site.wishes = [Wish("move", "b", target.address)]
    site.look(6)
    assert site.plant.at()["b"] == target.id
    assert site.wishes == []
    site.wishes = [Wish("move", "b", "10.9.9.9"), Wish("move", "nobody", ONE.address)]
    before = site.plant.at()
    site.look(3)
    assert (site.plant.at(), site.wishes) == (before, []), "what cannot be is told and forgotten"


def test_workers_are_upgraded_one_after_the_other_where_they_are() -> None:
    site = Site()
    site.plant.there = [ONE, TWO]
    site.look(2)
    before = site.plant.at()
    site.wishes = [Wish("upgrade", "a"), Wish("upgrade", "b")]
    site.plant.slow = True  # the first does not serve again for a while
    site.look(4)
    assert site.plant.stopped == ["a"]
    assert site.look()["a"].state == "standing by"
    site.plant.slow = False
    for scene in GROUPS["a"]:
        site.plant.served[scene] = replace(site.plant.served[scene], live=True)
    site.look(3)
    assert site.plant.stopped == ["a", "b"]
    assert site.plant.at() == before
    assert site.wishes == []


def test_a_worker_that_was_given_up_is_told_and_holds_up_no_other() -> None:
    site = Site()
    site.look(2)
    detail = "exit code 78: there is no file hall.model"
    site.plant.running["a"] = Kept("m1", "given up", detail, 0, 0)
    for scene in GROUPS["a"]:
        site.plant.served[scene] = replace(site.plant.served[scene], live=False)
    sight = site.look()["a"]
    assert (sight.state, sight.detail) == ("given up", detail)
    site.wishes = [Wish("upgrade", "b")]
    site.look(2)
    assert site.plant.stopped == ["b"]
    site.wishes = [Wish("upgrade", "a")]
    site.look(3)
    assert site.plant.running["a"].state == "running", "an upgrade tries it anew"


def test_down_drains_all_and_then_it_is_over() -> None:
    site = Site()
    site.look(2)
    site.wishes = [Wish("down")]
    site.look()
    assert sorted(site.plant.stopped) == ["a", "b"]
    assert not site.placer.finished
    site.look()
    assert site.placer.finished
    assert site.wishes == []
    assert site.plant.running == {}


def test_a_fresh_placer_takes_the_workers_over_and_puts_a_lost_group_where_it_was() -> None:
    site = Site()
    site.plant.there = [ONE, TWO]
    site.look(2)
    where = site.plant.at()
    del site.plant.running["b"]
    site.placer = Placer(GROUPS, Need(), site.plant)
    site.look(2)
    assert site.plant.at() == where
    assert site.plant.stopped == []


def test_a_group_that_is_no_more_is_stopped() -> None:
    site = Site()
    site.look(2)
    site.placer = Placer({"a": GROUPS["a"]}, Need(), site.plant)
    site.look(2)
    assert site.plant.stopped == ["b"]
    assert list(site.plant.running) == ["a"]
