"""The placer: what is missing is started, one is moved at a time, orders are carried out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from nodes.cluster.cut_off import BAR_S, ENDS, Bars
from nodes.cluster.keeper import ENDED, Kept
from nodes.cluster.placement import Machine, Need
from nodes.cluster.placer import Placer
from pipeline.store import Served, Sight, Wish
from pipeline.store.leases import STALE_S

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
    last_pid: int = 0

    def machines(self) -> list[Machine]:
        return list(self.there)

    def workers(self) -> dict[str, Kept]:
        ids = {machine.id for machine in self.there}
        self.running = {g: k for g, k in self.running.items() if k.machine in ids}
        return dict(self.running)

    def start(self, group: str, machine: Machine) -> None:
        self.last_pid += 1
        holder = f"fusion of site on {machine.id} (process {self.last_pid})"
        self.running[group] = Kept(machine.id, "running", "", 0, self.last_pid)
        for scene in GROUPS[group]:
            before = self.served.get(scene)
            token = before.token + 1 if before else 1
            address = f"tcp://{machine.address}:1"
            self.served[scene] = Served(scene, address, "", token, holder, 0.0, not self.slow)

    def stop(self, group: str) -> None:
        self.stopped.append(group)
        self.running[group] = replace(self.running[group], state=ENDED)
        for scene in GROUPS[group]:
            self.served[scene] = replace(self.served[scene], live=False)

    def remove(self, group: str) -> None:
        del self.running[group]

    def lapse(self, group: str) -> None:
        """Nobody renews the leases of a group."""
        for scene in GROUPS[group]:
            self.served[scene] = replace(self.served[scene], live=False)

    def age(self, group: str, seconds: float) -> None:
        """Leases of a group were renewed so long ago."""
        for scene in GROUPS[group]:
            self.served[scene] = replace(self.served[scene], age_s=seconds)

    def at(self) -> dict[str, str]:
        return {group: kept.machine for group, kept in self.running.items()}


class Site:
    def __init__(self) -> None:
        self.plant = Plant()
        self.now_s = 0.0
        self.placer = Placer(GROUPS, Need(), self.plant, lambda: self.now_s)
        self.wishes: list[Wish] = []

    def look(self, times: int = 1) -> dict[str, Sight]:
        for _ in range(times):
            sights, done = self.placer.look(self.wishes, self.plant.served)
            self.wishes = [wish for wish in self.wishes if wish not in done]
            self.now_s += 1.0
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
    said = site.look(3)["b"].detail
    assert (site.plant.at(), site.wishes) == (before, []), "what cannot be is told and forgotten"
    assert said == f"cannot move to 10.9.9.9, machines are: {ONE.address}, {TWO.address}"
    site.wishes = [Wish("move", "b", target.address)]
    assert site.look()["b"].detail == ""


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


def test_a_worker_whose_leases_ran_out_in_its_hands_is_replaced_on_another_machine() -> None:
    site = Site()
    site.plant.there = [ONE, TWO]
    site.look(2)
    where = site.plant.at()
    site.plant.lapse("a")
    site.look(2)
    assert site.plant.at() == where, "not before it had time to renew them"
    site.look(2)
    assert site.plant.at()["a"] not in ("", where["a"])
    assert site.plant.stopped == [], "it cannot be asked to drain, and need not be"
    other = site.plant.at()["b"]
    site.look(25)
    assert site.plant.at() == {"a": site.plant.at()["a"], "b": other}, "no way back for a while"


def test_a_worker_that_does_not_renew_its_leases_is_replaced_while_they_last() -> None:
    site = Site()
    site.plant.there = [ONE, TWO]
    site.look(2)
    where = site.plant.at()
    site.plant.age("a", STALE_S)
    site.look(2)
    site.plant.age("a", 0.0)
    site.look()
    site.plant.age("a", STALE_S)
    site.look(3)
    assert site.plant.at() == where, "it had renewed them in between"
    site.look()
    assert site.plant.at()["a"] not in ("", where["a"])


def test_a_worker_that_was_cut_off_stays_where_it_is_when_there_is_no_other_machine() -> None:
    site = Site()
    site.look(2)
    site.plant.lapse("a")
    site.look(9)
    assert site.plant.at() == {"a": "m1", "b": "m1"}
    site.plant.there = [ONE, TWO]
    site.look(2)
    assert site.plant.at()["a"] == "m2"


def test_a_worker_that_fails_again_and_again_is_tried_elsewhere_not_one_that_starts() -> None:
    site = Site()
    site.plant.there = [ONE, TWO]
    site.look(2)
    where = site.plant.at()["b"]
    site.plant.lapse("b")
    site.plant.running["b"] = Kept(where, "running", "exit code 69", ENDS - 1, 99)
    site.look(60)
    assert site.plant.at()["b"] == where, "a start may take long"
    site.plant.running["b"] = Kept(where, "waiting", "exit code 69", ENDS, 0)
    site.look(2)
    assert site.plant.at()["b"] != where


def test_one_who_stands_by_while_another_still_serves_is_not_taken_for_cut_off() -> None:
    site = Site()
    site.plant.there = [ONE, TWO]
    site.look(2)
    before = site.plant.at()
    site.plant.running["a"] = replace(site.plant.running["a"], pid=77)
    site.look(3)  # its predecessor, which Ray lost, still has the leases
    site.plant.lapse("a")
    site.look(9)
    assert site.plant.at() == before


def test_a_machine_that_cut_its_worker_off_is_the_last_resort() -> None:
    site = Site()
    site.plant.there = [ONE, TWO]
    site.look(2)
    cut, other = site.plant.at()["a"], site.plant.at()["b"]
    site.plant.lapse("a")
    site.look(5)
    assert site.plant.at() == {"a": other, "b": other}
    site.plant.there = [machine for machine in (ONE, TWO) if machine.id == cut]
    site.look(2)
    assert site.plant.at() == {"a": cut, "b": cut}


def test_a_machine_on_which_workers_are_cut_off_again_is_barred_for_longer_each_time() -> None:
    bars = Bars()
    bars.put("m1", 0.0)
    assert bars.now(BAR_S - 1) == {"m1"}
    assert bars.now(BAR_S) == set()
    bars.put("m1", BAR_S + 1)
    assert bars.now(3 * BAR_S) == {"m1"}
    bars.put("m1", 99 * BAR_S)
    assert bars.now(100 * BAR_S) == set(), "it had been well for long"


def test_down_drains_all_and_then_it_is_over() -> None:
    site = Site()
    site.look(2)
    site.wishes = [Wish("down")]
    site.look()
    assert sorted(site.plant.stopped) == ["a", "b"]
    assert not site.placer.finished
    assert {sight.state for sight in site.look().values()} == {"down"}
    assert site.placer.finished
    assert site.wishes == []
    assert site.plant.running == {}


def test_a_fresh_placer_takes_the_workers_over_and_puts_a_lost_group_where_it_was() -> None:
    site = Site()
    site.plant.there = [ONE, TWO]
    site.look(2)
    where = site.plant.at()
    del site.plant.running["b"]
    site.placer = Placer(GROUPS, Need(), site.plant, lambda: site.now_s)
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
