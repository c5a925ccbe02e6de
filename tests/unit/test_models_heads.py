import math

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load, save
from torch import Tensor, nn

from pipeline.core.errors import ModelError
from pipeline.models.heads.anomaly import AnomalySettings
from pipeline.models.heads.base import HEADS, Head
from pipeline.models.heads.classification import ClassificationSettings
from pipeline.models.heads.clustering import ClusteringSettings
from pipeline.models.heads.joint_loss import JointLossSettings
from pipeline.models.heads.regression import RegressionSettings
from tests.model_samples import one_thread  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH = 10
OPTIONS = {"classification": {"classes": ("walk", "run", "stand")}}


def built(kind: str) -> Head:
    torch.manual_seed(0)
    return HEADS.settings(kind)(type=kind, **OPTIONS.get(kind, {})).build(WIDTH)


def target(kind: str, count: int) -> Tensor | None:
    match kind:
        case "classification":
            return torch.arange(count) % 3
        case "regression":
            return torch.linspace(-1, 1, count)[:, None]
        case "anomaly":
            return torch.zeros(count)
    return None


def learn(head: Head, features: Tensor, wanted: Tensor | None, rounds: int = 200) -> None:
    steps = torch.optim.Adam(head.parameters(), 5e-3)
    head.train()
    for _ in range(rounds):
        steps.zero_grad()
        head.loss(features, wanted).backward()
        steps.step()
    head.eval()


def blobs(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Three groups of points, and which group each is of."""
    source = torch.Generator().manual_seed(seed)
    which = torch.arange(count) % 3
    middles = 3 * torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(7))
    return middles[which] + torch.randn(count, WIDTH, generator=source), which


@pytest.mark.parametrize("kind", HEADS.kinds())
def test_windows_without_a_label_do_not_count(kind):
    head = built(kind).eval()
    features, wanted = torch.randn(12, WIDTH), target(kind, 12)
    mask = torch.arange(12) < 8
    part = head.loss(features[:8], None if wanted is None else wanted[:8])
    features = torch.where(mask[:, None], features, 1e3)
    torch.testing.assert_close(head.loss(features, wanted, mask), part)


@pytest.mark.parametrize("kind", HEADS.kinds())
def test_a_batch_without_any_label_has_no_loss_and_no_gradient(kind):
    head = built(kind)
    features = torch.randn(5, WIDTH, requires_grad=True)
    loss = head.loss(features, target(kind, 5), torch.zeros(5, dtype=torch.bool))
    assert loss == 0
    loss.backward()
    assert features.grad is not None
    assert (features.grad == 0).all()


@pytest.mark.parametrize("kind", HEADS.kinds())
def test_a_gradient_reaches_every_parameter_of_a_head(kind):
    head = built(kind)
    head.loss(torch.randn(32, WIDTH), target(kind, 32)).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", HEADS.kinds())
def test_a_head_travels_in_a_state_dict(kind):
    features = torch.randn(30, WIDTH)
    first = built(kind).eval()
    learn(first, features, target(kind, 30), rounds=3)
    second = built(kind).eval()
    second.load_state_dict(load(save(dict(first.state_dict()))))
    assert torch.equal(first.predict(features), second.predict(features))


def test_one_class_learns_where_the_normal_windows_lie():
    source = torch.Generator().manual_seed(0)
    mixing = torch.randn(3, WIDTH, generator=source)

    def normal(count: int) -> Tensor:
        plane = torch.randn(count, 3, generator=source) @ mixing
        return plane + 0.1 * torch.randn(count, WIDTH, generator=source)

    train, fresh = normal(800), normal(400)
    odd = normal(400)[:, torch.randperm(WIDTH, generator=source)]  # as large, but off the plane
    head = built("anomaly")
    head.fit_centre(train)
    learn(head, train, None)
    head.fit_scale(train)
    assert head.predict(train).median().item() == pytest.approx(1.0, rel=0.01)
    scores, limit = head.predict(odd), head.predict(fresh).quantile(0.95)
    assert (scores > limit).float().mean() > 0.8


def test_one_class_pushes_known_anomalies_away():
    features = torch.randn(400, WIDTH)
    known = (features[:, 0] > 1).float()
    shares = []
    for wanted in (None, known):
        head = built("anomaly")
        head.fit_centre(features[known == 0])
        learn(head, features, wanted)
        score = head.predict(features)
        shares.append((score[known > 0].median() / score[known == 0].median()).item())
    assert shares[1] > 3 * shares[0]


def test_one_class_does_not_take_a_centre_that_zero_weights_would_meet():
    head = AnomalySettings().build(WIDTH)
    head.fit_centre(torch.randn(50, WIDTH))
    assert head.centre.abs().min() >= 0.1 - 1e-6


def test_classification_learns_three_groups():
    head = built("classification")
    learn(head, *blobs(300))
    features, which = blobs(150, seed=1)
    found = head.predict(features)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(150))
    assert float((found.argmax(dim=1) == which).float().mean()) > 0.95


def test_balanced_weights_find_more_of_a_rare_class():
    source = torch.Generator().manual_seed(3)
    which = (torch.rand(2000, generator=source) < 0.05).long()
    features = torch.randn(2000, WIDTH, generator=source)
    features[:, 0] += 1.5 * which
    recall = []
    for balanced in (False, True):
        torch.manual_seed(0)
        head = ClassificationSettings(classes=("usual", "rare")).build(WIDTH)
        if balanced:
            head.balance(which)
        learn(head, features, which, rounds=60)
        found = head.predict(features).argmax(dim=1)
        recall.append(float((found[which == 1] == 1).float().mean()))
    assert recall[1] > recall[0] + 0.3


def test_a_class_that_never_occurs_weighs_nothing():
    head = ClassificationSettings(classes=("a", "b", "c")).build(WIDTH)
    head.balance(torch.tensor([0, 0, 0, 2]))
    torch.testing.assert_close(head.weights, torch.tensor([2 / 3, 0.0, 2.0]))
    assert head.loss(torch.randn(2, WIDTH), torch.tensor([1, 1])) == 0


@pytest.mark.parametrize(
    "options",
    [
        {"classes": ("one",)},
        {"classes": ("a", "a")},
        {"classes": ("a", "b"), "weights": (1.0,)},
        {"classes": ("a", "b"), "weights": (1.0, -1.0)},
    ],
)
def test_classes_that_make_no_sense_are_refused(options):
    with pytest.raises(ValidationError):
        ClassificationSettings(**options)


def test_regression_learns_a_bent_line_in_its_own_units_despite_outliers():
    source = torch.Generator().manual_seed(0)
    features = torch.randn(600, WIDTH, generator=source)
    true = torch.stack([900 + 50 * features[:, 0].abs(), 0.01 * features[:, 1]], dim=1)
    wanted = true.clone()
    wanted[:10, 0] += 3000
    wanted[5:200, 1] = torch.nan
    torch.manual_seed(0)
    head = RegressionSettings(outputs=("pressure", "flow"), delta=0.2).build(WIDTH)
    head.fit_scale(wanted)
    learn(head, features, wanted, rounds=300)
    error = (head.predict(features[200:]) - true[200:]).abs().median(dim=0).values
    assert error[0] < 12
    assert error[1] < 0.004


def test_regression_leaves_out_windows_whose_numbers_are_all_unknown():
    head = RegressionSettings(outputs=("a", "b")).build(WIDTH)
    features = torch.randn(3, WIDTH)
    wanted = torch.tensor([[1.0, 2.0], [torch.nan, torch.nan], [torch.nan, 1.0]])
    torch.testing.assert_close(
        head.loss(features, wanted), head.loss(features[[0, 2]], wanted[[0, 2]])
    )


def test_clustering_finds_the_groups_and_grows_surer_of_them():
    features, which = blobs(300)
    torch.manual_seed(0)
    head = ClusteringSettings(clusters=3).build(WIDTH)
    head.fit_centres(features)
    before = head.predict(features).amax(dim=1).mean()
    learn(head, features, None, rounds=60)
    fresh, truth = blobs(150, seed=1)
    found = head.predict(fresh)
    assert head.predict(features).amax(dim=1).mean() > before + 0.05
    table = torch.stack([found.argmax(dim=1)[truth == k].bincount(minlength=3) for k in range(3)])
    assert sorted(table.argmax(dim=1).tolist()) == [0, 1, 2]
    assert table.amax(dim=1).sum() > 0.95 * 150
    assert len(which.unique()) == 3


def test_clustering_places_its_centres_the_same_with_the_same_seed():
    features, _ = blobs(90)
    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(0)
        head = ClusteringSettings(clusters=4, seed=seed).build(WIDTH)
        head.fit_centres(features)
        heads.append(head.centres.detach().clone())
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def heads() -> dict[str, Head]:
    return {"state": built("classification"), "speed": built("regression")}


def test_given_weights_multiply_the_losses():
    joint = JointLossSettings(weights={"state": 3.0}).build(heads())
    losses = {"state": torch.tensor(2.0), "speed": torch.tensor(5.0)}
    assert joint(losses) == 11.0
    assert joint({"speed": torch.tensor(5.0)}) == 5.0


def test_learned_weights_settle_where_uncertainty_says():
    """At the best s a squared error L has exp(s) = L, a cross-entropy exp(s) = 2 L."""
    joint = JointLossSettings(learned=True).build(heads())
    losses = {"state": torch.tensor(0.25), "speed": torch.tensor(4.0)}
    steps = torch.optim.Adam(joint.parameters(), 0.05)
    for _ in range(400):
        steps.zero_grad()
        joint(losses).backward()
        steps.step()
    settled = [math.exp(s) for s in joint.log_variance.tolist()]
    assert settled == pytest.approx([0.5, 4.0], rel=0.02)


def test_a_noisy_task_gives_way_to_a_clear_one_when_weights_are_learned():
    source = torch.Generator().manual_seed(0)
    x = torch.randn(256, WIDTH, generator=source)
    noise = 30 * torch.randn(256, 1, generator=source)
    torch.manual_seed(0)
    both = {"clear": RegressionSettings().build(WIDTH), "noise": RegressionSettings().build(WIDTH)}
    joint = JointLossSettings(learned=True).build(both)
    trained = nn.ModuleList([joint, *both.values()])
    steps = torch.optim.Adam(trained.parameters(), 0.01)
    for _ in range(150):
        steps.zero_grad()
        losses = {"clear": both["clear"].loss(x, x[:, :1]), "noise": both["noise"].loss(x, noise)}
        joint(losses).backward()
        steps.step()
    assert joint.log_variance[0] < joint.log_variance[1] - 2


@pytest.mark.parametrize("weights", [{"stat": 1.0}, {"state": -1.0}])
def test_weights_of_no_head_or_below_zero_are_refused(weights):
    with pytest.raises(ModelError):
        JointLossSettings(weights=weights).build(heads())
