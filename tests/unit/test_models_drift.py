from __future__ import annotations

import numpy as np
import torch

from pipeline.detection.scorer import Scorer
from pipeline.models.drift import Wander, slow_variance, steady
from pipeline.models.settings import DetectorSettings
from pipeline.training.commissioning import commission
from tests.benchmarks.real.series import SCENE, STREAM, Table

HOUR_S = 3600
TABLE = Table(3, 10.0, 12)
LEARNT = 360  # rows: an hour


def wander(slow: float = 0.5, longest_s: float = 12.0 * HOUR_S) -> Wander:
    numbers = torch.tensor([[slow, 0.0]]), torch.tensor([0.0, HOUR_S]), torch.tensor(longest_s)
    return Wander(*(one.to(torch.float64) for one in numbers))


def times(*hours: float) -> torch.Tensor:
    return torch.tensor(hours, dtype=torch.float64) * HOUR_S


def test_limits_are_as_learnt_in_the_learnt_time_and_grow_on_either_side_of_it():
    growth = wander().growth(times(0, 0.5, 1, -1, 2, 5))[:, 0]
    assert (growth[:3] == 1).all() and (growth[:, 1] == 1).all()
    assert growth[3, 0] == growth[4, 0] > 1
    torch.testing.assert_close(growth[5, 0], torch.tensor((1 + 0.5 * 16) ** 0.5).double())


def test_limits_grow_no_more_after_the_longest_time():
    growth = wander(longest_s=2 * HOUR_S).growth(times(3, 30))
    assert growth[0, 0, 0] == growth[1, 0, 0]
    assert (steady(1, 2).growth(times(0, 1000)) == 1).all()


def smoothed(steps: np.ndarray, width: int) -> torch.Tensor:
    means = np.convolve(steps, np.ones(width) / width, "valid")
    return torch.from_numpy((means - means.mean()) / means.std())[:, None, None]


def test_windows_that_overlap_are_not_taken_for_a_slow_change():
    noises = [np.random.default_rng(seed).normal(size=400) for seed in range(10)]
    known = [float(slow_variance(smoothed(one, 20), overlap=20)) for one in noises]
    as_if_apart = [float(slow_variance(smoothed(one, 20))) for one in noises]
    assert max(known) < 0.2 < max(as_if_apart)
    assert np.mean(known) < 0.3 * np.mean(as_if_apart)
    for one in noises:
        assert slow_variance(smoothed(one.cumsum(), 20), overlap=20) > 0.4


def test_too_few_windows_tell_of_no_slow_change():
    assert (slow_variance(torch.ones(8, 2, 3, dtype=torch.float64)) == 0).all()


def room(first: int, count: int, seed: int) -> np.ndarray:
    """A temperature that falls by a degree in ten hours, and two steady channels."""
    random = np.random.default_rng(seed)
    at = np.arange(first, first + count) / LEARNT
    slow = 0.3 * np.sin(2 * np.pi * at / 1.7) - 0.1 * at
    values = np.stack([0.3 + slow, np.zeros(count), np.zeros(count)], axis=1)
    return values + random.normal(0, 0.05, values.shape)


def found(scorer: Scorer, values: np.ndarray, first: int) -> np.ndarray:
    windows = list(TABLE.windows(values, first))
    return np.array([scorer.score([w])[0].detectors[f"sensor:{STREAM}"] for w in windows])


def test_a_room_at_another_hour_is_ordinary_and_its_spikes_and_the_steady_are_not():
    settings = DetectorSettings(evidence=(), place_memory=100)
    model, report = commission(SCENE, TABLE.windows(room(0, LEARNT, 0)), settings)
    scorer = Scorer({SCENE: model}, "cpu")
    later = 8 * LEARNT
    normal = room(later, 60, 1)
    assert normal[:, 0].mean() < room(0, LEARNT, 0)[:, 0].min() - 0.2
    assert np.median(found(scorer, normal, later)) > 0.05
    for channel, change in ((0, 0.6), (1, 0.6)):
        spoiled = room(later, 60, 1)
        spoiled[30 if channel == 0 else slice(30, None), channel] += change
        assert found(scorer, spoiled, later)[25:].min() < 0.03
    (said,) = [one for one in report.abilities.cannot if "wandering" in one]
    assert "channel-0" in said and "channel-1" not in said and "after 12 h" in said


def test_that_room_is_strange_right_after_it_was_learnt():
    model, _ = commission(
        SCENE, TABLE.windows(room(0, LEARNT, 0)), DetectorSettings(evidence=(), place_memory=100)
    )
    now = room(LEARNT, 60, 1)
    now[:, 0] = room(8 * LEARNT, 60, 1)[:, 0] - 0.5
    assert np.median(found(Scorer({SCENE: model}, "cpu"), now, LEARNT)) < 0.01
