"""The contract of a fusion: the vectors of all streams in Z become one vector.

A stream that is missing has no influence, whatever stands in its place: its vector is set to
zero before the fusion sees it, and each kind leaves it out of its sums and softmaxes. With no
stream at all the result is finite and constant.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import Annotated

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor, nn

from pipeline.core.settings import Settings
from pipeline.models.kinds import of_kind
from pipeline.plugins import Family


class Fusion(nn.Module, ABC):
    """Network that joins streams.

    Args:
        streams: Number of streams, ``M``.
        width: Numbers per stream, ``Z``.

    Attributes:
        streams: Number of streams, ``M``.
        width: Numbers that come out, ``F``.
    """

    def __init__(self, streams: int, width: int) -> None:
        super().__init__()
        self.streams = streams
        self.width = width

    def forward(self, z: Tensor, present: Tensor) -> Tensor:
        """Fuse.

        Args:
            z: ``(B, M, Z)``; anything, NaN too, where not present.
            present: Which streams are there, bool ``(B, M)``.

        Returns:
            ``(B, F)``.
        """
        return self.join(torch.where(present[..., None], z, torch.zeros_like(z)), present)

    @abstractmethod
    def join(self, z: Tensor, present: Tensor) -> Tensor:
        """As `forward`, of vectors that are zero where not present."""


class FusionSettings(Settings):
    """Settings that every kind of fusion has."""

    type: str
    """Kind of fusion; the name of its file."""

    def build(self, streams: int, width: int) -> Fusion:
        """Make the network for `streams` vectors of `width` numbers."""
        raise NotImplementedError


class HiddenSettings(FusionSettings):
    """Settings of the kinds that end in a small network."""

    hidden: int = Field(default=128, ge=4)
    """Width of what comes out."""


def pairs(streams: int) -> tuple[list[int], list[int]]:
    """All pairs of streams as two lists of indices."""
    found = list(itertools.combinations(range(streams), 2))
    return [a for a, _ in found], [b for _, b in found]


def mlp(width: int, hidden: int) -> nn.Sequential:
    """Two layers with a normalisation between."""
    return nn.Sequential(
        nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, hidden)
    )


FUSIONS = Family(
    name="fusions",
    package="pipeline.models.fusions",
    base=FusionSettings,
    support=frozenset({"base"}),
)

FusionField = Annotated[SerializeAsAny[FusionSettings], BeforeValidator(of_kind(FUSIONS))]
"""One of the kinds, told by its ``type``, or by its name alone."""
