from dataclasses import replace

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.models.density import (
    LevelDensity,
    eliminated,
    fit_axes,
    fit_level,
    fit_places,
    fit_pooled,
)
from pipeline.models.drift import Wander, steady, widening
from pipeline.models.item_density import fit_items
from pipeline.models.neighbours import kth_distance
from pipeline.models.normalise import drift_of, fit_normaliser
from pipeline.models.settings import DetectorSettings
from pipeline.models.shrinkage import ledoit_wolf, whitening
from pipeline.models.stream_density import Rows, fit_stream
from pipeline.models.tails import PlaceTails, Tail, fit_pareto, fit_place_tails
from pipeline.models.text_features import TextFeatures

NO_SLACK = torch.zeros(2, 3, dtype=torch.float64)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(), dtype=torch.float64)


def test_shrinkage_follows_the_formula_of_ledoit_and_wolf():
    data = normal(1, 30, 8) * torch.arange(1, 9)
    mean, covariance = ledoit_wolf(data)
    x = data[0].numpy() - data[0].numpy().mean(axis=0)
    sample = x.T @ x / 30
    level = np.trace(sample) / 8
    spread = ((sample - level * np.eye(8)) ** 2).sum()
    error = sum(((np.outer(row, row) - sample) ** 2).sum() for row in x) / 30**2
    shrink = min(error, spread) / spread
    expected = (1 - shrink) * sample + shrink * level * np.eye(8)
    np.testing.assert_allclose(covariance[0].numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(mean[0].numpy(), data[0].numpy().mean(axis=0))


def test_rows_without_weight_do_not_count():
    data = normal(2, 50, 3)
    weight = torch.ones(2, 50, dtype=torch.float64)
    weight[0, 25:] = 0
    _, whole = ledoit_wolf(data[:1, :25])
    _, part = ledoit_wolf(data, weight)
    torch.testing.assert_close(part[:1], whole)


def test_whitened_data_are_white():
    data = normal(1, 4000, 5) @ (torch.eye(5) + 0.3).double()
    _, covariance = ledoit_wolf(data)
    white = data @ whitening(covariance)
    torch.testing.assert_close(
        torch.cov(white[0].T), torch.eye(5, dtype=torch.float64), atol=0.1, rtol=0
    )


def test_the_neighbour_distance_is_that_of_a_plain_search():
    points, memory = normal(2, 7, 3), normal(2, 40, 3) + 0.5
    found = kth_distance(points, memory, 3)
    for place in range(2):
        for row in range(7):
            away = ((memory[place] - points[place, row]) ** 2).sum(dim=1).sqrt().sort().values
            assert found[place, row] == pytest.approx(float(away[2]))


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("k", [1, 3])
def test_the_furthest_item_of_a_window_is_that_of_a_plain_search_to_the_bit(plain, k):
    density = fit_items(normal(300, 7), 100, plain, generator())
    chance = torch.Generator().manual_seed(k)
    counts = torch.randint(0, 9, (200,), generator=chance).tolist()
    items = torch.randn(sum(counts), 7, generator=chance, dtype=torch.float64)
    items[::5] = items[1]  # some alike, some far out, some remembered
    items[::7] *= 1e6
    items[::3] = normal(300, 7)[: len(items[::3])]
    every = density.scores(items, k).split(counts)
    expected = [float(part.max()) if len(part) else 0.0 for part in every]
    assert density.furthest(items, counts, k).tolist() == expected
    assert len({*expected}) > 50


def test_an_item_that_is_no_number_is_not_passed_over():
    density = fit_items(normal(300, 7), 100, False, generator())
    items = normal(6, 7)
    items[3, 2] = torch.nan
    found = density.furthest(items, [2, 2, 0, 2], 3)
    assert found.isnan().tolist() == [False, True, False, False]


def test_a_place_remembers_its_rare_windows():
    places = normal(500, 2, 3) * 0.1
    places[::100, 0] += 5.0
    density = fit_places(places, torch.ones(500, 2, dtype=torch.bool), NO_SLACK, 40, generator())
    rare = torch.full((1, 2, 3), 5.0, dtype=torch.float64)
    _, near = density.scores(rare, torch.ones(1, 2, dtype=torch.bool), 3)
    assert near[0, 0] < near[0, 1] / 5


def test_a_place_that_was_never_seen_is_never_scored():
    present = torch.ones(100, 2, dtype=torch.bool)
    present[:, 1] = False
    density = fit_places(normal(100, 2, 3), present, NO_SLACK, 40, generator())
    far, near = density.scores(normal(1, 2, 3), torch.ones(1, 2, dtype=torch.bool), 3)
    assert torch.isfinite(far[0, 0])
    assert torch.isnan(far[0, 1])
    assert torch.isnan(near[0, 1])


def test_the_pooled_density_sees_along_and_across_its_components():
    data = normal(800, 60)
    data[:, 0] *= 10
    density = fit_pooled(data, None, 8, 200, generator())
    across = torch.zeros(1, 60, dtype=torch.float64)
    across[0, 30] = 20.0
    ordinary, _ = density.scores(data[:50], 3)
    far, _ = density.scores(across, 3)
    assert far[0] > ordinary.max()


def test_the_leading_axes_are_white_and_the_last_leads():
    data = normal(800, 20)
    data[:, 3] *= 5
    axes = fit_axes(data, 4)
    found = axes.embed(data)
    torch.testing.assert_close(found.std(dim=0), torch.ones(4, dtype=found.dtype), atol=0.1, rtol=0)
    assert axes.project[:, -1].abs().argmax() == 3


def test_repeated_lines_are_remembered_once():
    items = torch.eye(4, dtype=torch.float64).repeat(50, 1)
    density = fit_items(items, 100, True, generator())
    assert len(torch.unique(density.memory, dim=0)) == 4
    assert density.scores(items[:1], 1)[0] == 0.0


def test_a_line_that_came_once_is_known_however_often_others_came():
    often = torch.eye(64, dtype=torch.float64).repeat(1000, 1)
    once = torch.nn.functional.normalize(normal(20, 64), dim=1)
    items = torch.cat([often[:30_000], once, often[30_000:]])
    counts = [len(items) // 40] * 39
    counts.append(len(items) - sum(counts))
    there = torch.ones(40, 1, dtype=torch.bool)
    times_s = torch.arange(40, dtype=torch.float64)
    rows = Rows(normal(40, 1, 17), there, items, tuple(counts), times_s)
    text, settings = TextFeatures(0.5, timeless=True), DetectorSettings()
    density = fit_stream(rows, text, settings, None, None, None, generator())
    assert density.items is not None
    assert density.items.memory.shape == (84, 64)
    assert not density.items.scores(once, 1).any()


def test_a_constant_column_makes_any_change_strange_but_nothing_infinite():
    places = torch.cat([normal(200, 1, 1), torch.full((200, 1, 1), 3.0).double()], dim=2)
    normaliser, _ = fit_normaliser(places, torch.ones(200, 1, dtype=torch.bool), (), (), 0)
    changed = torch.tensor([[[0.0, 4.0]]], dtype=torch.float64)
    seen = normaliser.apply(changed, torch.ones(1, 1, dtype=torch.bool))
    assert 50 < seen[0, 0, 1] < 1e5


def test_changes_of_the_whole_picture_are_taken_out_and_local_ones_stay():
    light = normal(400, 1) * 5
    places = (light[:, :, None] + normal(400, 36, 1)).expand(-1, -1, 1).clone()
    there = torch.ones(400, 36, dtype=torch.bool)
    normaliser, _ = fit_normaliser(places, there, (), (0,), 4)
    assert normaliser.modes.shape[1] == 1
    brighter = torch.full((1, 36, 1), 5.0, dtype=torch.float64)
    local = brighter.clone()
    local[0, 3] += 15.0
    assert normaliser.apply(brighter, there[:1]).abs().max() < 0.3
    assert normaliser.apply(local, there[:1])[0, 3, 0] > 1.5


def test_the_pareto_fit_finds_shape_and_scale():
    uniform = (np.arange(4000) + 0.5) / 4000
    heavy = np.sort((uniform**-0.3 - 1) / 0.3 * 2.0)
    fitted = fit_pareto(heavy, 0.0, 0.0)
    assert fitted.shape == pytest.approx(0.3, abs=0.05)
    assert fitted.scale == pytest.approx(2.0, rel=0.1)
    exponential = fit_pareto(np.sort(-np.log(uniform)), 0.0, 0.0)
    assert exponential.shape == pytest.approx(0.0, abs=0.03)


def test_p_values_of_normal_are_uniform_and_go_on_smoothly_beyond_the_data():
    rng = np.random.default_rng(1)
    tail = Tail(rng.normal(size=2000))
    fresh = np.sort(tail.p(rng.normal(size=4000)))
    assert np.abs(fresh - (np.arange(4000) + 0.5) / 4000).max() < 0.04
    grid = np.array([-9.0, 0.0, 1.28, 2.0, 3.5, 40.0, np.nan])
    np.testing.assert_allclose([tail.p_of(float(s)) for s in grid], tail.p(grid))
    beyond = tail.p(np.array([2.0, 3.0, 4.0, 5.0, 6.0]))
    assert (np.diff(beyond) < 0).all()
    assert beyond[-1] < 1e-4


def test_one_score_and_many_are_as_rare_where_the_tail_is_heavy():
    ranks = (np.arange(2000) + 0.5) / 2000
    tail = Tail((1.0 - ranks) ** -0.4)
    grid = np.array([1.0, 2.0, 3.0, 10.0, 40.0, 1e4, 1e60])
    np.testing.assert_allclose([tail.p_of(float(s)) for s in grid], tail.p(grid))
    np.testing.assert_allclose(tail.p(np.array([10.0])), 10.0**-2.5, rtol=0.5)
    assert tail.p(np.array([1e60]))[0] == 1e-15


def test_p_values_without_enough_normal_are_ranks_and_nan_stays_nan():
    tail = Tail(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(tail.p(np.array([0.0, 2.5, 9.0])), [1.0, 0.5, 0.25])
    assert np.isnan(tail.p(np.array([np.nan]))[0])
    assert Tail(np.zeros(0)).p(np.array([5.0]))[0] == 1.0


def test_ties_do_not_make_an_ordinary_score_rare():
    tail = Tail(np.zeros(500))
    assert tail.p(np.array([0.0]))[0] == 1.0
    assert tail.p(np.array([1.0]))[0] < 0.01


def test_rounding_does_not_break_the_ties_of_windows_that_are_the_same():
    normal = np.concatenate([np.zeros(475), np.arange(1.0, 6.0)])
    noise = np.array([0.0, 1.8e-15, 1e-12])
    tail, places = Tail(normal), fit_place_tails(normal[:, None])
    assert (tail.p(noise) == 1.0).all()
    assert [tail.p_of(float(score)) for score in noise] == [1.0] * 3
    assert len(np.unique(places.surprise(noise[:, None]))) == 1


def test_what_part_of_the_normal_gives_a_little_less_is_no_rarer_than_what_most_windows_are():
    normal = np.repeat([0.801, 1.2486], [1440, 2160])  # without a line and with one
    live = np.array([0.8165, 1.2248, 1.3])  # by what learnt all of it
    tail = Tail(normal)
    np.testing.assert_allclose(tail.p(live), [1.0, 2161 / 3601, 2161 / 3601])
    np.testing.assert_allclose([tail.p_of(float(s)) for s in live], tail.p(live))
    near = Tail(np.repeat([1.0, 1.02, 9.0], [400, 500, 100]))
    assert near.p_of(1.009) == 1.0
    assert near.p_of(1.011) == pytest.approx(601 / 1001)
    assert tail.p_of(2.0) < 1e-3


def test_a_place_that_never_changed_gives_no_surprise_beyond_the_smallest_p():
    places = fit_place_tails(np.full((400, 1), 0.5))
    assert places.surprise(np.array([[3.0]]))[0, 0] == 15.0


def test_place_tails_make_noisy_and_quiet_places_comparable():
    rng = np.random.default_rng(0)
    scores = rng.exponential(size=(3000, 3)) * np.array([1.0, 10.0, 1.0])
    scores[:, 2] = np.nan
    tails = fit_place_tails(scores)
    assert isinstance(tails, PlaceTails)
    at = np.array([[6.9, 69.0, np.nan]])  # one in a thousand
    surprise = tails.surprise(at)
    np.testing.assert_allclose(surprise[0, :2], 3.0, atol=0.4)
    assert surprise[0, 2] == 0.0


def test_place_tails_rank_each_place_by_its_own_normal_below_the_tail():
    ranks = (np.arange(2000) + 0.5) / 2000
    tails = fit_place_tails(np.stack([ranks, 50.0 + 10.0 * ranks], axis=1))
    for rank in (0.2, 0.5, 0.8):
        at = tails.surprise(np.array([[rank, 50.0 + 10.0 * rank]]))[0]
        np.testing.assert_allclose(10.0**-at, 1.0 - rank, atol=1 / 16)


def test_place_tails_know_a_heavy_tail_from_a_light_one():
    ranks = (np.arange(4000) + 0.5) / 4000
    heavy = (1.0 - ranks) ** -0.4  # one in a thousand reaches 1000**0.4
    tails = fit_place_tails(heavy[:, None])
    for rarity in (2.0, 3.0, 4.0):
        at = tails.surprise(np.array([[10.0 ** (0.4 * rarity)]]))[0, 0]
        assert at == pytest.approx(rarity, abs=0.2)


def test_a_drifting_column_is_widened_and_a_steady_one_is_not():
    steady = normal(800, 1, 1)
    walk = torch.cumsum(normal(800, 1, 1), dim=0)
    walk = (walk - walk.mean()) / walk.std()
    wider = widening(torch.cat([steady, walk], dim=2), horizon=48.0)
    assert wider[0, 0] == 1.0
    assert 2.0 < wider[0, 1] < 10.0


def test_drift_does_not_hide_a_change_of_a_steady_column():
    there = torch.ones(800, 1, dtype=torch.bool)
    walk = torch.cumsum(normal(800, 1, 1), dim=0)
    places = torch.cat([normal(800, 1, 1), walk], dim=2)
    drift = drift_of(places, there, (), horizon=48.0)
    normaliser, slack = fit_normaliser(places, there, (), (), 0, drift)
    density = fit_places(normaliser.apply(places, there), there, slack, 200, generator())
    spread = float(walk.std())
    now = torch.tensor([[[0.0, 4 * spread]], [[5.0, 0.0]]], dtype=torch.float64) + places.mean(0)
    far, _ = density.scores(normaliser.apply(now, there[:2]), there[:2], 3)
    assert far[0, 0] < 2.0
    assert far[1, 0] > 4.0


def test_a_change_within_the_tolerance_is_not_unusual_however_steady_it_was():
    there = torch.ones(400, 1, dtype=torch.bool)
    places = 22.9 + 0.01 * normal(400, 1, 1)
    tolerance = torch.full((1, 1), 0.4, dtype=torch.float64)
    now = torch.full((1, 1, 1), 23.2, dtype=torch.float64)

    def distance(least: torch.Tensor | None) -> float:
        normaliser, slack = fit_normaliser(places, there, (), (), 0, tolerance=least)
        density = fit_places(normaliser.apply(places, there), there, slack, 100, generator())
        far, _ = density.scores(normaliser.apply(now, there[:1]), there[:1], 3)
        return float(far[0, 0])

    assert distance(None) > 10
    assert distance(tolerance) < 1


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
