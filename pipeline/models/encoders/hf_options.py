"""Options of the pretrained encoders."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pipeline.core.sample import Modality
from pipeline.models.encoders.base import EncoderSettings


class HfOptions(EncoderSettings):
    """Options of the pretrained encoders."""

    model: str = Field(min_length=1)
    """Folder of the model, or its name."""

    mode: Literal["frozen", "adapter", "full"] = "frozen"
    """What of it is trained: nothing, small adapters after each of its blocks, or all."""

    adapter_width: int = Field(default=16, ge=1)
    """Width of an adapter."""

    local_files_only: bool = True
    """Never fetch anything; off: fetch the model by its name when it is not there."""

    picture_cells: int = Field(default=144, ge=4, le=1024)
    """Pictures: about how many cells of ten pixels the picture has, before it is enlarged."""

    frames: int = Field(default=2, ge=1, le=64)
    """Pictures: how many of a window are looked at."""

    area_rows: int = Field(default=3, ge=1, le=32)
    """Pictures: rows of areas; each area is one token."""

    area_columns: int = Field(default=4, ge=1, le=32)
    """Pictures: columns of areas."""

    window_s: float = Field(default=2.0, gt=0)
    """Sound: length of the scene's windows, seconds."""

    parts: int = Field(default=4, ge=1, le=256)
    """Sound: tokens that what the network says is gathered to."""

    max_pieces: int = Field(default=64, ge=4, le=512)
    """Text: most word pieces of a window that are read; of more, the last."""

    modalities: ClassVar[frozenset[Modality]] = frozenset(
        {Modality.VIDEO, Modality.AUDIO, Modality.TEXT}
    )
