from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.models.cycle import Rhythm, fit_cycle, period_of
from pipeline.models.normalise import fit_normaliser

STEP_S, DAY_S = 900.0, 86_400.0
PER_DAY = 96


def times(days: float) -> torch.Tensor:
    return torch.arange(round(days * PER_DAY), dtype=torch.float64) * STEP_S + 1.7e9


def daily(at: torch.Tensor, period_s: float = DAY_S, seed: int = 0) -> torch.Tensor:
    """Two channels: one follows the cycle, one only wanders. ``(n, 2)``."""
    random = np.random.default_rng(seed)
    wave = torch.sin(2 * torch.pi * at / period_s)
    noise = torch.from_numpy(random.normal(0, 0.2, (len(at), 2)))
    wander = torch.from_numpy(np.cumsum(random.normal(0, 0.05, len(at))))
    return torch.stack([wave, wander], dim=1) + noise


def test_a_day_is_found_and_snapped_to_its_exact_length():
    at = times(8)
    assert period_of(daily(at), at, STEP_S, STEP_S) == DAY_S


def test_a_shorter_cycle_is_found_to_a_fraction_of_a_step():
    at = times(8)
    found = period_of(daily(at, period_s=31.3 * STEP_S), at, STEP_S, STEP_S)
    assert found == pytest.approx(31.3 * STEP_S, rel=0.01)


def test_wandering_and_noise_are_no_cycle():
    at = times(8)
    for seed in range(5):
        assert period_of(daily(at, seed=seed)[:, 1:], at, STEP_S, STEP_S) == 0.0


def test_a_cycle_seen_less_than_three_times_is_not_believed():
    at = times(2)
    assert period_of(daily(at), at, STEP_S, STEP_S) == 0.0


def test_a_stretch_that_is_missing_does_not_hide_the_day():
    at = times(10)
    kept = (at < at[250]) | (at > at[400])
    assert period_of(daily(at)[kept], at[kept], STEP_S, STEP_S) == DAY_S


def test_only_the_channel_that_follows_the_cycle_is_expected_to():
    at = times(8)
    cycle = fit_cycle(daily(at)[..., None], at, Rhythm(DAY_S, STEP_S))
    assert cycle.profile[:, 0].abs().max() > 0.8
    assert not cycle.profile[:, 1].any()


def test_what_is_ordinary_by_day_is_far_from_normal_at_night():
    at = times(8)
    places = daily(at)[:, :1, None]
    there = torch.ones(len(at), 1, dtype=torch.bool)
    rhythm = Rhythm(DAY_S, STEP_S)
    normaliser, _ = fit_normaliser(places, there, (), (), 0, times_s=at, rhythm=rhythm)
    high, low = at[PER_DAY // 4 :: PER_DAY][:1], at[3 * PER_DAY // 4 :: PER_DAY][:1]
    noon = torch.remainder(high, DAY_S) / DAY_S
    value = torch.sin(2 * torch.pi * noon).reshape(1, 1, 1)
    assert normaliser.apply(value, there[:1], high).abs().max() < 2
    assert normaliser.apply(value, there[:1], low).abs().max() > 5


def test_a_stream_without_a_rhythm_is_judged_as_ever():
    at = times(4)
    places, there = daily(at)[..., None], torch.ones(len(at), 2, dtype=torch.bool)
    plain, _ = fit_normaliser(places, there, (), (), 0)
    assert torch.equal(plain.apply(places, there), plain.apply(places, there, at))
