"""What is held in quiet hours, and let go when they end."""

from __future__ import annotations

import msgspec
import pytest

from pipeline.core.errors import StoreError
from pipeline.core.event import Phase, Severity
from pipeline.sinks.base import SinkSettings
from pipeline.store import outbox_holds, outbox_store
from tests.event_samples import event
from tests.holding_desk import (
    DAY_S,
    EVENING_S,
    MORNING_S,
    NIGHT,
    SECOND,
    cleared,
    desks,
    phase,
)


@pytest.fixture
def desk(tmp_path):
    with desks(tmp_path) as make:
        yield make


def test_what_is_not_severe_is_held_to_the_end_of_the_quiet_hours(desk) -> None:
    made = desk(quiet=NIGHT)
    made.take(phase(0))
    assert made.now() == []
    assert made.at(MORNING_S - 1) == []
    assert made.at(MORNING_S) == [phase(0).key]
    assert made.holding.held == {("web", "quiet hours"): 1}
    assert made.store.holds.counts() == {}


def test_what_is_severe_goes_at_once_and_past_what_is_held_of_its_scene(desk) -> None:
    made = desk(quiet=NIGHT)
    later = event(EVENING_S + 60, severity=Severity.HIGH)
    made.take(phase(0), later)
    assert made.now() == [later.key]
    assert made.at(MORNING_S) == [phase(0).key]


def test_outside_of_the_quiet_hours_nothing_is_held(desk) -> None:
    made = desk(quiet=NIGHT)
    made.at(MORNING_S)
    made.take(phase(0))
    assert made.now() == [phase(0).key]


def test_an_event_that_becomes_severe_goes_at_once_from_its_beginning(desk) -> None:
    made = desk(quiet=NIGHT)
    made.take(phase(0), phase(1, 10), phase(2, 20), phase(3, 30, "high"))
    assert made.now() == [phase(0).key, phase(3).key]
    made.take(cleared(4, 40, "high"))
    assert made.now() == [cleared(4).key]
    assert made.holding.called_off == {("web", "superseded"): 2}


def test_what_came_and_went_meanwhile_is_told_in_one_digest_a_scene(desk) -> None:
    made = desk(quiet=NIGHT)
    for scene in ("hall", "yard"):
        made.take(phase(0, scene=scene), phase(1, 9, scene=scene), cleared(2, 10, scene=scene))
    other = [event(MORNING_S - 9, n, end_ns=(MORNING_S - 5) * SECOND) for n in (0, 1)]
    low = [msgspec.structs.replace(one, severity=Severity.LOW) for one in other]
    made.take(low[0], msgspec.structs.replace(low[1], phase=Phase.CLEARED))
    standing = phase(0, scene="roof")
    made.take(standing)
    told = made.at(MORNING_S)
    assert sorted(told) == sorted(["digest of 2", "digest of 1", standing.key])


def test_a_sink_that_tells_no_digests_is_told_phase_by_phase(desk) -> None:
    made = desk(SinkSettings, quiet=NIGHT)
    made.take(phase(0), phase(1, 10), cleared(2, 20))
    assert made.at(MORNING_S) == [phase(0).key, cleared(2).key]


def test_the_end_of_an_event_that_was_told_is_told_as_itself(desk) -> None:
    made = desk(quiet=NIGHT)
    made.at(MORNING_S)
    made.take(phase(0))
    assert made.now() == [phase(0).key]
    made.at(EVENING_S + DAY_S)
    made.take(cleared(1, DAY_S))
    assert made.now() == []
    assert made.at(MORNING_S + DAY_S) == [cleared(1).key]


def test_of_an_event_that_goes_on_all_night_its_beginning_and_its_latest_phase_are_told(desk):
    made = desk(quiet=NIGHT)
    made.take(*(phase(n, 10 * n) for n in range(50)))
    assert made.at(MORNING_S) == [phase(0).key, phase(49).key]
    assert made.holding.called_off == {("web", "superseded"): 48}


def test_what_is_held_survives_a_kill_and_a_start_after_the_end(desk) -> None:
    made = desk(quiet=NIGHT)
    made.take(phase(0), cleared(1, 10), phase(0, scene="yard"))
    made.restart(quiet=NIGHT)
    assert made.now() == []
    made.restart(quiet=NIGHT)
    assert sorted(made.at(MORNING_S + 3600)) == sorted(["digest of 1", phase(0, scene="yard").key])


def test_many_events_are_let_go_a_few_at_a_time(desk, monkeypatch) -> None:
    monkeypatch.setattr("nodes.holding.AT_ONCE", 4)
    made = desk(SinkSettings, quiet=NIGHT)
    names = [f"scene-{n}" for n in range(10)]
    made.take(*(phase(0, scene=name) for name in names))
    made.restart(quiet=NIGHT)
    assert [len(made.at(MORNING_S)) for _ in range(4)] == [4, 4, 2, 0]


def test_quiet_hours_that_were_changed_hold_by_what_they_are_now(desk) -> None:
    made = desk(quiet=NIGHT)
    made.take(phase(0))
    made.restart(quiet=NIGHT | {"end": "05:00"})
    assert made.at(MORNING_S - 5400) == [phase(0).key]
    made.take(phase(0, scene="yard"))
    made.restart()
    assert made.now() == [phase(0, scene="yard").key]


def test_quiet_hours_that_follow_each_other_hold_through_both(desk) -> None:
    always = {"start": "00:00", "end": "00:00", "timezone": "UTC", "days": ["wed", "thu"]}
    made = desk(quiet=always)  # it is Wednesday evening
    made.take(phase(0))
    assert made.at(EVENING_S + 2 * 3600) == []
    assert made.at(EVENING_S + 26 * 3600) == [phase(0).key]


def full(*_: object) -> None:
    raise StoreError("the disk is full")


def test_what_could_not_be_ruled_was_not_accepted(desk, monkeypatch) -> None:
    made = desk(quiet=NIGHT)
    made.take(phase(0))
    monkeypatch.setattr(outbox_store, "apply", full)
    with pytest.raises(StoreError):
        made.take(phase(1, 10, "high"))
    monkeypatch.undo()
    made.restart(quiet=NIGHT)
    assert made.now() == []
    made.take(phase(1, 10, "high"))
    assert made.now() == [phase(0).key, phase(1).key]


def test_what_could_not_be_let_go_is_let_go_later(desk, monkeypatch) -> None:
    made = desk(quiet=NIGHT)
    made.take(phase(0), cleared(1, 10), phase(0, scene="yard"))
    monkeypatch.setattr(outbox_holds, "bind", full)
    with pytest.raises(StoreError):
        made.at(MORNING_S)
    assert made.store.holds.counts() == {("web", "quiet hours"): 3}
    monkeypatch.undo()
    assert sorted(made.now()) == sorted(["digest of 1", phase(0, scene="yard").key])
