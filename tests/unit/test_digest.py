from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from pipeline.core.clock import ManualClock
from pipeline.core.digest import MOST, Digest, digest_body, digest_key, over
from pipeline.core.errors import SinkRejected, SinkUnavailable
from pipeline.core.event import Event
from pipeline.sinks.delivery import Pace
from pipeline.sinks.lane import Outcome, Outlet
from pipeline.sinks.outbox import OutboxDelivery
from pipeline.store import OutboxStore
from tests.event_samples import life

SECOND = 10**9
NOW_NS = 100_000 * SECOND


class Telling:
    """A sink that keeps what it was told, and fails while it is told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.told: list[str | Digest] = []

    def open(self) -> None: ...

    def close(self) -> None: ...

    def deliver(self, event: Event) -> None:
        self._take(event.key)

    def deliver_digest(self, digest: Digest) -> None:
        self._take(digest)

    def _take(self, what: str | Digest) -> None:
        if self.error:
            raise self.error
        self.told.append(what)


class Desk:
    """An outbox with one sink that can tell together what is over."""

    def __init__(self, folder: Path, pace: Pace) -> None:
        self.store = OutboxStore(folder / "alert.db")
        self.sink = Telling()
        self.clock = ManualClock(NOW_NS)
        self.restart(pace)

    def restart(self, pace: Pace) -> None:
        outlets = {"web": Outlet([self.sink], pace)}
        self.delivery = OutboxDelivery(self.store, outlets, self.clock, rng=Random(3))

    def accept(self, *events: Event) -> None:
        for each in events:
            self.store.accept(each, ["web"])

    def deliver_all(self) -> list[str | Digest]:
        while self.store.counts()["web"]["pending"]:
            if self.delivery.step("web") is not Outcome.DELIVERED:
                self.clock.advance(SECOND)
        return self.sink.told


DIGESTING = Pace(digest_after_s=900)


@pytest.fixture
def desk(tmp_path: Path):
    made = Desk(tmp_path, DIGESTING)
    yield made
    made.store.close()


def keys(events: list[Event]) -> list[str]:
    return [each.key for each in events]


def test_only_lives_that_are_whole_and_long_over_are_told_together() -> None:
    known, standing, fresh = life(20)[1:], life(30)[:2], life(2000)
    waiting = [*life(10), *known, *standing, *life(40), *fresh]
    assert over(waiting, before_ns=1000 * SECOND) == [*life(10), *life(40)]
    assert over(waiting, before_ns=0) == []


def test_a_digest_holds_a_limited_number_of_lives() -> None:
    waiting = [phase for start in range(MOST + 5) for phase in life(start)]
    assert over(waiting, NOW_NS) == waiting[: 3 * MOST]


def test_a_digest_says_what_happened_and_which_phases_it_stands_for() -> None:
    phases = [*life(10), *life(40)]
    body = json.loads(digest_body(Digest(digest_key(phases), tuple(phases))))
    assert body["key"].startswith("digest-")
    assert (body["scene"], body["start_ns"], body["end_ns"]) == ("hall", 10 * SECOND, 43 * SECOND)
    assert body["summary"] == "2 events came and went meanwhile."
    assert [one["keys"] for one in body["events"]] == [keys(life(10)), keys(life(40))]
    assert body["events"][0]["summary"] == "a sound without its cause"


def test_after_a_day_down_each_scene_gets_one_digest_and_what_stands_phase_by_phase(desk) -> None:
    desk.accept(life(5)[0])
    desk.deliver_all()  # the sink knows of this one, so it must see it cleared
    desk.sink.told.clear()
    for start in range(10, 40):
        desk.accept(*life(start), *life(start, "yard"))
    desk.accept(*life(5)[1:], *life(50)[:2])
    hall, *rest = desk.deliver_all()
    yard = next(told for told in rest if isinstance(told, Digest))
    assert (hall.scene, yard.scene) == ("hall", "yard")
    assert keys(hall.phases) == [key for start in range(10, 40) for key in keys(life(start))]
    assert [t for t in rest if t is not yard] == keys([*life(5)[1:], *life(50)[:2]])
    assert desk.delivery.counts()["web"]["delivered"] == 1 + 2 + 4


def test_what_is_over_only_just_is_told_phase_by_phase(desk: Desk) -> None:
    desk.clock = ManualClock(100 * SECOND)
    desk.restart(DIGESTING)
    desk.accept(*life(10), *life(40))
    assert desk.deliver_all() == keys([*life(10), *life(40)])


def test_a_digest_that_is_sent_again_stands_for_the_same_phases(desk: Desk) -> None:
    desk.accept(*life(10))
    desk.sink.error = SinkUnavailable("500")
    assert desk.delivery.step("web") is Outcome.RETRIED
    desk.accept(*life(40))  # is over as well, but was not part of what was sent
    desk.restart(DIGESTING)
    desk.sink.error = None
    first, second = desk.deliver_all()
    assert (first.key, first.phases) == (digest_key(life(10)), tuple(life(10)))
    assert second.phases == tuple(life(40))


def test_a_digest_that_is_rejected_is_listed_phase_by_phase_and_revived_whole(desk) -> None:
    desk.accept(*life(10), *life(40)[:1])
    desk.sink.error = SinkRejected("413")
    desk.clock.advance(SECOND)
    while len(desk.store.dead_letters()) < 3:
        desk.delivery.step("web")
        desk.clock.advance(10 * SECOND)
    letters = desk.store.dead_letters()
    assert keys([letter.event for letter in letters]) == keys(life(10))
    assert set(desk.store.digests([d.id for d in letters]).values()) == {digest_key(life(10))}
    desk.sink.error = None
    desk.store.revive()
    desk.deliver_all()
    told = [one for one in desk.sink.told if isinstance(one, Digest)]
    assert [(one.key, one.phases) for one in told] == [(digest_key(life(10)), tuple(life(10)))]


def test_a_revived_event_does_not_join_a_digest_that_was_bound_before(desk: Desk) -> None:
    desk.accept(*life(10))
    desk.sink.error = SinkRejected("400")
    while not desk.store.dead_letters():
        desk.delivery.step("web")
        desk.clock.advance(10 * SECOND)
    desk.accept(*life(40))
    desk.sink.error = SinkUnavailable("503")
    while desk.delivery.step("web") is not Outcome.RETRIED:
        desk.clock.advance(SECOND)
    desk.store.revive()
    desk.sink.error = None
    assert [told.phases for told in desk.deliver_all()] == [tuple(life(10)), tuple(life(40))]


def test_without_the_setting_every_phase_is_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Pace())
    desk.accept(*life(10), *life(40))
    assert desk.deliver_all() == keys([*life(10), *life(40)])
    desk.store.close()
