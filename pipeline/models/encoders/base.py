"""The contract of an encoder: one window of one stream becomes a few tokens.

An encoder is used in two steps. ``prepare()`` turns the slice of a window into an array of
fixed shape, on the CPU, once; such arrays are stored, stacked and augmented. ``forward()`` is
the network. Between them ``fit_scale()`` learns from the site's normal what is a usual size
of each number, so that the network sees numbers of about unit scale.

A token stands for a place: an area of the picture, a group of bands, a channel. What is not
seen is NaN in the arrays, is masked in the network, and never comes out of it as NaN.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor, nn

from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.settings import Settings
from pipeline.core.window import Slice
from pipeline.models.kinds import of_kind
from pipeline.plugins import Family

Prepared: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.uint8]


class Tokens(NamedTuple):
    """What an encoder says about a batch of windows.

    Attributes:
        values: ``(B, N, D)``; zero where not present.
        present: Which tokens are backed by anything seen, bool ``(B, N)``.
    """

    values: Tensor
    present: Tensor


class Encoder(nn.Module, ABC):
    """Network of one stream.

    Attributes:
        places: Name of each token, ``(N,)``.
        width: Numbers per token, ``D``.
        shape: Shape of what ``prepare()`` gives.
        dtype: Its element type, float32 or uint8.
        boxes: Area of each token in the picture as shares of its height and width,
            ``(top, left, bottom, right)``; empty where tokens are no areas.
    """

    places: tuple[str, ...]
    width: int
    shape: tuple[int, ...]
    dtype: type[np.float32] | type[np.uint8] = np.float32
    boxes: tuple[tuple[float, float, float, float], ...] = ()

    @abstractmethod
    def prepare(self, part: Slice) -> Prepared | None:
        """What the network sees of one window, of shape `shape`; NaN where missing.

        Returns:
            None when too little of the window was seen.
        """

    @abstractmethod
    def forward(self, inputs: Tensor) -> Tokens:
        """Tokens of a batch of prepared windows, ``(B, *shape)`` to ``(B, N, D)``."""

    def fit_scale(self, inputs: Tensor) -> None:
        """Learn the usual size of each number from normal windows ``(n, *shape)``.

        Kinds whose numbers have a scale of their own (uint8 pixels, counts) keep nothing.
        """


class EncoderSettings(Settings):
    """Settings that every kind of encoder has."""

    type: str
    """Kind of encoder; the name of its file."""

    width: int = Field(default=48, ge=8, le=4096)
    """Numbers per token."""

    min_coverage: float = Field(default=0.5, gt=0, le=1)
    """A stream with less of its window present is not encoded; of a sensor stream, each channel
    is asked by itself."""

    modalities: ClassVar[frozenset[Modality]] = frozenset()
    """Modalities that the kind can encode."""

    def build(self, info: StreamInfo) -> Encoder:
        """Make the network of one stream.

        Raises:
            ModelError: The stream is not of a kind that the encoder can see.
        """
        raise NotImplementedError


def grid_places(rows: int, columns: int) -> tuple[str, ...]:
    """Names of the areas of a picture, row by row."""
    return tuple(f"row {r + 1}, column {c + 1}" for r in range(rows) for c in range(columns))


def grid_boxes(rows: int, columns: int) -> tuple[tuple[float, float, float, float], ...]:
    """Areas of a picture as shares of its height and width, row by row."""
    return tuple(
        (r / rows, c / columns, (r + 1) / rows, (c + 1) / columns)
        for r in range(rows)
        for c in range(columns)
    )


ENCODERS = Family(
    name="encoders",
    package="pipeline.models.encoders",
    base=EncoderSettings,
    support=frozenset(
        {
            "base",
            "binning",
            "hf_backbone",
            "hf_modalities",
            "hf_options",
            "picture_maps",
            "scaling",
            "sensor_input",
        }
    ),
)

EncoderField = Annotated[SerializeAsAny[EncoderSettings], BeforeValidator(of_kind(ENCODERS))]
"""One of the kinds, told by its ``type``, or by its name alone."""
