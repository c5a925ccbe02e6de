from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from pipeline.core.clock import ManualClock, NodeClock
from pipeline.core.errors import SinkRejected, SinkUnavailable, StoreError
from pipeline.core.event import Event
from pipeline.sinks.delivery import DeliveryPolicy
from pipeline.sinks.lane import Outcome, Outlet
from pipeline.sinks.outbox import OutboxDelivery
from pipeline.store import OutboxStore
from tests.event_samples import event, life

SECOND = 10**9


class ScriptedSink:
    """Takes events unless `fails` says otherwise."""

    def __init__(self, fails: Callable[[Event], Exception | None] = lambda _: None) -> None:
        self.fails = fails
        self.open_fails: Exception | None = None
        self.opened = self.closed = 0
        self.tried: list[str] = []
        self.taken: list[str] = []
        self.news = threading.Condition()

    def open(self) -> None:
        self.opened += 1
        if self.open_fails:
            raise self.open_fails

    def deliver(self, event: Event) -> None:
        self.tried.append(event.key)
        if error := self.fails(event):
            raise error
        with self.news:
            self.taken.append(event.key)
            self.news.notify_all()

    def close(self) -> None:
        self.closed += 1


class Desk:
    """An outbox with scripted sinks and a clock moved by hand."""

    def __init__(self, folder: Path, policy: DeliveryPolicy | None = None) -> None:
        self.store = OutboxStore(folder / "alert.db")
        self.sinks = {"web": ScriptedSink(), "mqtt": ScriptedSink()}
        self.clock = ManualClock(1000 * SECOND)
        self.delivery = OutboxDelivery(
            self.store, outlets(self.sinks), self.clock, rng=Random(7), policy=policy
        )

    def accept(self, *events: Event) -> None:
        for each in events:
            self.store.accept(each, list(self.sinks))

    def step_until(self, sink: str, end: Outcome = Outcome.IDLE, limit: int = 10_000) -> None:
        """Step, moving the clock a second at a time when there is nothing to do."""
        for _ in range(limit):
            outcome = self.delivery.step(sink)
            if outcome is end and not self.store.counts()[sink]["pending"]:
                return
            if outcome is not Outcome.DELIVERED:
                self.clock.advance(SECOND)
        pytest.fail(f"{sink} never came to {end}")


def outlets(sinks: dict[str, ScriptedSink]) -> dict[str, Outlet]:
    return {name: Outlet([sink]) for name, sink in sinks.items()}


@pytest.fixture
def desk(tmp_path: Path):
    made = Desk(tmp_path)
    yield made
    made.store.close()


def keys(events: list[Event]) -> list[str]:
    return [e.key for e in events]


def test_each_phase_reaches_each_sink_once_and_in_order(desk: Desk) -> None:
    desk.accept(*life())
    for name in desk.sinks:
        desk.step_until(name)
        assert desk.sinks[name].taken == keys(life())
    assert desk.delivery.counts()["web"] == {"delivered": 3, "retried": 0, "dead": 0}


def test_a_sink_that_is_down_for_hours_loses_nothing_and_is_asked_once_a_minute(desk) -> None:
    desk.accept(*life(0, "a"), *life(0, "b"))
    web = desk.sinks["web"]
    back_at = desk.clock.now_ns() + 3 * 3600 * SECOND
    web.fails = lambda _: (
        SinkUnavailable("connection refused") if desk.clock.now_ns() < back_at else None
    )
    while desk.clock.now_ns() < back_at:
        assert desk.delivery.step("web") in {Outcome.RETRIED, Outcome.WAITING}
        desk.clock.advance(5 * SECOND)
    assert desk.delivery.failures()["web"] == len(web.tried)
    assert desk.delivery.failures()["mqtt"] == 0
    assert 180 <= len(web.tried) <= 380
    desk.step_until("web")
    assert [k for k in web.taken if k in keys(life(0, "a"))] == keys(life(0, "a"))
    assert [k for k in web.taken if k in keys(life(0, "b"))] == keys(life(0, "b"))
    assert len(web.taken) == 6
    assert desk.store.dead_letters() == []
    assert desk.delivery.failures() == {"web": 0, "mqtt": 0}


def test_waits_double_up_to_a_minute_and_half_of_each_is_random() -> None:
    policy = DeliveryPolicy()
    for failures, longest in [(1, 1), (2, 2), (5, 16), (7, 60), (5000, 60)]:
        waits = [policy.wait_ns(failures, Random(seed)) / SECOND for seed in range(50)]
        assert longest / 2 <= min(waits) < max(waits) <= longest
        assert policy.wait_ns(failures, Random(3)) == policy.wait_ns(failures, Random(3))


def test_one_sink_that_is_down_does_not_hold_up_another(desk: Desk) -> None:
    desk.sinks["web"].fails = lambda _: SinkUnavailable("down")
    desk.accept(*life())
    desk.delivery.step("web")
    desk.step_until("mqtt")
    assert desk.sinks["mqtt"].taken == keys(life())
    assert desk.sinks["web"].taken == []


def test_a_failed_sink_is_closed_and_opened_again(desk: Desk) -> None:
    web = desk.sinks["web"]
    desk.accept(event())
    web.open_fails = SinkUnavailable("no route")
    assert desk.delivery.step("web") is Outcome.WAITING
    web.open_fails = None
    desk.step_until("web")
    assert (web.opened, web.closed, web.taken) == (2, 1, [event().key])


def test_a_receiver_that_asks_for_time_is_given_it(desk: Desk) -> None:
    desk.accept(event())
    desk.sinks["web"].fails = lambda _: SinkUnavailable("busy", retry_after_s=600)
    assert desk.delivery.step("web") is Outcome.RETRIED
    desk.clock.advance(599 * SECOND)
    assert desk.delivery.step("web") is Outcome.WAITING
    desk.sinks["web"].fails = lambda _: None
    desk.clock.advance(SECOND)
    assert desk.delivery.step("web") is Outcome.DELIVERED


def test_a_rejected_event_moves_aside_after_three_tries_and_the_next_goes_out(desk) -> None:
    raised, updated, cleared = life()
    desk.accept(raised, updated, cleared)
    web = desk.sinks["web"]
    web.fails = lambda e: SinkRejected("422 no such field") if e.key == raised.key else None
    desk.step_until("web")
    assert web.tried == [raised.key] * 3 + [updated.key, cleared.key]
    (letter,) = desk.store.dead_letters()
    assert (letter.event, letter.sink, letter.error) == (raised, "web", "422 no such field")
    web.fails = lambda _: None
    desk.store.revive()
    desk.step_until("web")
    assert web.taken == [updated.key, cleared.key, raised.key]


def test_an_event_that_brings_a_sink_down_each_time_moves_aside_once_others_prove_it(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path, DeliveryPolicy(max_suspicions=4))
    poison = event(scene="poison")
    desk.accept(poison)
    web = desk.sinks["web"]
    web.fails = lambda e: SinkUnavailable("500") if e.scene == "poison" else None
    for second in range(12):
        desk.accept(event(second))
        for _ in range(8):
            desk.delivery.step("web")
            desk.clock.advance(8 * SECOND)
    assert keys([d.event for d in desk.store.dead_letters()]) == [poison.key]
    assert web.taken == keys([event(second) for second in range(12)])
    desk.store.close()


def test_a_plug_in_that_breaks_is_a_rejection_without_its_secrets(desk: Desk) -> None:
    desk.accept(event())
    desk.sinks["web"].fails = lambda _: KeyError("https://me:secret@host/")
    for _ in range(10):
        desk.delivery.step("web")
        desk.clock.advance(60 * SECOND)
    (letter,) = desk.store.dead_letters()
    assert "KeyError" in letter.error
    assert "secret" not in letter.error


def test_a_restart_tries_at_once_what_an_earlier_run_put_off(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.accept(event())
    desk.store.retry(desk.store.due("web", 0), at_ns=2**62, error="down")
    desk.delivery.start()
    wait_for(desk.sinks["web"], 1)
    assert desk.delivery.drain(30)
    desk.store.close()


def wait_for(sink: ScriptedSink, count: int) -> None:
    with sink.news:
        assert sink.news.wait_for(lambda: len(sink.taken) >= count, timeout=60)


def test_workers_deliver_what_is_accepted_while_one_sink_hangs(tmp_path: Path) -> None:
    release = threading.Event()
    store = OutboxStore(tmp_path / "alert.db")
    sinks = {"good": ScriptedSink(), "hangs": ScriptedSink(lambda _: release.wait(60) and None)}
    delivery = OutboxDelivery(store, outlets(sinks), NodeClock(), rng=Random(1))
    delivery.start()
    for phase in life():
        store.accept(phase, list(sinks))
        delivery.notify()
    wait_for(sinks["good"], 3)
    assert sinks["good"].taken == keys(life())
    assert delivery.healthy
    assert not delivery.stop(timeout_s=0.05)
    release.set()
    assert delivery.stop(timeout_s=60)
    assert sinks["hangs"].taken == [life()[0].key]
    assert store.counts()["hangs"]["pending"] == 2
    assert [sink.closed for sink in sinks.values()] == [1, 1]
    store.close()


def test_draining_delivers_what_can_be_and_leaves_the_rest(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.accept(*[event(second) for second in range(30)])
    desk.sinks["mqtt"].fails = lambda _: SinkUnavailable("down")
    desk.delivery.start()
    begun = time.monotonic()
    assert desk.delivery.drain(60)
    assert time.monotonic() - begun < 50
    counts = desk.store.counts()
    assert (counts["web"]["pending"], counts["mqtt"]["pending"]) == (0, 30)
    desk.store.close()


class BrokenStore(OutboxStore):
    broken = True

    def due(self, sink, now_ns, **more):
        if self.broken:
            raise StoreError("the disk is full")
        return super().due(sink, now_ns, **more)


def test_an_outbox_that_cannot_be_used_is_unhealthy_until_it_can(tmp_path: Path) -> None:
    store = BrokenStore(tmp_path / "alert.db")
    sink = ScriptedSink()
    delivery = OutboxDelivery(store, outlets({"web": sink}), NodeClock(), rng=Random(1))
    store.accept(event(), ["web"])
    delivery.start()
    deadline = time.monotonic() + 60
    while delivery.healthy and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert not delivery.healthy
    store.broken = False
    wait_for(sink, 1)
    assert delivery.drain(60)
    store.close()
