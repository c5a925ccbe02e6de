import math

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.core.errors import ModelError, ModelFileError
from pipeline.training.loop import LoopSettings, run_loop, step_size
from tests.model_samples import one_thread  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("one_thread")

INPUTS = torch.linspace(-1, 1, 60)[:, None]
TARGETS = torch.sin(3 * INPUTS)


class Net(nn.Module):
    """Learns a sine; has all that makes resuming hard: dropout, buffers, something frozen."""

    def __init__(self):
        super().__init__()
        self.enter = nn.Linear(1, 16)
        self.norm = nn.BatchNorm1d(16)
        self.drop = nn.Dropout(0.2)
        self.leave = nn.Linear(16, 1)
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(self.drop(self.norm(torch.tanh(self.enter(x)))))


def made(seed: int = 5) -> Net:
    torch.manual_seed(seed)
    return Net()


def settings(**changes: float) -> LoopSettings:
    usual = {"steps": 40, "evaluate_every": 10, "learning_rate": 0.02, "seed": 1}
    return LoopSettings.model_validate(usual | changes)


def run(net: Net, options: LoopSettings, *, held_out=True, stop_at=None, **more):
    """Train it; `stop_at`: a step at which the machine fails."""

    def loss(step: int, generator: torch.Generator) -> Tensor:
        if step == stop_at:
            raise KeyboardInterrupt
        chosen = torch.randint(len(INPUTS), (16,), generator=generator)
        return ((net(INPUTS[chosen]) - TARGETS[chosen]) ** 2).mean()

    def judge() -> float:
        return float(((net(INPUTS) - TARGETS) ** 2).mean())

    judged = more.pop("judge", judge) if held_out else None
    told = more.pop("progress", lambda *_: None)
    return run_loop(net, loss, judged, options, progress=told, **more)


def weights(net: nn.Module) -> list[Tensor]:
    return list(net.state_dict().values())


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def test_it_learns():
    net = made()
    history = run(net, settings(steps=300, evaluate_every=50))
    assert history.best.held_out < 0.05
    with torch.no_grad():
        assert float(((net(INPUTS) - TARGETS) ** 2).mean()) == history.best.held_out
    assert not net.training
    assert [e.step for e in history.evaluations] == [50, 100, 150, 200, 250, 300]


def test_the_same_seed_gives_the_same_weights_bit_for_bit_and_another_does_not():
    first, second, other = made(), made(), made()
    run(first, settings())
    torch.manual_seed(77)  # what happens outside has no part in it
    run(second, settings())
    run(other, settings(seed=2))
    assert same(first, second)
    assert not same(first, other)


def test_torchs_own_generator_is_left_as_it_was():
    torch.manual_seed(3)
    wanted = torch.rand(4)
    net = made()
    torch.manual_seed(3)
    run(net, settings())
    assert torch.equal(torch.rand(4), wanted)


@pytest.mark.parametrize("stop_at", [0, 7, 10, 33, 39])
def test_a_resumed_run_ends_as_one_that_was_not_cut_off(tmp_path, stop_at):
    whole, cut = made(), made()
    uncut = run(whole, settings())
    with pytest.raises(KeyboardInterrupt):
        run(cut, settings(), stop_at=stop_at, resume=tmp_path / "state")
    resumed = made(seed=99)  # nothing of the run but its file is left
    if stop_at < 10:
        resumed = made()  # it was cut off before there was a file
    history = run(resumed, settings(), resume=tmp_path / "state")
    assert same(whole, resumed)
    assert history.evaluations == uncut.evaluations
    assert (history.best_step, history.steps) == (uncut.best_step, uncut.steps)


def test_a_finished_run_is_not_trained_any_further(tmp_path):
    first, second = made(), made(seed=99)
    run(first, settings(), resume=tmp_path / "state")
    run(second, settings(), resume=tmp_path / "state", stop_at=0)
    assert same(first, second)


def test_the_best_weights_remain_and_patience_ends_the_run():
    net = made()
    losses = iter([3.0, 1.0, 2.0, 2.5, 1.0, 0.1])
    seen = []

    def judge() -> float:
        assert not net.training
        assert not torch.is_grad_enabled()
        seen.append([w.clone() for w in weights(net)])
        return next(losses)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        assert net.training
        return net(torch.rand(8, 1, generator=generator)).square().mean()

    options = settings(steps=100, patience=3)
    history = run_loop(net, loss, judge, options, progress=lambda *_: None)
    assert [e.held_out for e in history.evaluations] == [3.0, 1.0, 2.0, 2.5, 1.0]
    assert (history.best_step, history.steps) == (20, 50)
    for kept, best in zip(weights(net), seen[1], strict=True):
        assert torch.equal(kept, best)


def test_with_nothing_held_out_all_steps_are_done_and_the_last_weights_remain():
    net = made()
    history = run(net, settings(steps=35, patience=1), held_out=False)
    assert (history.best_step, history.steps) == (35, 35)
    assert history.best.held_out is None
    short = made()
    run(short, settings(steps=35, patience=1), held_out=False)
    assert same(net, short)


def test_what_is_frozen_stays_and_is_not_kept(tmp_path):
    net = made()
    run(net, settings(), resume=tmp_path / "state")
    assert torch.equal(net.frozen, torch.ones(3))
    assert b"frozen" not in (tmp_path / "state").read_bytes()


def test_progress_and_time_are_told(tmp_path):
    told = []
    ticks = iter([0.0, 4.0, 9.0, 100.0, 103.0])

    def clock() -> float:
        return next(ticks)

    def tell(*what: object) -> None:
        told.append(what)

    options = settings(steps=30)
    with pytest.raises(KeyboardInterrupt):
        run(made(), options, stop_at=25, resume=tmp_path / "s", clock=clock)
    net = made()
    history = run(net, options, resume=tmp_path / "s", clock=clock, progress=tell)
    assert told[0] == ("training", 21, 30)
    assert told[-1] == ("training", 30, 30)
    assert history.seconds == 9.0 + 3.0


def test_the_step_size_rises_and_falls():
    options = LoopSettings(steps=100, warmup_share=0.1, learning_rate=1.0)
    sizes = [step_size(step, options) for step in range(100)]
    assert sizes[:10] == sorted(sizes[:10])
    assert sizes[10:] == sorted(sizes[10:], reverse=True)
    assert sizes[10] == 1.0
    assert sizes[55] == pytest.approx(0.5)
    assert 0 < sizes[-1] < 0.001 < sizes[0] < 0.1


def test_long_gradients_are_shortened_and_biases_are_not_pulled_towards_zero():
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.bias.fill_(1.0)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        return 1e6 * layer.weight.sum() + 0.0 * layer.bias.sum()

    options = settings(steps=3, clip_norm=0.5, weight_decay=0.5)
    run_loop(layer, loss, None, options, progress=lambda *_: None)
    assert torch.equal(layer.bias, torch.ones(2))
    assert float(layer.weight.grad.norm()) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_an_error(bad):
    net = made()

    def loss(step: int, generator: torch.Generator) -> Tensor:
        return net(INPUTS).sum() * (bad if step == 12 else 1.0)

    with pytest.raises(ModelError, match="between steps 11 and 20 is"):
        run_loop(net, loss, None, settings(), progress=lambda *_: None)
    with pytest.raises(ModelError, match="held-out loss after step 10 is"):
        run(made(), settings(), judge=lambda: bad)


def test_a_network_without_anything_to_train_is_refused():
    with pytest.raises(ModelError, match="nothing to train"):
        run_loop(nn.ReLU(), lambda *_: torch.zeros(()), None, settings(), progress=lambda *_: None)


def test_the_state_of_another_run_is_refused(tmp_path):
    path = tmp_path / "state"
    run(made(), settings(), resume=path)
    with pytest.raises(ModelFileError, match="other settings"):
        run(made(), settings(learning_rate=0.5), resume=path)
    other = made()
    other.leave = nn.Linear(16, 2)
    with pytest.raises(ModelFileError, match="another network") as caught:
        run(other, settings(), resume=path)
    assert str(path) in str(caught.value)
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ModelFileError, match="not a fusewatch training state"):
        run(made(), settings(), resume=path)


def test_the_state_of_a_run_of_something_else_is_refused(tmp_path):
    path = tmp_path / "state"
    run(made(), settings(), resume=path)
    run(made(), settings(), resume=path, run="of cats")  # a state as 0.1 wrote it says nothing
    path.unlink()
    run(made(), settings(), resume=path, run="of cats")
    run(made(), settings(), resume=path, run="of cats")
    with pytest.raises(ModelFileError, match=r"other settings or samples.*delete it"):
        run(made(), settings(), resume=path, run="of dogs")


def test_nothing_is_left_beside_the_state(tmp_path):
    run(made(), settings(), resume=tmp_path / "deep" / "state")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["state"]


def test_the_weights_it_began_with_remain_when_training_only_makes_them_worse(tmp_path):
    net, untouched = made(), made()
    losses = iter([3.0, 2.0, 5.0, 4.0])

    def run_on(file) -> tuple[int, int]:
        history = run(
            net, settings(steps=40, patience=0), judge=lambda: next(losses), start=1.5, resume=file
        )
        assert history.best.held_out == 1.5
        assert history.best.loss is None
        return history.best_step, history.steps

    assert run_on(tmp_path / "state") == (0, 40)
    assert same(net, untouched)
    assert run_on(tmp_path / "state") == (0, 40)  # from its file, without a step
    assert same(net, untouched)


def test_a_look_that_beats_the_start_is_what_remains():
    net, losses = made(), iter([3.0, 1.0, 2.0, 2.0])
    history = run(net, settings(), judge=lambda: next(losses), start=1.5)
    assert (history.best_step, history.best.held_out) == (20, 1.0)
    assert [e.step for e in history.evaluations] == [0, 10, 20, 30, 40]
