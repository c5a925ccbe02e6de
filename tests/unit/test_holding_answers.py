"""Sinks that are told what people answer."""

from __future__ import annotations

import pytest

from tests.holding_desk import (
    DAY_S,
    EVENING_S,
    MORNING_S,
    NIGHT,
    cleared,
    desks,
    phase,
    seen,
)


@pytest.fixture
def desk(tmp_path):
    with desks(tmp_path) as make:
        yield make


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
