"""The network of a scene: encoders, the shared space Z, fusion and context.

Each stream has its encoder; its tokens are gathered by attention and mapped into Z by a
linear projection, so that all streams speak of the same things in the same terms. The fusion
joins the vectors of one window, the context looks at windows in a row, heads ask the result.

The order of streams is the order of the scene and never changes. A model file holds the
weights and these settings; nothing in it is executed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.core.errors import ModelError
from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.settings import Settings
from pipeline.core.window import Slice, TextSlice, Window
from pipeline.models.attention import AttentionPool
from pipeline.models.contexts.base import ContextField
from pipeline.models.contexts.gru import GruSettings
from pipeline.models.encoders.base import (
    ENCODERS,
    Encoder,
    EncoderField,
    EncoderSettings,
    Prepared,
    Tokens,
)
from pipeline.models.fusions.base import FusionField
from pipeline.models.fusions.concat import ConcatSettings
from pipeline.models.heads.base import Head, HeadField
from pipeline.models.heads.joint_loss import JointLossSettings
from pipeline.recording.line_times import without_time

_DEFAULTS = {
    Modality.VIDEO: "video",
    Modality.AUDIO: "audio",
    Modality.SENSOR: "sensor_gru",
    Modality.TEXT: "text",
}


class FusionModelSettings(Settings):
    """What the network of a scene is made of."""

    encoders: dict[Modality, EncoderField] = {}
    """Encoder per modality; one not named here has the default of its modality."""

    streams: dict[str, EncoderField] = {}
    """Encoder of single streams by name, instead of their modality's."""

    width: int = Field(default=64, ge=4, le=4096)
    """Numbers per stream in the shared space Z."""

    queries: int = Field(default=4, ge=1, le=64)
    """Questions that gather a stream's tokens; each may look at other places."""

    fusion: FusionField = ConcatSettings()
    """How the streams of a window are joined."""

    context: ContextField = GruSettings()
    """How windows in a row are joined."""

    heads: dict[str, HeadField] = {}
    """What the result is asked, by name."""

    joint: JointLossSettings = JointLossSettings()
    """How the losses of the heads are added."""

    timeless_lines: bool = True
    """Leave the time that a line of text tells out of it before the line is read."""

    def encoder(self, info: StreamInfo) -> EncoderSettings:
        """Settings of the encoder of a stream.

        Raises:
            ModelError: The encoder that is named for it cannot see its modality.
        """
        found = self.streams.get(info.name) or self.encoders.get(info.modality)
        if found is None:
            found = _default_encoder(info.modality)
        if info.modality not in found.modalities:
            raise ModelError(
                f"the encoder {found.type!r} cannot see {info.modality.value}",
                where=info.name,
                fix=f"name another, for example {_DEFAULTS[info.modality]!r}",
            )
        return found


def _default_encoder(modality: Modality) -> EncoderSettings:
    chosen = ENCODERS.settings(_DEFAULTS[modality])()
    if not isinstance(chosen, EncoderSettings):
        raise ModelError(f"no encoder for {modality.value}")
    return chosen


class Batch(NamedTuple):
    """Prepared windows, stacked.

    Attributes:
        inputs: Per stream ``(B, *shape)``; NaN (or 0 for uint8) where the stream is missing.
        present: Which streams are there, bool ``(B, M)``.
    """

    inputs: dict[str, Tensor]
    present: Tensor


class Mapper(nn.Module):
    """From the tokens of one stream to its vector in Z: ``(B, N, D)`` to ``(B, Z)``."""

    def __init__(self, width: int, queries: int, out: int) -> None:
        super().__init__()
        self.pool = AttentionPool(width, queries)
        self.project = nn.Linear(queries * width, out)
        self.norm = nn.LayerNorm(out)

    def forward(self, tokens: Tokens) -> Tensor:
        """The stream's vector; its length is about the root of Z."""
        mapped: Tensor = self.norm(self.project(self.pool(tokens.values, tokens.present)))
        return mapped


class FusionModel(nn.Module):
    """The network of one scene.

    Args:
        settings: What it is made of.
        streams: The scene's streams, in its order.

    Attributes:
        names: Names of the streams, in order, ``(M,)``.
        width: Numbers per stream in Z.
        features: Numbers that come out of `fuse` per window, ``F``.
        head_names: Names of the heads, in order.
        joint_loss: Adds the losses of the heads, by name.
    """

    def __init__(self, settings: FusionModelSettings, streams: Sequence[StreamInfo]) -> None:
        super().__init__()
        self.settings = settings
        self.names = tuple(info.name for info in streams)
        built = [settings.encoder(info).build(info) for info in streams]
        # Names of streams may hold what names of modules may not, so modules go by position.
        self.encoders = nn.ModuleList(built)
        self.mappers = nn.ModuleList(
            Mapper(encoder.width, settings.queries, settings.width) for encoder in built
        )
        self.fusion = settings.fusion.build(len(built), settings.width)
        self.context = settings.context.build(self.fusion.width)
        self.width = settings.width
        self.features = self.context.width
        self.head_names = tuple(settings.heads)
        self.heads = nn.ModuleList(h.build(self.features) for h in settings.heads.values())
        self.joint_loss = settings.joint.build({name: self.head(name) for name in self.head_names})

    def encoder(self, stream: str) -> Encoder:
        """The encoder of a stream."""
        found = self.encoders[self.names.index(stream)]
        if not isinstance(found, Encoder):
            raise ModelError("not an encoder", where=stream)
        return found

    def head(self, name: str) -> Head:
        """The head of a name."""
        found = self.heads[self.head_names.index(name)]
        if not isinstance(found, Head):
            raise ModelError("not a head", where=name)
        return found

    def prepare(self, window: Window) -> dict[str, Prepared]:
        """What the network sees of a window, per stream that is seen well enough."""
        found = {}
        for name in self.names:
            part = window.slices.get(name)
            seen = None if part is None else self.prepare_stream(part)
            if seen is not None:
                found[name] = seen
        return found

    def prepare_stream(self, part: Slice) -> Prepared | None:
        """What the network sees of one of its streams; None when too little is seen."""
        if isinstance(part, TextSlice) and self.settings.timeless_lines:
            part = replace(part, lines=tuple(map(without_time, part.lines)))
        return self.encoder(part.info.name).prepare(part)

    def batch(
        self, windows: Sequence[Mapping[str, Prepared]], device: torch.device | None = None
    ) -> Batch:
        """Stack prepared windows; what is missing is filled with NaN, or 0 for uint8."""
        inputs = {}
        for name in self.names:
            blank = self._blank(name)
            rows = np.stack([window.get(name, blank) for window in windows])
            inputs[name] = torch.from_numpy(rows).to(device)
        present = torch.tensor([[name in window for name in self.names] for window in windows])
        return Batch(inputs, present.to(device))

    def _blank(self, name: str) -> npt.NDArray[np.generic]:
        encoder = self.encoder(name)
        fill = np.nan if encoder.dtype is np.float32 else 0
        return np.full(encoder.shape, fill, encoder.dtype)

    def fit_scale(self, inputs: Mapping[str, Tensor]) -> None:
        """Let each encoder learn the usual size of its inputs from normal windows."""
        for name in self.names:
            if name in inputs and len(inputs[name]):
                self.encoder(name).fit_scale(inputs[name])

    def tokens(self, inputs: Mapping[str, Tensor]) -> dict[str, Tokens]:
        """What each encoder says, per stream in `inputs`."""
        return {name: self.encoder(name)(inputs[name]) for name in self.names if name in inputs}

    def embed(self, inputs: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """Map windows into Z.

        Args:
            inputs: Per stream ``(B, *shape)``; a stream not named here is missing.
            present: Which streams are there, bool ``(B, M)``.

        Returns:
            ``(B, M, Z)``; zero where not present.
        """
        tokens = self.tokens(inputs)
        found = []
        for index, name in enumerate(self.names):
            if name in tokens:
                found.append(self.mappers[index](tokens[name]))
            else:
                found.append(torch.zeros(len(present), self.width, device=present.device))
        z = torch.stack(found, dim=1)
        return torch.where(present[..., None], z, torch.zeros_like(z))

    def fuse(self, z: Tensor, present: Tensor) -> Tensor:
        """Join streams, then windows: ``(B, T, M, Z)`` and ``(B, T, M)`` to ``(B, T, F)``."""
        fused = self.fusion(z.flatten(0, 1), present.flatten(0, 1)).reshape(*z.shape[:2], -1)
        features: Tensor = self.context(fused, present.any(dim=-1))
        return features

    def forward(self, inputs: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """Windows in a row to features: ``(B, T, *shape)`` and ``(B, T, M)`` to ``(B, T, F)``."""
        flat = {name: values.flatten(0, 1) for name, values in inputs.items()}
        z = self.embed(flat, present.flatten(0, 1))  # (B * T, M, Z)
        return self.fuse(z.reshape(*present.shape, -1), present)
