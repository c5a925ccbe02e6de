"""The contract of a phase: what a network learns at one stage of its training.

A phase is built for a network and its data, says what it trains, gives the loss of a step, and
judges itself on held-out data; `pipeline.training.loop` does the rest. All that is random in a
step comes from the generator that it is handed, and what a phase remembers from step to step
lies in buffers of its network: so a resumed run ends as one that was not cut off.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from pipeline.core.settings import Settings
from pipeline.models.fusion_model import Batch, FusionModel
from pipeline.plugins import Family
from pipeline.training.augment import Augment
from pipeline.training.labelled import LabelledScene
from pipeline.training.loop import LoopSettings
from pipeline.training.modality_dropout import DropoutSettings
from pipeline.training.prepared import PreparedScene, Rows, Split


@dataclass(frozen=True, slots=True)
class Ground:
    """What a phase works on.

    Attributes:
        model: The network of the scene; its encoders know their scale.
        normal: The scene's normal windows.
        split: Which of them are learnt from, which are held out.
        augment: Changes windows without changing what happened.
        dropout: How often streams are left out.
        labelled: Windows with labelled events, if there are any.
    """

    model: FusionModel
    normal: PreparedScene
    split: Split
    augment: Augment
    dropout: DropoutSettings
    labelled: LabelledScene | None = None

    def changed(self, batch: Batch, generator: Generator) -> Batch:
        """The batch, augmented; any leading axes."""
        lead = batch.present.shape[:-1]
        inputs = {}
        for name, values in batch.inputs.items():
            flat = values.flatten(0, len(lead) - 1)
            inputs[name] = self.augment.stream(name, flat, generator).reshape(values.shape)
        return Batch(inputs, batch.present)

    def placed(self, batch: Batch) -> Batch:
        """The batch where the network is."""
        device = next(self.model.parameters()).device
        inputs = {name: values.to(device) for name, values in batch.inputs.items()}
        return Batch(inputs, batch.present.to(device))


class Phase(ABC):
    """One stage of training.

    Attributes:
        network: What is trained, and what must be kept to go on.
    """

    network: nn.Module

    @abstractmethod
    def loss(self, step: int, generator: Generator) -> Tensor:
        """Loss of a batch drawn by the generator, a scalar; see `pipeline.training.loop`."""

    @abstractmethod
    def held_out(self) -> float:
        """Loss on held-out data, always of the same windows; lower is better."""

    def figures(self) -> dict[str, float]:
        """What else is to be told of held-out data, by name, for the report."""
        return {}

    def finish(self) -> None:
        """What is to be done once, with the weights that remain."""
        return

    def rate(self, parameter: nn.Parameter) -> float:
        """Share of the step size that a parameter is trained with."""
        del parameter
        return 1.0


class PhaseSettings(Settings):
    """Settings that every kind of phase has."""

    needs_labels: ClassVar[bool] = False
    teaches: ClassVar[tuple[str, ...]] = ()  # names of heads

    type: str
    """Kind of phase; the name of its file."""

    loop: LoopSettings = LoopSettings()
    """Steps, step size, early stopping."""

    batch: int = Field(default=64, ge=4)
    """Samples per step."""

    def build(self, ground: Ground) -> Phase:
        """Make the phase.

        Raises:
            ModelError: The data is not enough for it.
        """
        raise NotImplementedError


def pick(rows: Rows, count: int, generator: Generator) -> Rows:
    """So many of `rows`, evenly, with repetition."""
    at = torch.randint(len(rows), (count,), generator=generator)
    return np.asarray(rows[at.numpy()], np.int64)


PHASES = Family(name="phases", package="pipeline.training.phases", base=PhaseSettings)
