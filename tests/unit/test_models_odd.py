"""The odd one out on made-up streams: a hidden walker whom every stream shows in its own way."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pytest
import torch

from pipeline.models.contexts.base import CONTEXTS
from pipeline.models.fusions.base import FUSIONS
from pipeline.models.odd import odd_scores
from pipeline.models.odd_network import OddNetwork
from pipeline.models.odd_settings import OddSettings
from pipeline.models.patterns import Pattern, patterns_of
from pipeline.training.loop import LoopSettings, run_loop
from pipeline.training.odd_runs import Runs

COUNT, HOP_S, STREAMS = 1200, 0.5, 3
ALL, PAIR = ((0, 1, 2),), ((0, 2),)
SMALL = OddSettings(
    dims=4,
    hidden=32,
    width=16,
    dropout=0.1,
    noise=0.1,
    learning_rate=8e-3,
    runs=8,
    run_s=6.0,
    windows=4,
)


def components(seed: int) -> list[torch.Tensor]:
    """Streams ``(n, 4)``: size and kind of a walker in numbers that no line leads between."""
    rng = np.random.default_rng(seed)
    change = rng.random(COUNT) < 0.12
    walker = np.cumsum(change) % 4  # 0: nobody
    kinds = rng.permutation(64)[np.cumsum(change) % 64] % 3
    found = []
    for stream in range(STREAMS):
        values = rng.normal(0, 0.3, (COUNT, 4))
        values[:, 0] += np.where(walker > 0, 2.0, 0.0)
        values[:, 1] += np.where(walker > 0, np.cos(2 * np.pi * (kinds + stream) / 3) * 2, 0.0)
        values[:, 2] += np.where(walker > 0, np.sin(2 * np.pi * (kinds - stream) / 3) * 2, 0.0)
        found.append(torch.from_numpy(values.astype(np.float32)))
    return found


def runs(settings: OddSettings, seed: int, patterns: Sequence[Pattern] | None = None) -> Runs:
    usable = np.ones(COUNT, np.bool_)
    return Runs(settings, components(seed), np.arange(COUNT), usable, HOP_S, patterns)


def train(
    settings: OddSettings, steps: int, patterns: Sequence[Pattern] | None = None
) -> OddNetwork:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = OddNetwork(settings, [4] * STREAMS)
    drawn = runs(settings, 0, patterns)
    loop = LoopSettings(
        steps=steps, learning_rate=settings.learning_rate, evaluate_every=steps, seed=0
    )
    run_loop(
        network,
        lambda _, generator: drawn.loss(network, generator),
        None,
        loop,
        progress=lambda *_: None,
    )
    return network


def found(network: OddNetwork, settings: OddSettings, stream: int) -> tuple[float, float]:
    """AUROC of swapped windows against their own, and share of them where it names the stream."""
    fresh = components(1)
    past = settings.windows
    ends = np.arange(past, COUNT - 60, 7)
    rows = torch.from_numpy(ends[:, None] + np.arange(-past + 1, 1))
    whole = [one[rows] for one in fresh]
    seen = torch.ones(len(ends), past, STREAMS, dtype=torch.bool)
    right = odd_scores(network, whole, seen, ALL)
    whole[stream] = fresh[stream][rows + 50]
    wrong = odd_scores(network, whole, seen, ALL)
    higher = (wrong[:, stream][:, None] > right[:, stream][None]).float().mean()
    clear = wrong.amax(dim=1) > right.amax(dim=1).quantile(0.95)
    return float(higher), float((wrong.argmax(dim=1) == stream)[clear].float().mean())


def pasts(first: int, count: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Rows of windows with those before them, and that all streams are seen."""
    ends = np.arange(first, first + count)
    rows = torch.from_numpy(ends[:, None] + np.arange(-SMALL.windows + 1, 1))
    seen = torch.ones(count, SMALL.windows, STREAMS, dtype=torch.bool)
    return [one[rows] for one in components(1)], seen


@lru_cache(maxsize=1)
def usual() -> OddNetwork:
    return train(SMALL, 120)


@lru_cache(maxsize=1)
def spare() -> OddNetwork:
    return train(SMALL, 120, patterns_of(STREAMS)[1:])


@pytest.mark.parametrize("stream", range(STREAMS))
def test_a_stream_from_another_time_scores_high_and_is_named(stream):
    auroc, named = found(usual(), SMALL, stream)
    assert auroc > 0.75
    assert named > 0.8


@pytest.mark.parametrize("swapped", [0, 2])
def test_two_streams_go_on_while_the_third_is_away(swapped):
    whole, seen = pasts(100, 400)
    seen[..., 1] = False
    right = odd_scores(spare(), whole, seen, PAIR)
    whole[swapped] = components(1)[swapped][
        torch.arange(150, 550)[:, None] + torch.arange(-SMALL.windows + 1, 1)
    ]
    wrong = odd_scores(spare(), whole, seen, PAIR)
    assert (wrong.amax(dim=1)[:, None] > right.amax(dim=1)[None]).float().mean() > 0.7
    assert odd_scores(spare(), whole, seen, ALL).isnan().all()


@pytest.mark.parametrize("there", [True, False])
def test_a_set_of_streams_sees_nothing_of_the_others(there):
    whole, seen = pasts(100, 20)
    before = odd_scores(usual(), whole, seen, PAIR)
    whole[1] = torch.full_like(whole[1], 7.0 if there else torch.nan)
    seen[..., 1] = there
    assert torch.equal(odd_scores(usual(), whole, seen, PAIR), before)


@pytest.mark.parametrize("away", [(-1,), (0,), (1, 2)])
def test_a_set_is_silent_until_its_streams_were_there_in_every_window(away):
    whole, seen = pasts(100, 5)
    seen[2][list(away), 1] = False
    told = odd_scores(usual(), whole, seen, (*ALL, *PAIR)).isfinite()
    assert told[:, :3].all(dim=1).tolist() == [True, True, False, True, True]
    assert told[:, 3:].all()


def test_an_untrained_network_knows_nothing():
    torch.manual_seed(0)
    auroc, _ = found(OddNetwork(SMALL, [4] * STREAMS).eval(), SMALL, 1)
    assert abs(auroc - 0.5) < 0.1


@pytest.mark.parametrize("kind", [k for k in FUSIONS.kinds() if k not in ("add", "weighted_sum")])
def test_every_fusion_that_can_compare_streams_learns_it(kind):
    settings = SMALL.model_copy(update={"fusion": FUSIONS.settings(kind)()})
    assert found(train(settings, 60), settings, 1)[0] > 0.7


@pytest.mark.parametrize("kind", ["add", "weighted_sum"])
def test_sums_learn_it_by_what_comes_after_them_alone(kind):
    settings = SMALL.model_copy(update={"fusion": FUSIONS.settings(kind)()})
    assert found(train(settings, 90), settings, 1)[0] > 0.6


@pytest.mark.parametrize("kind", CONTEXTS.kinds())
def test_every_context_learns_it(kind):
    settings = SMALL.model_copy(update={"context": CONTEXTS.settings(kind)()})
    assert found(train(settings, 60), settings, 1)[0] > 0.7


def test_the_same_seed_gives_the_same_weights():
    one, two = train(SMALL, 12), train(SMALL, 12)
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_swap_takes_one_stream_from_elsewhere_and_says_where():
    drawn = runs(SMALL, 0)
    rng = np.random.default_rng(5)
    starts = np.array([100, 140, 300, 102])
    swap = drawn.swap(np.tile(starts, 50), rng)
    own = np.arange(200)[:, None]
    here = np.arange(drawn.length)[None, :]
    moved = (swap.row != own) | (swap.at != here)
    assert (moved == swap.swapped).all()
    assert 0.2 < swap.swapped.mean() < 0.8
    assert ((swap.row // 4) == (own // 4)).all()  # from its own neighbourhood
    within = swap.swapped & (swap.row == own)
    shift_s = np.abs(swap.at - here)[within] * HOP_S
    assert (SMALL.shift_s[0] <= shift_s).all() and (shift_s <= SMALL.shift_s[1]).all()
    between = swap.swapped & (swap.row != own)
    apart = np.abs(starts[swap.row % 4] - starts[own % 4])[between]
    assert (apart >= 10).all()


@pytest.mark.parametrize("streams", [3, 4, 6])
def test_streams_are_left_out_down_to_sets_that_are_judged_and_never_the_swapped_one(streams):
    sets = patterns_of(streams)[1:]
    usable = np.ones(COUNT, np.bool_)
    values = [torch.zeros(COUNT, 4)] * streams
    drawn = Runs(SMALL, values, np.arange(COUNT), usable, HOP_S, sets)
    odd = np.tile(np.arange(-1, streams), 400)
    shown = drawn.shown(odd, np.random.default_rng(3))
    assert shown[odd >= 0, odd[odd >= 0]].all()
    assert {tuple(np.flatnonzero(row).tolist()) for row in shown} == set(sets)
    every = Runs(SMALL, values, np.arange(COUNT), usable, HOP_S)
    assert every.shown(odd, np.random.default_rng(3)).all()


def test_runs_never_cross_a_gap_nor_a_window_that_may_not_be_used():
    usable = np.ones(COUNT, np.bool_)
    usable[200] = False
    indices = np.arange(COUNT) + np.where(np.arange(COUNT) >= 500, 40, 0)
    drawn = Runs(SMALL, components(0), indices, usable, HOP_S)
    ends = drawn.starts + drawn.length - 1
    assert not ((drawn.starts <= 200) & (ends >= 200)).any()
    assert not ((drawn.starts < 500) & (ends >= 500)).any()
    assert len(drawn.starts) > 1000
