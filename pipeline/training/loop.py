"""The training loop: one for every network, whatever it learns.

The caller's loss draws its own batch. All that is random in a step, the batch and dropout
alike, comes from the run's seed and the number of the step; what happened before has no part
in it. So the same seed gives the same weights, and a run that was cut off and goes on from its
training state ends with the weights of one that was not (bit for bit on a CPU with the same
number of threads).

Weights are judged now and then by a loss on data held out, and those that did best there are
what remains; those that training began with too, when the caller says how they did. When nothing
is held out, the last ones remain.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.core.errors import ModelError
from pipeline.core.settings import Settings
from pipeline.training.training_state import (
    Evaluated,
    History,
    TrainingState,
    learnt,
    load_state,
    restore,
    save_state,
)

Loss: TypeAlias = Callable[[int, torch.Generator], Tensor]
HeldOut: TypeAlias = Callable[[], float]
Progress: TypeAlias = Callable[[str, int, int | None], None]
Rate: TypeAlias = Callable[[nn.Parameter], float]

STAGE = "training"


class LoopSettings(Settings):
    """How a network is trained."""

    steps: int = Field(default=800, ge=1)
    """Most steps; fewer when it stops early."""

    learning_rate: float = Field(default=2e-3, gt=0)
    """Largest step size of AdamW."""

    weight_decay: float = Field(default=0.01, ge=0)
    """Pull of matrices towards zero, as a share of the step size; biases are not pulled."""

    warmup_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps over which the step size grows from nothing."""

    clip_norm: float = Field(default=1.0, gt=0)
    """A longer gradient is shortened to this."""

    evaluate_every: int = Field(default=50, ge=1)
    """Steps between looks at what was held out; the last step is always looked at."""

    patience: int = Field(default=8, ge=0)
    """Looks in a row without a better one that end the training; 0: never end it early."""

    seed: int = Field(default=0, ge=0)
    """Where all that is random comes from."""


def run_loop(
    network: nn.Module,
    loss: Loss,
    held_out: HeldOut | None,
    settings: LoopSettings,
    *,
    progress: Progress,
    start: float | None = None,
    resume: Path | None = None,
    run: str = "",
    rate: Rate | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> History:
    """Train a network.

    Args:
        network: What is trained; parameters that want no gradient stay as they are. It is left
            with its best weights, ready to be used (``eval()``).
        loss: Called with the number of the step, from 0, and a generator to draw the batch by;
            gives a scalar. The network is in ``train()``.
        held_out: Loss on held-out data, called without gradients, the network in ``eval()``.
        settings: How.
        progress: Called with ``training``, the steps done and the most there can be.
        start: Held-out loss of the network as it is: it remains unless a look finds a better one.
            None: the best of the looks remains, even if training made it worse.
        resume: Training state: gone on from when the file is there, and written at each look
            at the held-out data.
        run: What a run must have in common with the one it goes on with, beside `settings`.
        rate: Share of the step size that a parameter is trained with; None: all of it.
        clock: Seconds; only differences count.

    Returns:
        What happened.

    Raises:
        ModelError: Nothing can be trained, or a loss is not finite.
        ModelFileError: The training state cannot be used, or not be written.
    """
    loop = _Loop(network, settings, resume, run, rate or _whole, clock)
    if start is not None:
        loop.begin_from(start)
    with _own_randomness(network):
        while not loop.finished:
            loop.train_on(loss, progress)
            loop.judge(held_out)
    return loop.end()


class _Loop:
    """A run under way.

    Args:
        network: What is trained.
        settings: How.
        file: Where the training state lies, if it is kept.
        run: What a run must have in common with the one it goes on with.
        rate: Share of the step size per parameter.
        clock: Seconds.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: LoopSettings,
        file: Path | None,
        run: str,
        rate: Rate,
        clock: Callable[[], float],
    ) -> None:
        self._network, self._settings, self._file, self._clock = network, settings, file, clock
        self._trained = [p for p in network.parameters() if p.requires_grad]
        if not self._trained:
            raise ModelError("there is nothing to train: no parameter wants a gradient")
        self._optimiser = _optimiser(self._trained, settings, rate)
        self._state = TrainingState(settings.model_dump(mode="json"), best=learnt(network), run=run)
        if file is not None and file.exists():
            self._state = load_state(file, network, self._optimiser, settings, run)
        self._begun = clock() - self._state.seconds

    def begin_from(self, held_out: float) -> None:
        """Let the weights at the start, with this loss, be the first to beat.

        A run that goes on has them already.
        """
        if not self._state.step:
            _refuse_infinite(held_out, "held-out loss before training")
            self._state.best_loss = held_out
            self._state.evaluations.append(Evaluated(0, None, held_out))

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or too many looks in a row were no better."""
        patience, state = self._settings.patience, self._state
        return state.step >= self._settings.steps or 0 < patience <= state.looks_since_best

    def train_on(self, loss: Loss, progress: Progress) -> None:
        """Steps up to the next look."""
        every, total = self._settings.evaluate_every, self._settings.steps
        first = self._state.step
        last = min(total, (first // every + 1) * every)
        self._network.train()
        losses = []
        for step in range(first, last):
            losses.append(self._step(step, loss))
            progress(STAGE, step + 1, total)
        self._state.step = last
        # One look at all losses: on a GPU each would wait for the device.
        mean = float(torch.stack(losses).mean())
        _refuse_infinite(mean, f"training loss between steps {first + 1} and {last}")
        self._state.evaluations.append(Evaluated(last, mean))

    def _step(self, step: int, loss: Loss) -> Tensor:
        generator = _seeded(self._settings.seed, step)
        for group in self._optimiser.param_groups:
            group["lr"] = group["rate"] * step_size(step, self._settings)
        self._optimiser.zero_grad(set_to_none=True)
        found = loss(step, generator)
        found.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._trained, self._settings.clip_norm)
        self._optimiser.step()
        return found.detach()

    def judge(self, held_out: HeldOut | None) -> None:
        """Look at the held-out loss, keep the weights if they are the best so far."""
        state = self._state
        self._network.eval()
        if held_out is None:
            state.best_step, state.best = state.step, learnt(self._network)
        else:
            with torch.no_grad():
                found = float(held_out())
            _refuse_infinite(found, f"held-out loss after step {state.step}")
            state.evaluations[-1] = Evaluated(state.step, state.evaluations[-1].loss, found)
            state.looks_since_best += 1
            if state.best_loss is None or found < state.best_loss:
                state.best_loss, state.best_step, state.looks_since_best = found, state.step, 0
                state.best = learnt(self._network)
        state.seconds = self._clock() - self._begun
        if self._file is not None:
            save_state(self._file, state, self._network, self._optimiser)

    def end(self) -> History:
        """Put the best weights back."""
        restore(self._network, self._state.best)
        self._network.eval()
        return self._state.history()


def step_size(step: int, settings: LoopSettings) -> float:
    """Step size: a straight rise, then half a cosine down to nothing.

    Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", eq. 5,
    without a restart.
    """
    rise = settings.warmup_share * settings.steps
    if step < rise:
        return settings.learning_rate * (step + 1) / (rise + 1)
    share = (step - rise) / (settings.steps - rise)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def _optimiser(
    trained: list[nn.Parameter], settings: LoopSettings, rate: Rate
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization")."""
    alike: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in trained:
        decay = settings.weight_decay if parameter.ndim > 1 else 0.0
        alike.setdefault((decay, rate(parameter)), []).append(parameter)
    groups = [
        {"params": parameters, "weight_decay": decay, "rate": share}
        for (decay, share), parameters in alike.items()
    ]
    # Fused: on small networks the loop over parameters would take a fifth of a step.
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def _whole(parameter: nn.Parameter) -> float:
    del parameter
    return 1.0


def _seeded(seed: int, step: int) -> torch.Generator:
    """A generator of this step's own; torch's, which dropout draws from, begins likewise."""
    # torch keeps 32 bits of a seed, so seed and step are mixed first.
    own, common = (int(x) for x in np.random.SeedSequence((seed, step)).generate_state(2))
    torch.manual_seed(common)
    return torch.Generator().manual_seed(own)


@contextmanager
def _own_randomness(network: nn.Module) -> Iterator[None]:
    """Leave torch's generators as they were."""
    devices = {p.device.index for p in network.parameters() if p.is_cuda}
    with torch.random.fork_rng(devices=sorted(d for d in devices if d is not None)):
        yield


def _refuse_infinite(loss: float, what: str) -> None:
    if not math.isfinite(loss):
        raise ModelError(
            f"the {what} is {loss}",
            fix="a smaller learning_rate or clip_norm; look for values that are no numbers",
        )
