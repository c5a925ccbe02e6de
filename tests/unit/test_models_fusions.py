"""What each kind of fusion can learn, read off by a linear layer behind it.

The relation to be learnt is agreement: two streams each say yes or no, and the answer is whether
they say the same. No sum of the two shows that to a linear layer, so a fusion has to make it.
"""

import pytest
import torch
from torch import Tensor, nn

from pipeline.models.fusions.alpha_gate import AlphaGateSettings
from pipeline.models.fusions.base import FUSIONS, Fusion
from pipeline.models.fusions.concat import ConcatSettings
from pipeline.models.fusions.softmax_gate import SoftmaxGate
from pipeline.models.fusions.weighted_sum import WeightedSum
from tests.model_samples import one_thread  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH = 16
ENOUGH = 0.05  # loss at which there is little left to learn
SUMS = {"add", "weighted_sum"}
LEARNERS = [kind for kind in FUSIONS.kinds() if kind not in SUMS]


def scene(count: int, seed: int, streams: int = 3) -> tuple[Tensor, Tensor]:
    """What streams say, +1 or -1 as ``(n, M)``, and their vectors with noise ``(n, M, Z)``."""
    source = torch.Generator().manual_seed(seed)
    says = torch.randint(0, 2, (count, streams), generator=source) * 2.0 - 1.0
    z = 0.5 * torch.randn(count, streams, WIDTH, generator=source)
    axes = nn.functional.normalize(torch.randn(streams, WIDTH, generator=_source()), dim=1)
    return says, z + 2.0 * says[..., None] * axes


def _source() -> torch.Generator:
    return torch.Generator().manual_seed(99)


def learn(fusion: Fusion, z: Tensor, answer: Tensor, rounds: int = 250) -> nn.Module:
    head = nn.Linear(fusion.width, 1)
    steps = torch.optim.Adam([*fusion.parameters(), *head.parameters()], 5e-3)
    present = torch.ones(z.shape[:2], dtype=torch.bool)
    for _ in range(rounds):
        steps.zero_grad()
        chosen = torch.randint(0, len(z), (128,))
        said = head(fusion(z[chosen], present[chosen]))[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(said, answer[chosen])
        loss.backward()
        steps.step()
        if loss < ENOUGH:
            break
    return head


def right(fusion: Fusion, head: nn.Module, z: Tensor, answer: Tensor) -> float:
    present = torch.ones(z.shape[:2], dtype=torch.bool)
    with torch.no_grad():
        said = head(fusion(z, present))[:, 0] > 0
    return float((said == (answer > 0.5)).float().mean())


def built(kind: str, streams: int = 3) -> Fusion:
    torch.manual_seed(0)
    return FUSIONS.settings(kind)(type=kind).build(streams, WIDTH)


def agreement(says: Tensor) -> Tensor:
    return (says[:, 0] * says[:, 1] > 0).float()


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_fusion_learns_whether_two_streams_agree(kind):
    fusion = built(kind)
    says, z = scene(1500, 1)
    head = learn(fusion, z, agreement(says))
    fresh, z = scene(800, 2)
    assert right(fusion, head, z, agreement(fresh)) > 0.93


@pytest.mark.parametrize("kind", sorted(SUMS))
def test_a_bare_sum_cannot_tell_whether_two_streams_agree(kind):
    fusion = built(kind)
    says, z = scene(1500, 1)
    head = learn(fusion, z, agreement(says))
    fresh, z = scene(800, 2)
    assert right(fusion, head, z, agreement(fresh)) < 0.65


@pytest.mark.parametrize("kind", sorted(SUMS))
def test_a_bare_sum_learns_when_two_streams_both_say_yes(kind):
    fusion = built(kind, streams=2)
    says, z = scene(1500, 1, streams=2)
    head = learn(fusion, z, (says.sum(dim=1) > 1).float())
    fresh, z = scene(800, 2, streams=2)
    assert right(fusion, head, z, (fresh.sum(dim=1) > 1).float()) > 0.93


def test_a_weighted_sum_learns_which_stream_to_trust():
    fusion = built("weighted_sum")
    assert isinstance(fusion, WeightedSum)
    says, z = scene(1500, 1)
    z[:, 1:] = 3 * torch.randn(1500, 2, WIDTH, generator=_source())
    learn(fusion, z, (says[:, 0] > 0).float())
    weights = fusion.weights(torch.ones(1, 3, dtype=torch.bool)).detach()[0]
    assert weights.argmax() == 0
    assert weights[0] > 0.5


def test_weights_sum_to_one_over_what_is_present():
    fusion = WeightedSum(3, WIDTH)
    fusion.scores.data = torch.tensor([0.3, -1.0, 2.0])
    present = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]]).bool()
    weights = fusion.weights(present).detach()
    torch.testing.assert_close(weights.sum(dim=1), torch.tensor([1.0, 1.0, 1.0, 0.0]))
    assert (weights[~present] == 0).all()
    assert weights[2, 1] == 1
    assert weights[1, 0] / weights[1, 2] == pytest.approx(float(weights[0, 0] / weights[0, 2]))


def test_the_softmax_gate_shares_each_number_among_the_present_streams():
    gate = SoftmaxGate(3, WIDTH)
    present = torch.tensor([[1, 0, 1]]).bool()
    shares = gate.weights(torch.randn(1, 3, WIDTH), present)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(1, WIDTH))
    assert (shares[:, 1] == 0).all()


def test_the_alpha_gate_of_a_stream_alone_is_that_stream():
    torch.manual_seed(0)
    fusion = AlphaGateSettings().build(2, WIDTH)
    z = torch.randn(5, 2, WIDTH)
    alone = torch.tensor([[True, False]]).expand(5, -1)
    state = torch.tanh(fusion.states[0](z[:, 0]))
    wanted = fusion.gather(torch.cat([state, alone.float()], dim=1))
    torch.testing.assert_close(fusion(z, alone), wanted)


def test_products_find_agreement_in_many_directions_from_few_examples():
    """Agreement is the product of whole vectors here, which a network must else learn by heart."""
    source = torch.Generator().manual_seed(5)
    same = torch.randint(0, 2, (1300,), generator=source)
    left = torch.randn(1300, 32, generator=source)
    other = torch.where(same[:, None] > 0, left, torch.randn(1300, 32, generator=source))
    z = torch.stack([left, other + torch.randn(1300, 32, generator=source)], dim=1)
    found = {}
    for products in (True, False):
        torch.manual_seed(0)
        fusion = ConcatSettings(products=products).build(2, 32)
        head = learn(fusion, z[:300], same[:300].float(), rounds=100)
        found[products] = right(fusion, head, z[300:], same[300:].float())
    assert found[True] > 0.9
    assert found[True] > found[False] + 0.1
