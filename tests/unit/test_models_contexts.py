import pytest
import torch
from torch import Tensor, nn

from pipeline.models.contexts.base import CONTEXTS, Context
from pipeline.models.contexts.transformer import TransformerSettings
from tests.model_samples import one_thread  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH, STEPS, BACK = 8, 8, 2


def stretches(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Windows in a row, and at each what was said `BACK` windows before it."""
    source = torch.Generator().manual_seed(seed)
    says = torch.randint(0, 2, (count, STEPS), generator=source) * 2.0 - 1.0
    x = torch.randn(count, STEPS, WIDTH, generator=source)
    x[..., 0] += 2.5 * says
    return x, (says.roll(BACK, dims=1) > 0).float()


def learnt(context: Context, rounds: int = 250) -> float:
    """Share of windows at which the context can say what was said before, after learning."""
    x, answer = stretches(600, 1)
    head = nn.Linear(context.width, 1)
    steps = torch.optim.Adam([*context.parameters(), *head.parameters()], 5e-3)
    present = torch.ones(x.shape[:2], dtype=torch.bool)
    for _ in range(rounds):
        steps.zero_grad()
        chosen = torch.randint(0, len(x), (48,))
        said = head(context(x[chosen], present[chosen]))[:, BACK:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(said, answer[chosen, BACK:])
        loss.backward()
        steps.step()
        if loss < 0.05:
            break
    x, answer = stretches(200, 2)
    with torch.no_grad():
        said = head(context(x, present[:200]))[:, BACK:, 0] > 0
    return float((said == (answer[:, BACK:] > 0.5)).float().mean())


def built(kind: str) -> Context:
    torch.manual_seed(0)
    return CONTEXTS.settings(kind)(type=kind).build(WIDTH)


@pytest.mark.parametrize("kind", [kind for kind in CONTEXTS.kinds() if kind != "none"])
def test_a_context_learns_what_was_said_two_windows_ago(kind):
    assert learnt(built(kind)) > 0.93


def test_without_context_what_was_said_before_is_a_guess():
    assert learnt(built("none"), rounds=60) < 0.6


def test_a_transformer_gives_the_same_wherever_a_stretch_begins():
    context = built("transformer")
    x = torch.randn(1, 6, WIDTH)
    late = torch.cat([torch.zeros(1, 40, WIDTH), x], dim=1)
    there = torch.arange(46)[None] >= 40
    on_time = context(x, torch.ones(1, 6, dtype=torch.bool))
    torch.testing.assert_close(context(late, there)[:, 40:], on_time, rtol=1e-4, atol=1e-5)


def test_a_transformer_forgets_what_is_beyond_its_reach():
    torch.manual_seed(0)
    context = TransformerSettings(layers=1, reach=3).build(WIDTH)
    x = torch.randn(1, 10, WIDTH)
    changed = x.clone()
    changed[:, 2] += 5
    present = torch.ones(1, 10, dtype=torch.bool)
    difference = (context(x, present) - context(changed, present)).abs().amax(dim=2)[0]
    assert (difference[2:6] > 1e-4).all()
    assert (difference[6:] < 1e-5).all()
