"""What is held, called off and let go, with the outbox and its delivery as they are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from random import Random

import msgspec
import pytest

from nodes.holding import Holding
from pipeline.core.answered import EventAnswer
from pipeline.core.clock import ManualClock
from pipeline.core.digest import Digest
from pipeline.core.errors import StoreError
from pipeline.core.event import Event, Phase, Severity
from pipeline.sinks.base import AnswerSettings, DigestSettings, SinkSettings
from pipeline.sinks.lane import Outcome, Outlet
from pipeline.sinks.outbox import OutboxDelivery
from pipeline.store import OutboxStore, outbox_holds, outbox_store
from tests.event_samples import event

SECOND = 10**9
NIGHT = {"start": "22:00", "end": "06:30", "timezone": "Europe/Berlin"}
EVENING_S = int(datetime(2026, 1, 14, 22, 0, tzinfo=UTC).timestamp())  # 23:00 in Berlin
DAY_S = 86_400
MORNING_S = int(datetime(2026, 1, 15, 5, 30, tzinfo=UTC).timestamp())  # 06:30


class TellingSettings(AnswerSettings, DigestSettings):
    """A kind that can tell everything."""


class Telling:
    def __init__(self) -> None:
        self.told: list[str] = []

    def open(self) -> None: ...

    def close(self) -> None: ...

    def deliver(self, event: Event) -> None:
        self.told.append(event.key)

    def deliver_digest(self, digest: Digest) -> None:
        self.told.append(f"digest of {len(digest.last)}")

    def deliver_answer(self, event: Event, answer: EventAnswer) -> None:
        self.told.append(f"{event.id}: {answer.words}")


class Desk:
    """An outbox with one sink, as an alert node has it."""

    def __init__(self, folder: Path, kind: type[SinkSettings], **settings: object) -> None:
        self.folder, self.kind = folder, kind
        self.clock = ManualClock(EVENING_S * SECOND)
        self.sink = Telling()
        self.start(**settings)

    def start(self, **settings: object) -> None:
        self.settings = self.kind.model_validate({"type": "web"} | settings)
        self.store = OutboxStore(self.folder / "alert.db")
        self.holding = Holding([self.settings], self.store)
        outlet = Outlet([self.sink], self.settings.pace)
        self.delivery = OutboxDelivery(self.store, {"web": outlet}, self.clock, rng=Random(1))
        self.store.wake()

    def restart(self, **settings: object) -> None:
        self.store.close()
        self.start(**settings)

    def take(self, *phases: Event) -> None:
        for one in phases:
            plan = self.holding.phase(one, ["web"], self.clock.now_ns())
            if self.store.accept(one, plan.sinks, rulings=plan.rulings, earlier=plan.earlier):
                self.holding.took(plan)

    def answer(self, to: Event, answer: EventAnswer) -> None:
        plan = self.holding.answer(to, answer, self.clock.now_ns())
        if self.store.accept(
            to, plan.sinks, answer=answer, rulings=plan.rulings, earlier=plan.earlier
        ):
            self.holding.took(plan)

    def at(self, time_s: float) -> list[str]:
        """What the sink was told by then, since it was asked last."""
        self.clock.advance(round(time_s * SECOND) - self.clock.now_ns())
        self.holding.look(self.clock.now_ns())
        while self.delivery.step("web") is Outcome.DELIVERED:
            pass
        told, self.sink.told[:] = list(self.sink.told), []
        return told

    def now(self) -> list[str]:
        return self.at(self.clock.now_ns() / SECOND)


@pytest.fixture
def desk(tmp_path: Path):
    made: list[Desk] = []

    def make(kind: type[SinkSettings] = TellingSettings, **settings: object) -> Desk:
        made.append(Desk(tmp_path, kind, **settings))
        return made[-1]

    yield make
    for one in made:
        one.store.close()


def phase(number: int, after_s: float = 0, severity: str = "low", scene: str = "hall") -> Event:
    """A phase of the event that began in the evening: raised, updated, updated, ... ."""
    made = event(EVENING_S, number, scene, severity=Severity(severity))
    end_ns = round((EVENING_S + after_s) * SECOND)
    return msgspec.structs.replace(made, end_ns=end_ns)


def cleared(number: int, after_s: float = 0, severity: str = "low", scene: str = "hall") -> Event:
    return msgspec.structs.replace(phase(number, after_s, severity, scene), phase=Phase.CLEARED)


def seen(position: int = 1, **changes: object) -> EventAnswer:
    said = {"position": position, "action": "seen", "who": "Ada", "at_ns": EVENING_S * SECOND}
    return EventAnswer(**(said | changes))


# Quiet hours


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


# Escalation


TEN_MINUTES = {"after_s": 600, "at_least": "high"}


def test_what_nobody_answered_is_told_when_its_time_has_come(desk) -> None:
    made = desk(escalate=TEN_MINUTES)
    made.take(phase(0, 1), phase(1, 11))
    assert made.at(EVENING_S + 600) == []
    assert made.at(EVENING_S + 601) == [phase(0).key, phase(1).key]
    made.take(phase(2, 700), cleared(3, 710))
    assert made.now() == [phase(2).key, cleared(3).key]


@pytest.mark.parametrize(
    "said",
    [
        {"action": "seen"},
        {"action": "verdict", "value": "real"},
        {"action": "snooze", "value": str(MORNING_S * SECOND)},
    ],
)
def test_any_answer_calls_it_off_to_the_event_s_end(desk, said: dict[str, str]) -> None:
    made = desk(escalate=TEN_MINUTES)
    made.take(phase(0, 1))
    made.answer(phase(0), seen(**said))
    made.take(phase(1, 620, "critical"), cleared(2, 630, "critical"))
    assert made.at(EVENING_S + 5000) == []
    assert made.holding.called_off == {("web", "answered"): 3}
    assert "Ada" in made.store.deliveries(phase(0).id)[0].error


def test_a_note_is_no_answer_and_what_was_told_is_told_to_its_end(desk) -> None:
    made = desk(escalate=TEN_MINUTES)
    made.take(phase(0, 1))
    made.answer(phase(0), seen(action="note", note="what is that?"))
    assert made.at(EVENING_S + 601) == [phase(0).key]
    made.answer(phase(0), seen(2))
    made.take(cleared(1, 700))
    assert made.now() == [cleared(1).key]


def test_an_answer_that_comes_before_its_event_calls_it_off_too(desk) -> None:
    made = desk(escalate=TEN_MINUTES)
    made.answer(phase(0), seen())
    made.take(phase(0, 1))
    assert made.at(EVENING_S + 601) == []


def test_an_answer_that_is_taken_back_lets_the_time_run_on(desk) -> None:
    made = desk(escalate=TEN_MINUTES)
    made.take(phase(0, 1), phase(1, 11))
    made.answer(phase(0), seen())
    made.take(phase(2, 21), phase(3, 31))
    made.answer(phase(0), seen(withdrawn_ns=5, withdrawn_by="Bob"))
    assert made.now() == []
    assert made.at(EVENING_S + 601) == [phase(0).key, phase(3).key]


def test_of_two_answers_the_one_that_stands_counts(desk) -> None:
    made = desk(escalate=TEN_MINUTES)
    made.take(phase(0, 1))
    made.answer(phase(0), seen(1))
    made.answer(phase(0), seen(2))
    made.answer(phase(0), seen(1, withdrawn_ns=5))
    assert made.at(EVENING_S + 601) == []
    assert made.holding.called_off == {("web", "answered"): 1}
    made.answer(phase(0), seen(2, withdrawn_ns=6))
    assert made.now() == [phase(0).key]


def test_what_is_over_when_its_time_comes_is_told_only_if_it_was_severe(desk) -> None:
    made = desk(escalate=TEN_MINUTES)
    made.take(phase(0, 1), cleared(1, 10))
    made.take(phase(0, 1, "high", "yard"), cleared(1, 10, "high", "yard"))
    told = made.at(EVENING_S + 700)
    assert told == [phase(0, scene="yard").key, cleared(1, scene="yard").key]
    assert made.holding.called_off == {("web", "over"): 2}


def test_a_restart_neither_forgets_nor_restarts_the_time(desk) -> None:
    made = desk(escalate=TEN_MINUTES)
    made.take(phase(0, 1), phase(0, 1, scene="yard"))
    made.answer(phase(0, scene="yard"), seen())
    made.restart(escalate=TEN_MINUTES)
    assert made.at(EVENING_S + 600) == []
    made.restart(escalate=TEN_MINUTES)
    assert made.at(EVENING_S + 601) == [phase(0).key]


def test_what_arrives_late_is_told_by_when_it_was_raised(desk) -> None:
    made = desk(escalate=TEN_MINUTES)
    made.at(EVENING_S + 3600)
    made.take(phase(0, 1))
    assert made.now() == [phase(0).key]


def test_in_quiet_hours_an_escalation_waits_for_their_end_unless_severe(desk) -> None:
    made = desk(escalate=TEN_MINUTES, quiet=NIGHT)
    made.take(phase(0, 1), phase(0, 1, "high", "yard"), phase(0, 1, scene="roof"))
    assert made.at(EVENING_S + 601) == [phase(0, scene="yard").key]
    made.answer(phase(0, scene="roof"), seen())
    assert made.at(MORNING_S) == [phase(0).key]


# Answers told


def test_a_sink_is_told_what_people_answer_to_what_it_was_told_of(desk) -> None:
    made = desk(answers=True)
    made.take(phase(0))
    made.answer(phase(0), seen(note="a bird"))
    made.answer(phase(0, scene="yard"), seen())  # of which it was not told
    made.answer(phase(0), seen(withdrawn_ns=5, withdrawn_by="Bob"))
    assert made.now() == [
        phase(0).key,
        f"{phase(0).id}: seen by Ada: a bird",
        f"{phase(0).id}: taken back by Bob: seen by Ada",
    ]


def test_an_answer_is_told_once_and_only_where_that_is_wanted(desk) -> None:
    made = desk(answers=True)
    made.take(phase(0))
    made.answer(phase(0), seen())
    made.answer(phase(0), seen())
    assert len(made.now()) == 2
    made.restart()
    made.answer(phase(0), seen(2))
    assert made.now() == []


def test_an_answer_is_not_swallowed_by_the_digest_of_its_event(desk) -> None:
    made = desk(answers=True, digest_after_s=60)
    made.take(phase(0), cleared(1, 10))
    made.answer(cleared(1, 10), seen())
    assert made.at(EVENING_S + 3600) == ["digest of 1", f"{phase(0).id}: seen by Ada"]


def test_an_answer_waits_for_the_end_of_the_quiet_hours_as_its_event_would(desk) -> None:
    made = desk(answers=True, quiet=NIGHT)
    made.at(MORNING_S)
    made.take(phase(0))
    made.at(EVENING_S + DAY_S)
    made.answer(phase(0), seen())
    assert made.now() == []
    assert made.at(MORNING_S + DAY_S) == [f"{phase(0).id}: seen by Ada"]


# All or nothing


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
    monkeypatch.setattr(outbox_holds, "_bind", full)
    with pytest.raises(StoreError):
        made.at(MORNING_S)
    assert made.store.holds.counts() == {("web", "quiet hours"): 3}
    monkeypatch.undo()
    assert sorted(made.now()) == sorted(["digest of 1", phase(0, scene="yard").key])
