"""Networks of the odd one out asked at once say what each of them says by itself."""

from __future__ import annotations

import pytest
import torch

from pipeline.models.contexts.base import CONTEXTS
from pipeline.models.fusions.base import FUSIONS
from pipeline.models.odd import OddOneOut, odd_scores
from pipeline.models.odd_ensemble import OddEnsemble
from pipeline.models.odd_network import OddNetwork
from pipeline.models.odd_settings import OddSettings

WIDTHS = (4, 6, 3)  # a stream may have fewer components than the others
AWAY = (5, 6, 7, 12)  # windows without stream 1


def scene(settings: OddSettings) -> OddOneOut:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = [OddNetwork(settings, WIDTHS).eval() for _ in range(5)]
    for network in made:  # of new networks, normalisations are all alike
        for weight in network.parameters():
            weight.data += 0.1 * torch.randn(weight.shape)
    return OddOneOut(settings, WIDTHS, tuple(made[:3]), tuple(made[3:]))


def settings_of(fusion: str, context: str) -> OddSettings:
    return OddSettings(
        fusion=FUSIONS.settings(fusion)(),
        context=CONTEXTS.settings(context)(),
        windows=4,
        hidden=8,
        width=8,
    )


def each_by_itself(odd: OddOneOut, rows: list[torch.Tensor], shown: torch.Tensor) -> torch.Tensor:
    """What is expected of `OddOneOut.scores`, network by network."""
    every, *fewer = odd.patterns
    found = []
    for networks, patterns in ((odd.networks, [every]), (odd.spares, fewer)):
        asked = [odd_scores(network, rows, shown, patterns) for network in networks]
        found.append(torch.stack(asked).double().mean(dim=0))
    whole = shown.flatten(1).all(dim=1, keepdim=True)
    usual = torch.where(whole, found[0], torch.nan)
    return torch.cat([usual, torch.where(whole, torch.nan, found[1])], dim=1)


@pytest.mark.parametrize(
    ("fusion", "context"),
    [
        *(("softmax_gate", context) for context in CONTEXTS.kinds()),
        *((fusion, "gru") for fusion in FUSIONS.kinds()),
    ],
)
def test_all_at_once_they_say_the_mean_of_what_each_says(fusion, context):
    odd = scene(settings_of(fusion, context))
    generator = torch.Generator().manual_seed(1)
    seen = torch.ones(16, 3, dtype=torch.bool)
    seen[list(AWAY), 1] = False
    values = [3.0 * torch.randn(16, width, generator=generator) for width in WIDTHS]
    rows, shown = odd.past().extend(range(16), values, seen)
    told = odd.scores(values, seen, range(16), odd.past())
    torch.testing.assert_close(
        told, each_by_itself(odd, rows, shown), rtol=1e-4, atol=1e-5, equal_nan=True
    )
    assert told[:, :3].isfinite().any() and told[:, 3:].isfinite().any()


def test_a_window_in_which_nothing_was_seen_is_passed_over():
    networks = OddEnsemble.of(scene(settings_of("softmax_gate", "gru")).networks)
    shown = torch.ones(1, 4, 3, dtype=torch.bool)
    shown[:, 1:3] = False
    z = torch.randn(3, 1, 4, 3, 8, generator=torch.Generator().manual_seed(1))
    told = networks.logits(z, shown)[:, :, -1]
    short = networks.logits(z[:, :, [0, 3]], shown[:, [0, 3]])[:, :, -1]
    torch.testing.assert_close(told, short, rtol=1e-4, atol=1e-5)
    z[:, :, 1:3] = torch.nan
    assert torch.equal(networks.logits(z, shown)[:, :, -1], told)
