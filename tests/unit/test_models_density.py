import numpy as np
import pytest
import torch

from pipeline.models.density import (
    fit_axes,
    fit_places,
    fit_pooled,
)
from pipeline.models.drift import widening
from pipeline.models.item_density import fit_items
from pipeline.models.neighbours import kth_distance
from pipeline.models.normalise import drift_of, fit_normaliser
from pipeline.models.settings import DetectorSettings
from pipeline.models.shrinkage import ledoit_wolf, whitening
from pipeline.models.stream_density import Rows, fit_stream
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
