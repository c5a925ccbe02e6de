"""The contract of a context: windows in a row, each told what came before it.

A context is causal: what comes out at a window depends on that window and earlier ones only.
A window in which nothing was seen has no influence on any other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor, nn

from pipeline.core.settings import Settings
from pipeline.models.kinds import of_kind
from pipeline.plugins import Family


class Context(nn.Module, ABC):
    """Network along time.

    Args:
        width: Numbers that come out per window, ``F'``.

    Attributes:
        width: Numbers that come out per window, ``F'``.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Go along time.

        Args:
            x: Fused vectors ``(B, T, F)``, oldest first; anything where not present.
            present: Windows in which anything was seen, bool ``(B, T)``.

        Returns:
            ``(B, T, F')``.
        """
        return self.run(torch.where(present[..., None], x, torch.zeros_like(x)), present)

    @abstractmethod
    def run(self, x: Tensor, present: Tensor) -> Tensor:
        """As `forward`, of vectors that are zero where not present."""


class ContextSettings(Settings):
    """Settings that every kind of context has."""

    type: str
    """Kind of context; the name of its file."""

    def build(self, width: int) -> Context:
        """Make the network for fused vectors of `width` numbers."""
        raise NotImplementedError


class MemorySettings(ContextSettings):
    """Settings of the kinds that remember."""

    hidden: int = Field(default=96, ge=4)
    """Width of what is remembered and comes out."""


CONTEXTS = Family(
    name="contexts",
    package="pipeline.models.contexts",
    base=ContextSettings,
    support=frozenset({"base", "recurrent"}),
)

ContextField = Annotated[SerializeAsAny[ContextSettings], BeforeValidator(of_kind(CONTEXTS))]
"""One of the kinds, told by its ``type``, or by its name alone."""
