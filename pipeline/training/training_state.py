"""The state of a training run, on disk as it is in memory, so that a run can be cut off.

It holds the weights, the optimiser's moments, the best weights so far and what was found at
each look. Randomness has no state of its own: it follows from the seed and the number of the
step, see `pipeline.training.loop`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from pipeline.core.errors import ModelFileError
from pipeline.core.settings import Settings
from pipeline.models.tensor_file import FileKind, read_tensors, write_tensors

_AGAIN = "delete it to begin the training anew"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps per parameter


class Evaluated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one look found.

    Attributes:
        step: Steps done by then.
        loss: Mean training loss since the look before; None of the look before training.
        held_out: Loss on held-out data; None when nothing is held out.
    """

    step: int
    loss: float | None
    held_out: float | None = None


@dataclass(frozen=True, slots=True)
class History:
    """What happened in a training run.

    Attributes:
        evaluations: What each look found, in order.
        best_step: Steps done when the weights that remain were reached.
        steps: Steps done in all.
        seconds: How long it took, the times before a resumption included.
    """

    evaluations: tuple[Evaluated, ...]
    best_step: int
    steps: int
    seconds: float

    @property
    def best(self) -> Evaluated:
        """What the look at the weights that remain found."""
        return next(e for e in self.evaluations if e.step == self.best_step)


class _Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON part of a training state."""

    settings: dict[str, Any]
    step: int
    best_step: int
    best_loss: float | None
    looks_since_best: int
    seconds: float
    evaluations: tuple[Evaluated, ...]
    run: str = ""


_KIND = FileKind("fusewatch-training", 1, "a fusewatch training state", _AGAIN, _Description)


@dataclass(slots=True)
class TrainingState:
    """How far a run is.

    Attributes:
        settings: Those of the loop, as JSON.
        best: Best weights so far by name.
        step: Steps done.
        best_step: Steps done when `best` was reached.
        best_loss: Held-out loss then.
        looks_since_best: Looks since then.
        seconds: Time spent.
        evaluations: What each look found.
        run: What it must have in common with a run that it goes on as; empty: nothing was said.
    """

    settings: dict[str, Any]
    best: dict[str, Tensor]
    step: int = 0
    best_step: int = 0
    best_loss: float | None = None
    looks_since_best: int = 0
    seconds: float = 0.0
    evaluations: list[Evaluated] = field(default_factory=list)
    run: str = ""

    def history(self) -> History:
        """What happened so far."""
        return History(tuple(self.evaluations), self.best_step, self.step, self.seconds)


def learnt(network: nn.Module) -> dict[str, Tensor]:
    """A copy of what training may change: parameters that want a gradient, and buffers."""
    return {name: value.detach().clone() for name, value in _changing(network).items()}


@torch.no_grad()
def restore(network: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Put back what `learnt` copied."""
    for name, value in _changing(network).items():
        value.copy_(values[name])


def save_state(
    path: Path, state: TrainingState, network: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    """Write the state of a run, replacing `path` only once the new one is whole.

    Raises:
        ModelFileError: The file cannot be written.
    """
    tensors = {f"weights.{name}": value for name, value in _changing(network).items()}
    tensors |= {f"best.{name}": value for name, value in state.best.items()}
    for name, parameter in _trained(network).items():
        moments = optimiser.state.get(parameter, {})
        tensors |= {f"{moment}.{name}": value for moment, value in moments.items()}
    description = _Description(
        state.settings,
        state.step,
        state.best_step,
        state.best_loss,
        state.looks_since_best,
        state.seconds,
        tuple(state.evaluations),
        state.run,
    )
    write_tensors(path, _KIND, description, tensors)


def load_state(
    path: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    settings: Settings,
    run: str = "",
) -> TrainingState:
    """Read the state of a run into its network and optimiser.

    Raises:
        ModelFileError: It cannot be read, or is that of another network, other settings or
            another run. A state that does not say of which run it is fits any.
    """
    content = read_tensors(path, _KIND)
    found = content.description
    if found.settings != settings.model_dump(mode="json"):
        raise ModelFileError("made with other settings", where=str(path), fix=_AGAIN)
    if found.run and found.run != run:
        raise ModelFileError("made with other settings or samples", where=str(path), fix=_AGAIN)
    weights, best = (_part(name, content.tensors) for name in ("weights", "best"))
    for part in (weights, best):
        _check_fit(path, part, network)
    restore(network, weights)
    for name, parameter in _trained(network).items():
        held = {
            moment: value.to(parameter.device)
            for moment in _MOMENTS
            if (value := content.tensors.get(f"{moment}.{name}")) is not None
        }
        if held:
            optimiser.state[parameter] = held
    where = {name: value.device for name, value in _changing(network).items()}
    return TrainingState(
        found.settings,
        {name: value.to(where[name]) for name, value in best.items()},
        found.step,
        found.best_step,
        found.best_loss,
        found.looks_since_best,
        found.seconds,
        list(found.evaluations),
        run,
    )


def _trained(network: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


def _changing(network: nn.Module) -> dict[str, Tensor]:
    return {**_trained(network), **dict(network.named_buffers())}


def _part(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key[len(name) + 1 :]: v for key, v in tensors.items() if key.startswith(f"{name}.")}


def _check_fit(path: Path, values: Mapping[str, Tensor], network: nn.Module) -> None:
    wanted = {name: (value.shape, value.dtype) for name, value in _changing(network).items()}
    if {name: (value.shape, value.dtype) for name, value in values.items()} != wanted:
        raise ModelFileError("made for another network", where=str(path), fix=_AGAIN)
