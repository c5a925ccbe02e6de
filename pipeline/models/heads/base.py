"""The contract of a head: a question asked of fused vectors, and how its answers are learnt.

Any set of heads works on the same vectors; `pipeline.models.heads.joint_loss` adds their
losses. A window without a label is left out by its mask; a batch without any label has the
loss zero, and a gradient of zero.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor, nn

from pipeline.core.settings import Settings
from pipeline.models.kinds import of_kind
from pipeline.plugins import Family


class Head(nn.Module, ABC):
    """Network that answers one question.

    Attributes:
        likelihood: How the loss reads as a likelihood: ``categorical`` (a cross-entropy) or
            ``gaussian`` (a squared error or alike); `JointLoss` weighs them differently.
        outputs: Names of the numbers that `predict` gives; empty when it gives one.
    """

    likelihood: ClassVar[str] = "gaussian"
    outputs: tuple[str, ...] = ()

    @abstractmethod
    def loss(self, features: Tensor, target: Tensor | None, mask: Tensor | None = None) -> Tensor:
        """Mean loss over a batch.

        Args:
            features: Fused vectors ``(B, F)``.
            target: What is right, see the kind; None where the kind learns without.
            mask: Which windows count, bool ``(B,)``; None: all.

        Returns:
            A scalar.
        """

    @abstractmethod
    def predict(self, features: Tensor) -> Tensor:
        """Answers for ``(B, F)``; see the kind."""


class HeadSettings(Settings):
    """Settings that every kind of head has."""

    type: str
    """Kind of head; the name of its file."""

    hidden: int = Field(default=64, ge=2)
    """Width of the head's own layer."""

    def build(self, width: int) -> Head:
        """Make the network for fused vectors of `width` numbers."""
        raise NotImplementedError


def masked_mean(losses: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of ``(B,)`` over what counts; zero, with a gradient, when nothing does."""
    if mask is None:
        return losses.mean() if losses.numel() else losses.sum()
    kept = torch.where(mask, losses, torch.zeros_like(losses))
    return kept.sum() / mask.sum().clamp(min=1)


HEADS = Family(
    name="heads",
    package="pipeline.models.heads",
    base=HeadSettings,
    support=frozenset({"base", "joint_loss"}),
)

HeadField = Annotated[SerializeAsAny[HeadSettings], BeforeValidator(of_kind(HEADS))]
"""One of the kinds, told by its ``type``, or by its name alone."""
