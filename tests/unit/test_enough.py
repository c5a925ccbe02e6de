"""When a live recording of normal is enough."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from pipeline.training.enough import EnoughSettings, Look, Standing, Why, ends, standing_of
from pipeline.training.learning_curve import Gain

SETTINGS = EnoughSettings()
GAIN = Gain(
    300.0, 300.0, 0.5, 0.45, low=-0.05, high=0.15, raised=1, stood=0.1, allowed=1.0, newest={}
)
LOOK = Look(600.0, 2.0, 1.8, 2.3, supported=True, needed_s=300.0, gain=GAIN, took_s=9.0)


def look(**changed: object) -> Look:
    supported = bool(changed.pop("supported", True))
    return replace(LOOK, supported=supported, gain=replace(GAIN, **changed))


def test_looks_are_taken_at_the_lengths_set_and_then_at_ever_longer_ones():
    settings = EnoughSettings(lengths_min=(5, 7, 10))
    assert [settings.next_s(at) for at in (0, 299.5, 300, 420)] == [300, 300, 420, 600]
    assert settings.next_s(600) == pytest.approx(600 * 10 / 7)
    assert settings.next_s(6000) > 6000
    assert EnoughSettings(lengths_min=(3,)).next_s(180) == 360


@pytest.mark.parametrize("lengths", [(), (0, 5), (5, 5), (7, 5)])
def test_lengths_that_do_not_grow_are_refused(lengths: tuple[float, ...]):
    with pytest.raises(ValidationError, match="must grow"):
        EnoughSettings(lengths_min=lengths)


def test_how_it_stands():
    assert standing_of(replace(LOOK, gain=None), SETTINGS) is Standing.UNKNOWN
    assert standing_of(look(low=0.3, high=0.9), SETTINGS) is Standing.LEARNING
    assert standing_of(look(low=-0.4, high=0.9), SETTINGS) is Standing.UNSURE
    assert standing_of(look(), SETTINGS) is Standing.ENOUGH
    assert standing_of(look(supported=False), SETTINGS) is Standing.SHORT


def test_a_gain_that_is_real_but_tiny_does_not_keep_it_from_ending():
    assert standing_of(look(low=0.03, high=0.06), SETTINGS) is Standing.ENOUGH


def test_more_alarms_than_the_budget_explains_are_not_settled():
    assert standing_of(look(raised=3, allowed=1.0), SETTINGS) is Standing.ENOUGH
    assert standing_of(look(raised=4, allowed=1.0), SETTINGS) is Standing.ALARMING
    assert standing_of(look(raised=1, allowed=0.002), SETTINGS) is Standing.ALARMING
    assert standing_of(look(raised=0, allowed=0.0), SETTINGS) is Standing.ENOUGH


def test_as_many_alarms_as_hours_of_a_large_budget_bring_are_judged_too():
    assert standing_of(look(raised=150, allowed=150.0), SETTINGS) is Standing.ENOUGH
    assert standing_of(look(raised=170, allowed=150.0), SETTINGS) is Standing.ENOUGH
    assert standing_of(look(raised=171, allowed=150.0), SETTINGS) is Standing.ALARMING
    assert standing_of(look(raised=5000, allowed=6000.0), SETTINGS) is Standing.ENOUGH


def test_it_ends_when_enough_or_at_the_latest_when_set():
    at_most = EnoughSettings(at_most_min=10)
    assert ends([], 599.0, at_most) is None
    assert ends([], 600.0, at_most) is Why.AT_MOST
    assert ends([look(low=0.3, high=0.9)], 599.0, at_most) is None
    assert ends([look(supported=False)], 599.0, at_most) is None
    assert ends([look(low=0.3, high=0.9), look(), look()], 10.0, at_most) is Why.ENOUGH
    assert ends([look(), look(low=0.3, high=0.9), look()], 10.0, at_most) is None
    assert ends([look()], 10.0, at_most) is None  # one quiet stretch proves little
    once = EnoughSettings(looks_in_a_row=1)
    assert ends([look(low=0.3, high=0.9), look()], 10.0, once) is Why.ENOUGH
    assert ends([look(), look(low=0.3, high=0.9)], 10.0, at_most) is None
