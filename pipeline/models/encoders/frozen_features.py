"""Encoder of any modality: the fixed features of the local detectors, mapped by one layer.

The baseline of all encoders: nothing before the linear layer is learned, and what a network
gains over it is what learning gains.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import Slice
from pipeline.models.encoders.base import Encoder, EncoderSettings, Tokens, grid_boxes, grid_places
from pipeline.models.encoders.scaling import RobustScale
from pipeline.models.features import StreamFeatures
from pipeline.models.settings import DetectorSettings
from pipeline.models.stream_model import make_extractor
from pipeline.models.video_features import VideoFeatures

_LEAST = 1e-9


class FrozenFeaturesSettings(EncoderSettings):
    """Options of the fixed features."""

    type: Literal["frozen_features"] = "frozen_features"
    """Kind of encoder."""

    picture_cells: int = Field(default=144, ge=4, le=1024)
    """About how many cells a picture is divided into."""

    audio_bands: int = Field(default=40, ge=4, le=128)
    """Mel bands; fewer where the sample rate is too low for as many."""

    modalities: ClassVar[frozenset[Modality]] = frozenset(Modality)

    def build(self, info: StreamInfo) -> FrozenFeatures:
        """Make the network of one stream."""
        return FrozenFeatures(self, info)


class FrozenFeatures(Encoder):
    """``(B, P, d)`` to one token per cell, band or channel."""

    def __init__(self, settings: FrozenFeaturesSettings, info: StreamInfo) -> None:
        super().__init__()
        self.extractor = make_extractor(
            info,
            DetectorSettings(
                picture_cells=settings.picture_cells,
                audio_bands=settings.audio_bands,
                min_coverage=settings.min_coverage,
                timeless_lines=False,  # the network takes the times off, if they are to go
            ),
        )
        self.places = tuple(self.extractor.labels)
        if isinstance(self.extractor, VideoFeatures):
            grid = self.extractor.rows, self.extractor.cols
            self.places, self.boxes = grid_places(*grid), grid_boxes(*grid)
        self.width = settings.width
        self.shape = (len(self.places), len(self.extractor.columns))
        self.scale = RobustScale(self.shape, kind_axes=(1,))
        self.enter = nn.Linear(self.shape[1], self.width)
        self.place = nn.Parameter(0.1 * torch.randn(len(self.places), self.width))

    def fit_scale(self, inputs: Tensor) -> None:
        """Learn centre and width of each number from ``(n, P, d)``."""
        self.scale.fit(inputs)

    def forward(self, inputs: Tensor) -> Tokens:
        """Tokens of the places that were seen."""
        values, seen = self.scale(inputs)
        present = seen.any(dim=-1)  # (B, P)
        return Tokens((self.enter(values) + self.place) * present[..., None], present)

    def prepare(self, part: Slice) -> npt.NDArray[np.float32] | None:
        """Features ``(P, d)``, energies and spreads by their logarithm; NaN where not seen."""
        features = self.extractor.extract(part)
        return None if features is None else self.prepared(features)

    def prepared(self, features: StreamFeatures) -> npt.NDArray[np.float32]:
        """As `prepare`, of features that an extractor like its own gave before."""
        columns = list(self.extractor.log_columns)
        places = features.places.copy()
        places[:, columns] = np.log(np.maximum(places[:, columns], _LEAST))
        places[~features.present] = np.nan
        return places


PLUGIN = FrozenFeaturesSettings
