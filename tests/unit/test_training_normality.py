"""The phase that learns what belongs together, on streams that follow hidden causes."""

from __future__ import annotations

import pytest
import torch

from pipeline.core.errors import ModelError
from pipeline.training.labels import Label
from pipeline.training.loop import LoopSettings, run_loop
from pipeline.training.modality_dropout import DropoutSettings
from pipeline.training.phases.alignment import AlignmentSettings
from pipeline.training.phases.base import Ground
from pipeline.training.phases.normality import Normality, NormalitySettings
from pipeline.training.prepared import Split
from tests.model_samples import one_thread  # noqa: F401 - a fixture
from tests.toy_causes import CHANGES, DATA, ground, network, readings, scene_of

pytestmark = pytest.mark.usefixtures("one_thread")

SECONDS = 160
NAMED = "swaps named rightly"
GRU = {"type": "gru", "hidden": 16}
HEADS = {"swapped": {"type": "classification", "classes": ["(none)", "a", "b"]}}
SMALL = NormalitySettings(batch=8, run_s=6.0, windows=4)


def train(phase, steps: int) -> None:
    settings = LoopSettings(steps=steps, learning_rate=6e-3, evaluate_every=20)
    run_loop(
        phase.network, phase.loss, phase.held_out, settings, progress=lambda *_: None,
        rate=phase.rate,
    )  # fmt: skip


def apart(seconds: int) -> Ground:
    """Streams that have nothing to do with each other."""
    model = network(context=GRU, heads=HEADS)
    strange = readings(seconds, labels=[Label(0.0, float(seconds), "apart")])
    normal = scene_of(model, strange)
    split = normal.split(DATA)
    model.fit_scale(normal.batch(split.learn).inputs)
    return Ground(model, normal, split, CHANGES.build(model), DropoutSettings())


def learnt(on: Ground, settings: NormalitySettings = SMALL, steps: int = 60) -> Normality:
    train(AlignmentSettings(batch=72).build(on), steps)
    phase = settings.build(on)
    train(phase, steps)
    return phase


def test_it_tells_what_was_swapped_in_time_that_it_has_not_learnt_from():
    on = ground(network(context=GRU, heads=HEADS), SECONDS)
    fresh = SMALL.build(on).figures()
    assert fresh[NAMED] < 0.4
    assert fresh["swap AUROC"] < 0.6
    found = learnt(on).figures()
    assert found["swaps named rightly by chance"] == pytest.approx(1 / 3)
    assert found[NAMED] > 0.48
    assert found["swap AUROC"] > 0.9
    assert found["doubt lost about swaps"] > 0.3


def test_where_nothing_belongs_together_it_learns_next_to_nothing():
    found = learnt(apart(SECONDS)).figures()
    assert found["swap AUROC"] < 0.75
    assert found["doubt lost about swaps"] < 0.2


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_encoders_learn_along_only_when_they_are_told_to(rate: float):
    on = ground(network(context=GRU, heads=HEADS), SECONDS)
    before = {name: value.clone() for name, value in on.model.state_dict().items()}
    phase = SMALL.model_copy(update={"encoder_rate": rate}).build(on)
    train(phase, 3)
    moved = {n for n, v in on.model.state_dict().items() if not torch.equal(v, before[n])}
    assert any(name.startswith(("encoders", "mappers")) for name in moved) == (rate > 0)
    for part in ("fusion", "context", "heads"):
        assert any(name.startswith(part) for name in moved)
    assert {phase.rate(p) for p in phase.network.parameters()} == {1.0, rate or 1.0}


def test_learning_along_starts_from_what_frozen_encoders_say():
    on = ground(network(context=GRU, heads=HEADS), SECONDS)
    frozen = SMALL.build(on)
    along = SMALL.model_copy(update={"encoder_rate": 0.1}).build(on)
    for phase in (frozen, along):
        phase.network.eval()
    assert along.held_out() == pytest.approx(frozen.held_out(), abs=1e-5)


def test_windows_in_which_a_stream_is_missing_are_not_learnt_from():
    on = ground(network(context=GRU, heads=HEADS), SECONDS)
    before = len(SMALL.build(on)._learn.starts)
    on.normal.present[on.split.learn[:40], 1] = False
    after = SMALL.build(on)._learn.starts
    assert 20 <= len(after) < before - 25
    length = 12
    chosen = (after[:, None] + torch.arange(length).numpy()).ravel()
    assert on.normal.present[torch.from_numpy(chosen)].all()


def test_what_it_lacks_is_said():
    on = ground(network(context=GRU), SECONDS)
    with pytest.raises(ModelError, match="no head 'swapped'"):
        SMALL.build(on)
    other = {"swapped": {"type": "classification", "classes": ["(none)", "a", "c"]}}
    with pytest.raises(ModelError, match="leave the head out"):
        SMALL.build(ground(network(context=GRU, heads=other), SECONDS))
    on = ground(network(context=GRU, heads=HEADS), SECONDS)
    short = Split(on.split.learn, on.split.held[:16])
    few = Ground(on.model, on.normal, short, on.augment, on.dropout)
    with pytest.raises(ModelError, match=r"held out: 5 runs of 6 s.*larger block_s"):
        SMALL.build(few)
