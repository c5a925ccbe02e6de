"""How fast a sink is fed: several deliveries at once, and no more than so many a minute."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from pipeline.core.clock import ManualClock, NodeClock
from pipeline.core.errors import SinkUnavailable
from pipeline.core.event import Event
from pipeline.sinks.delivery import Pace
from pipeline.sinks.lane import Outcome, Outlet
from pipeline.sinks.outbox import OutboxDelivery
from pipeline.store import OutboxStore
from tests.event_samples import event, life

SECOND = 10**9
NOW_NS = 100_000 * SECOND


class Sink:
    """Delivers by a function."""

    def __init__(self, deliver: Callable[[Event], None]) -> None:
        self.deliver = deliver

    def open(self) -> None: ...

    def close(self) -> None: ...


def keys(events: list[Event]) -> list[str]:
    return [each.key for each in events]


def test_no_more_than_so_many_are_tried_in_any_minute(tmp_path: Path) -> None:
    store, clock = OutboxStore(tmp_path / "alert.db"), ManualClock(NOW_NS)
    for start in range(10):
        store.accept(event(start), ["web"])
    outlet = Outlet([Sink(lambda _: None)], Pace(max_per_minute=4))
    delivery = OutboxDelivery(store, {"web": outlet}, clock, rng=Random(1))
    tried_s: list[int] = []
    while store.counts()["web"]["pending"]:
        if delivery.step("web") is Outcome.DELIVERED:
            tried_s.append((clock.now_ns() - NOW_NS) // SECOND)
        else:
            clock.advance(SECOND)
    assert tried_s == [0] * 4 + [60] * 4 + [120] * 2
    store.close()


def test_several_hands_work_for_one_sink_and_each_scene_stays_in_order(tmp_path: Path) -> None:
    store = OutboxStore(tmp_path / "alert.db")
    scenes = ("hall", "yard", "roof")
    for phase in range(3):
        for scene in scenes:
            store.accept(life(1, scene)[phase], ["web"])
    delivery: OutboxDelivery
    taken: list[str] = []
    under_way: list[set[str]] = [set()]

    def deliver(number: int, event: Event) -> None:
        """While one hand delivers, the others are asked to as well."""
        assert event.scene not in under_way[-1]
        under_way.append(under_way[-1] | {event.scene})
        if number < 2:
            delivery.step("web", number + 1)
        taken.append(event.key)

    hands = [Sink(partial(deliver, number)) for number in range(3)]
    outlet = Outlet(hands, Pace(concurrency=3))
    delivery = OutboxDelivery(store, {"web": outlet}, ManualClock(), rng=Random(1))
    while store.counts()["web"]["pending"]:
        under_way[:] = [set()]
        delivery.step("web")
        assert under_way[-1] == set(scenes)
    for scene in scenes:
        assert [key for key in taken if key in keys(life(1, scene))] == keys(life(1, scene))
    store.close()


def test_while_a_sink_is_down_one_hand_alone_asks_whether_it_is_back(tmp_path: Path) -> None:
    store = OutboxStore(tmp_path / "alert.db")
    for scene in ("hall", "yard", "roof"):
        store.accept(event(1, scene=scene), ["web"])
    clock = ManualClock(NOW_NS)
    asked: list[int] = []
    delivery: OutboxDelivery

    def deliver(_: Event) -> None:
        asked.append(clock.now_ns())
        if len(asked) > 1:
            delivery.step("web", 1)
        raise SinkUnavailable("connection refused")

    outlet = Outlet([Sink(deliver), Sink(deliver)], Pace(concurrency=2))
    delivery = OutboxDelivery(store, {"web": outlet}, clock, rng=Random(1))
    for _ in range(300):
        delivery.step("web")
        clock.advance(SECOND)
    assert len(asked) == len(set(asked)) == delivery.failures()["web"]
    assert len(asked) < 15
    store.close()


def test_workers_of_one_sink_really_deliver_at_once(tmp_path: Path) -> None:
    store = OutboxStore(tmp_path / "alert.db")
    for scene in ("hall", "yard", "roof"):
        store.accept(event(1, scene=scene), ["web"])
    together = threading.Barrier(3, timeout=60)
    outlet = Outlet([Sink(lambda _: together.wait() and None) for _ in range(3)])
    delivery = OutboxDelivery(store, {"web": outlet}, NodeClock(), rng=Random(1))
    delivery.start()
    assert delivery.drain(60)
    assert delivery.counts()["web"] == {"delivered": 3, "retried": 0, "dead": 0}
    store.close()
