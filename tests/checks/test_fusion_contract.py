"""One contract, every kind of fusion."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from pipeline.models.fusions.base import FUSIONS, Fusion, FusionSettings
from tests.model_samples import one_thread  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH = 12
KINDS = FUSIONS.kinds()
STREAMS = (1, 2, 3, 5)


def build(kind: str, streams: int, seed: int = 0) -> Fusion:
    torch.manual_seed(seed)
    settings = FUSIONS.settings(kind)(type=kind)
    assert isinstance(settings, FusionSettings)
    return settings.build(streams, WIDTH)


def batch(streams: int, count: int = 40) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(streams)
    z = torch.randn(count, streams, WIDTH, generator=source)
    present = torch.rand(count, streams, generator=source) < 0.6
    present[0], present[1] = True, False
    return z, present


@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_result_has_the_promised_width_and_is_finite(kind, streams):
    fusion = build(kind, streams)
    fused = fusion(*batch(streams))
    assert fused.shape == (40, fusion.width)
    assert torch.isfinite(fused).all()


@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("filler", [0.0, 1e30, torch.nan])
def test_what_stands_in_place_of_a_missing_stream_has_no_influence(kind, streams, filler):
    fusion = build(kind, streams)
    z, present = batch(streams)
    other = torch.where(present[..., None], z, torch.tensor(filler))
    assert torch.equal(fusion(z, present), fusion(other, present))


@pytest.mark.parametrize("kind", KINDS)
def test_it_matters_which_streams_are_there_and_what_they_say(kind):
    fusion = build(kind, 3)
    z, present = batch(3)
    present[:] = True
    without = present.clone()
    without[:, 1] = False
    changed = z.clone()
    changed[:, 1] += 1
    assert (fusion(z, present) - fusion(z, without)).abs().amax(dim=1).min() > 1e-4
    assert (fusion(z, present) - fusion(changed, present)).abs().amax(dim=1).min() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_without_any_stream_the_result_is_always_the_same(kind):
    fusion = build(kind, 3)
    fused = fusion(torch.randn(4, 3, WIDTH), torch.zeros(4, 3, dtype=torch.bool))
    assert torch.isfinite(fused).all()
    assert torch.equal(fused, fused[:1].expand(4, -1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_stream_gets_no_gradient_and_a_present_one_does(kind):
    fusion = build(kind, 3)
    z, present = batch(3)
    z = torch.where(present[..., None], z, torch.nan).requires_grad_()
    fused = fusion(z, present)
    (fused * torch.randn(fused.shape)).sum().backward()
    assert z.grad is not None
    assert (z.grad[~present] == 0).all()
    assert (z.grad[present].abs().amax(dim=1) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_reaches_every_parameter(kind):
    fusion = build(kind, 3)
    z, present = batch(3)
    fused = fusion(z.requires_grad_(), present)  # one kind has nothing to learn itself
    (fused * torch.randn(fused.shape)).sum().backward()
    for name, parameter in fusion.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_windows_of_a_batch_do_not_influence_each_other(kind):
    fusion = build(kind, 3)
    z, present = batch(3)
    together = fusion(z, present)
    alone = torch.cat([fusion(z[i : i + 1], present[i : i + 1]) for i in range(len(z))])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_network(kind):
    z, present = batch(3)
    assert torch.equal(build(kind, 3, 5)(z, present), build(kind, 3, 5)(z, present))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_travel_in_a_state_dict(kind):
    first, second = build(kind, 3, 1), build(kind, 3, 2)
    z, present = batch(3)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    second.load_state_dict(load(save(dict(first.state_dict()))))
    assert torch.equal(first(z, present), second(z, present))


@pytest.mark.parametrize("kind", KINDS)
def test_settings_travel_as_json(kind):
    settings = FUSIONS.settings(kind)(type=kind)
    assert type(settings).model_validate_json(settings.model_dump_json()) == settings
