"""One contract, every kind of context."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from pipeline.models.contexts.base import CONTEXTS, Context, ContextSettings
from tests.model_samples import one_thread  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH = 12
KINDS = CONTEXTS.kinds()


def build(kind: str, seed: int = 0) -> Context:
    torch.manual_seed(seed)
    settings = CONTEXTS.settings(kind)(type=kind)
    assert isinstance(settings, ContextSettings)
    return settings.build(WIDTH)


def batch(steps: int = 7, count: int = 20) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(steps)
    x = torch.randn(count, steps, WIDTH, generator=source)
    present = torch.rand(count, steps, generator=source) < 0.7
    present[0], present[1] = True, False
    return x, present


@pytest.mark.parametrize("steps", [1, 2, 7, 80])
@pytest.mark.parametrize("kind", KINDS)
def test_every_window_has_a_vector_of_the_promised_width(kind, steps):
    context = build(kind)
    out = context(*batch(steps))
    assert out.shape == (20, steps, context.width)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_later_changes_nothing_before_it(kind):
    context = build(kind)
    x, present = batch()
    changed, there = x.clone(), present.clone()
    changed[:, 4:], there[:, 4:] = 100.0, ~present[:, 4:]
    torch.testing.assert_close(
        context(x, present)[:, :4], context(changed, there)[:, :4], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_stretch_cut_short_gives_the_same_as_far_as_it_goes(kind):
    context = build(kind)
    x, present = batch()
    whole, part = context(x, present)[:, :5], context(x[:, :5], present[:, :5])
    torch.testing.assert_close(whole, part, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("filler", [0.0, 1e30, torch.nan])
def test_what_stands_in_place_of_a_missing_window_has_no_influence(kind, filler):
    context = build(kind)
    x, present = batch()
    other = torch.where(present[..., None], x, torch.tensor(filler))
    assert torch.equal(context(x, present), context(other, present))


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_window_leaves_what_follows_as_if_nothing_had_been_learnt_from_it(kind):
    context = build(kind)
    x, present = batch()
    present[:] = True
    present[:, 0] = False
    after = context(x, present)[:, 1:]
    torch.testing.assert_close(after, context(x[:, 1:], present[:, 1:]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_what_came_before_matters(kind):
    context = build(kind)
    x, present = batch()
    present[:] = True
    changed = x.clone()
    changed[:, 2] += 1
    difference = (context(x, present) - context(changed, present)).abs().amax(dim=2)
    assert (difference[:, 3] > 1e-5).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_reaches_every_parameter(kind):
    context = build(kind)
    x, present = batch()
    x = torch.where(present[..., None], x, torch.nan).requires_grad_()
    out = context(x, present)
    (out * torch.randn(out.shape)).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    for name, parameter in context.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_network(kind):
    x, present = batch()
    assert torch.equal(build(kind, 5)(x, present), build(kind, 5)(x, present))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_travel_in_a_state_dict(kind):
    first, second = build(kind, 1), build(kind, 2)
    x, present = batch()
    second.load_state_dict(load(save(dict(first.state_dict()))))
    assert torch.equal(first(x, present), second(x, present))
