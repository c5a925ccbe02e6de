"""What is told only if nobody answered in time."""

from __future__ import annotations

import pytest

from tests.holding_desk import (
    EVENING_S,
    MORNING_S,
    NIGHT,
    SECOND,
    cleared,
    desks,
    phase,
    seen,
)


@pytest.fixture
def desk(tmp_path):
    with desks(tmp_path) as make:
        yield make


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
