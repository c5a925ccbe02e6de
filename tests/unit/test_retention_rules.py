"""The rules by which things go: at their limit, in batches, a while later when needed, counted."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from nodes.retention_metrics import RetentionMetrics
from pipeline.core.retention import BATCH, FOREVER_NS, HARD, Item, Kind, Sweeper, Why

S = 10**9
DAY = 86_400 * S


class Shelf:
    """A stock of plain items."""

    def __init__(self, *items: Item) -> None:
        self.there = list(items)
        self.stuck: set[str] = set()

    def items(self, before_ns: int | None = None) -> list[Item]:
        return [i for i in self.there if before_ns is None or i.at_ns < before_ns]

    def remove(self, keys) -> int:
        going = [i for i in self.there if i.key in set(keys) - self.stuck]
        self.there = [i for i in self.there if i not in going]
        return len(going)

    @property
    def keys(self) -> list[str]:
        return [item.key for item in self.there]


def daily(count: int, held: str = "") -> list[Item]:
    return [Item(f"{held}{day}", day * DAY, held) for day in range(count)]


def test_nothing_gets_as_old_as_its_limit_and_nothing_goes_long_before():
    shelf = Shelf(*daily(40))
    sweeper = Sweeper([Kind("things", shelf, 10 * DAY)])
    for hour in range(40 * 24):
        now_ns = hour * 3600 * S
        sweeper.look(now_ns)
        ages = [now_ns - i.at_ns for i in shelf.there]
        assert max(ages) < 10 * DAY
        assert min((a for a in ages if a > 0), default=0) < 10 * DAY - 3 * 3600 * S
        gone = set(range(40)) - {int(key) for key in shelf.keys}
        assert all(now_ns - day * DAY >= 10 * DAY - 3 * 3600 * S for day in gone)
    assert sweeper.removed == {("things", Why.AGE): 31}


def test_what_is_held_stays_to_twice_its_limit_and_no_longer():
    shelf = Shelf(Item("free", 0), Item("open", 0, "open"))
    sweeper = Sweeper([Kind("things", shelf, 10 * DAY)])
    sweeper.look(10 * DAY)
    assert shelf.keys == ["open"]
    sweeper.look(HARD * 10 * DAY - 3 * 3600 * S)
    assert shelf.keys == ["open"]
    sweeper.look(HARD * 10 * DAY)
    assert shelf.keys == []
    assert sweeper.removed == {("things", Why.AGE): 1, ("things", Why.HARD_LIMIT): 1}


def test_what_somebody_asked_for_stays_until_then_however_old_it_gets():
    asked = Item("asked", 0, asked_ns=35 * DAY)
    shelf = Shelf(asked, Item("short", 0, asked_ns=DAY), Item("always", 0, asked_ns=FOREVER_NS))
    kind = Kind("things", shelf, 10 * DAY)
    sweeper = Sweeper([kind])
    sweeper.look(10 * DAY)
    assert shelf.keys == ["asked", "always"]
    sweeper.look(35 * DAY - S)
    assert shelf.keys == ["asked", "always"]
    assert kind.goes_ns(asked) == 35 * DAY + 2 * kind.rest_ns
    sweeper.look(35 * DAY + kind.rest_ns)
    assert shelf.keys == ["always"]
    assert sweeper.removed == {("things", Why.AGE): 2}


def test_what_is_stuck_keeps_nothing_newer():
    shelf = Shelf(*(Item(str(n), n) for n in range(2 * BATCH + 50)))
    shelf.stuck = {str(n) for n in range(2 * BATCH)}
    sweeper = Sweeper([Kind("things", shelf, DAY)])
    with capture_logs() as logs:
        sweeper.look(2 * DAY)
    assert set(shelf.keys) == shelf.stuck
    told = [(log["event"], log["count"]) for log in logs]
    assert told == [("removed what is kept no longer", 50), ("cannot remove what is too old", 400)]


def test_a_great_deal_goes_in_batches_and_what_is_stuck_is_tried_again_later():
    shelf = Shelf(*(Item(str(n), 0) for n in range(1000)))
    sweeper = Sweeper([Kind("things", shelf, DAY)])
    sweeper.look(2 * DAY)
    assert 0 < len(shelf.keys) < 1000
    for _ in range(5):
        sweeper.look(2 * DAY)
    assert shelf.keys == []
    shelf.there, shelf.stuck = [Item("a", 0), Item("b", 0)], {"a"}
    sweeper.sweep(3 * DAY)
    assert shelf.keys == ["a"]
    shelf.stuck = set()
    sweeper.look(4 * DAY)
    assert shelf.keys == []
    assert sweeper.removed == {("things", Why.AGE): 1002}


def test_removals_are_a_metric_by_kind_and_reason():
    registry = CollectorRegistry()
    sweeper = Sweeper([Kind("things", Shelf(Item("a", 0), Item("b", 0, "open")), DAY)])
    registry.register(RetentionMetrics(lambda: sweeper))

    def count(why: str) -> float | None:
        labels = {"kind": "things", "reason": why}
        return registry.get_sample_value("fusewatch_retention_removed_total", labels)

    assert (count("age"), count("hard_limit")) == (0, 0)
    sweeper.look(DAY)
    assert (count("age"), count("hard_limit")) == (1, 0)
    sweeper.look(2 * DAY)
    assert (count("age"), count("hard_limit")) == (1, 1)
