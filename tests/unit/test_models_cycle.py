from __future__ import annotations

import numpy as np
import torch

from pipeline.models.cycle import Rhythm, daily, fit_cycle
from pipeline.models.normalise import fit_normaliser

STEP_S, DAY_S = 900.0, 86_400.0
PER_DAY = 96


def times(days: float) -> torch.Tensor:
    return torch.arange(round(days * PER_DAY), dtype=torch.float64) * STEP_S + 1.7e9


def readings(at: torch.Tensor, period_s: float = DAY_S, seed: int = 0) -> torch.Tensor:
    """Two channels: one follows the cycle, one only wanders. ``(n, 2)``."""
    random = np.random.default_rng(seed)
    wave = torch.sin(2 * torch.pi * at / period_s)
    noise = torch.from_numpy(random.normal(0, 0.2, (len(at), 2)))
    wander = torch.from_numpy(np.cumsum(random.normal(0, 0.05, len(at))))
    return torch.stack([wave, wander], dim=1) + noise


def test_days_are_counted_before_a_daily_rhythm_is_believed():
    assert daily(0.0, 2 * DAY_S, STEP_S) is None
    assert daily(0.0, 3 * DAY_S, STEP_S) == Rhythm(DAY_S, STEP_S)
    assert daily(0.0, 9 * DAY_S, DAY_S / 2) is None


def test_wandering_is_not_taken_for_a_rhythm():
    at = times(8)
    for seed in range(5):
        cycle = fit_cycle(readings(at, seed=seed)[:, 1:, None], at, Rhythm(DAY_S, STEP_S))
        assert not cycle.profile.any()


def test_a_cycle_of_another_length_is_not_expected_at_the_time_of_day():
    at = times(8)
    other = readings(at, period_s=0.37 * DAY_S)[:, :1, None]
    assert not fit_cycle(other, at, Rhythm(DAY_S, STEP_S)).profile.any()


def test_only_the_channel_that_follows_the_cycle_is_expected_to():
    at = times(8)
    cycle = fit_cycle(readings(at)[..., None], at, Rhythm(DAY_S, STEP_S))
    assert cycle.profile[:, 0].abs().max() > 0.8
    assert not cycle.profile[:, 1].any()


def test_what_is_ordinary_by_day_is_far_from_normal_at_night():
    at = times(8)
    places = readings(at)[:, :1, None]
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
    places, there = readings(at)[..., None], torch.ones(len(at), 2, dtype=torch.bool)
    plain, _ = fit_normaliser(places, there, (), (), 0)
    assert torch.equal(plain.apply(places, there), plain.apply(places, there, at))
