from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.models.drift import Wander, steady
from pipeline.models.level_density import LevelDensity, eliminated, fit_level
from pipeline.models.shrinkage import ledoit_wolf


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_levels_that_do_not_go_together_are_far_though_each_is_ordinary():
    drawn = normal(400, 3)
    ever = torch.zeros((2, 1), dtype=torch.float64)
    density = fit_level((drawn[:, :1] + 0.1 * drawn[:, 1:])[..., None], 0, ever)
    at = steady(2, 1), torch.zeros(1, dtype=torch.float64)
    together = density.scores(torch.tensor([[[1.5], [1.5]]], dtype=torch.float64), *at)
    apart = density.scores(torch.tensor([[[1.0], [-1.0]]], dtype=torch.float64), *at)
    assert together < 3 and apart > 8


def test_levels_may_go_their_own_way_once_what_was_learnt_is_no_longer_fresh():
    drawn = normal(400, 3)
    drawn = (drawn[:, :1] + 0.1 * drawn[:, 1:])[..., None]  # (n, 2, 1)
    tolerance = torch.tensor([[0.5], [0.5]], dtype=torch.float64)
    density = fit_level(drawn, 0, tolerance)
    learnt_s = torch.tensor([0.0, 1800.0], dtype=torch.float64)
    wander = Wander(
        torch.zeros((2, 1), dtype=torch.float64), learnt_s, learnt_s.new_tensor(43200.0)
    )
    apart = torch.tensor([[[0.5], [-0.5]]], dtype=torch.float64)

    def distance(density: LevelDensity, wander: Wander, at_s: float) -> float:
        times_s = torch.tensor([at_s], dtype=torch.float64)
        grown = apart / wander.growth(times_s)
        return float(density.scores(grown, wander, times_s)[0])

    fresh = distance(density, wander, 1800.0)
    assert fresh == pytest.approx(distance(density, wander, 900.0))
    assert fresh > 4.5
    assert distance(density, wander, 1800.0 + 300.0) > 0.9 * fresh
    assert distance(density, wander, 1800.0 + 2700.0) < 1.2
    assert distance(density, wander, 1e9) == distance(density, wander, 1800.0 + 5400.0)
    # What wandered while it was learnt, is not held to the others for half an hour either.
    moving = replace(wander, slow=torch.tensor([[0.5], [0.5]], dtype=torch.float64))
    steadier = replace(density, tolerance=0.0 * tolerance[:, 0])
    assert distance(steadier, wander, 3600.0) == pytest.approx(fresh)
    assert distance(steadier, moving, 3600.0) < 1.2
    # A model of before knows no tolerance, and holds them to what was learnt for ever.
    assert distance(replace(density, tolerance=None), wander, 1e9) == pytest.approx(fresh)


def test_levels_are_as_far_as_the_covariance_of_both_says():
    drawn = normal(400, 3) @ normal(3, 3)
    tolerance = torch.tensor([[0.5], [0.1], [2.0]], dtype=torch.float64)
    density = fit_level(drawn[..., None], 0, tolerance)
    learnt_s = torch.tensor([0.0, 1800.0], dtype=torch.float64)
    wander = Wander(
        torch.zeros((3, 1), dtype=torch.float64), learnt_s, learnt_s.new_tensor(43200.0)
    )
    level = torch.tensor([[[2.0], [-1.0], [0.5]]], dtype=torch.float64)
    found = density.scores(level, wander, torch.tensor([1800.0 + 2700.0], dtype=torch.float64))
    mean, covariance = ledoit_wolf(drawn[None])
    away = level[0, :, 0] - mean[0]
    spread = covariance[0] + torch.diag(tolerance[:, 0])
    expected = float(away @ torch.linalg.solve(spread, away))
    assert float(found) == pytest.approx(expected**0.5)
    assert float(eliminated(away[None], spread[None])) == pytest.approx(expected)


class Crossings(TorchDispatchMode):
    """Notes what brings numbers from the processor to a GPU: a recorded run cannot hold that."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = [a.device.type for a in args if isinstance(a, torch.Tensor)]
        if "copy" in str(func) and "cpu" in given and out.device.type == "cuda":
            self.found.append(str(func))
        return out


def test_levels_are_judged_on_a_gpu_without_a_copy_from_the_processor():
    with FakeTensorMode():  # knows where each tensor would be, without a GPU

        def there(*shape: int) -> torch.Tensor:
            return torch.zeros(shape, dtype=torch.float64, device="cuda")

        wander = Wander(there(3, 1), there(2), there())
        density = LevelDensity(0, there(3), there(3, 3), there(3))  # type: ignore[arg-type]
        with Crossings() as seen:
            told = density.scores(there(1, 3, 1), wander, there(1))
        assert (told.device.type, told.shape) == ("cuda", (1,))
        assert seen.found == []


def test_levels_are_judged_by_the_same_bits_alone_and_in_a_row():
    density = fit_level(normal(400, 5)[..., None], 0, torch.full((5, 1), 0.3, dtype=torch.float64))
    learnt_s = torch.tensor([0.0, 1800.0], dtype=torch.float64)
    slow = torch.full((5, 1), 0.2, dtype=torch.float64)
    wander = Wander(slow, learnt_s, learnt_s.new_tensor(43200.0))
    times_s = 1800.0 + 200.0 * torch.arange(20, dtype=torch.float64)
    levels = normal(20, 5)[..., None]
    alone = [density.scores(levels[i : i + 1], wander, times_s[i : i + 1]) for i in range(20)]
    assert torch.equal(density.scores(levels, wander, times_s), torch.cat(alone))
