import numpy as np
import pytest

from pipeline.models.tails import PlaceTails, Tail, fit_pareto, fit_place_tails


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
