"""Encoder of sound: log-mel levels, by a small convolutional network over time and bands.

Tokens are groups of neighbouring bands. Each keeps when in the window something was heard: its
features in a few stretches of the window stand side by side before they are mixed.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import AudioSlice, Slice
from pipeline.models.encoders.base import Encoder, EncoderSettings, Tokens
from pipeline.models.encoders.binning import bin_means
from pipeline.models.encoders.scaling import RobustScale
from pipeline.models.mel_bank import mel_bank

Floats = npt.NDArray[np.float32]

_FLOOR = 1e-10  # power; -100 dB of full scale


class AudioEncoderSettings(EncoderSettings):
    """Options of the audio encoder."""

    type: Literal["audio"] = "audio"
    """Kind of encoder."""

    bands: int = Field(default=40, ge=4, le=128)
    """Mel bands; fewer where the sample rate is too low for as many."""

    steps: int = Field(default=32, ge=4, le=512)
    """Time steps that a window is divided into, whatever its length."""

    group_bands: int = Field(default=4, ge=1)
    """Neighbouring bands per token."""

    stretches: int = Field(default=4, ge=1, le=32)
    """Parts of the window that a token tells apart."""

    channels: int = Field(default=24, ge=4, multiple_of=4)
    """Channels of both convolutions."""

    modalities: ClassVar[frozenset[Modality]] = frozenset({Modality.AUDIO})

    def build(self, info: StreamInfo) -> AudioEncoder:
        """Make the network of one microphone."""
        return AudioEncoder(self, info)


class AudioEncoder(Encoder):
    """``(B, steps, bands)`` in decibels to one token per group of bands."""

    def __init__(self, settings: AudioEncoderSettings, info: StreamInfo) -> None:
        super().__init__()
        self.settings = settings
        bank = mel_bank(info, settings.bands)
        self._size, self._hop = bank.size, bank.hop
        self._hann = np.hanning(self._size + 1)[:-1].astype(np.float32)
        self._gain = float(self._hann.sum()) ** 2 / 4  # a full-scale sine has 0 dB
        self._mel = np.asarray(bank.weights.numpy(), np.float32)
        bands = self._mel.shape[1]
        self.shape = (settings.steps, bands)
        self.width = settings.width
        groups = math.ceil(bands / settings.group_bands)
        self.places = _group_names(self._mel, info.rate_hz or 0.0, settings.group_bands)
        self.scale = RobustScale((bands,))
        channels = settings.channels
        self.band = nn.Parameter(0.1 * torch.randn(channels, 1, math.ceil(bands / 2)))
        self.first = nn.Conv2d(2, channels, 5, stride=2, padding=2)
        self.second = nn.Conv2d(channels, channels, 3, stride=(2, 1), padding=1)
        self.norm = nn.GroupNorm(4, channels)
        self.mix = nn.Linear(2 * channels * settings.stretches, settings.width)
        self.group = nn.Parameter(0.1 * torch.randn(groups, settings.width))
        self.finish = nn.Sequential(
            nn.LayerNorm(settings.width), nn.GELU(), nn.Linear(settings.width, settings.width)
        )

    def fit_scale(self, inputs: Tensor) -> None:
        """Learn centre and width per band from ``(n, steps, bands)``."""
        self.scale.fit(inputs)

    def forward(self, inputs: Tensor) -> Tokens:
        """Tokens of the groups of bands; present when any of the window was heard."""
        values, seen = self.scale(inputs)
        maps = torch.stack([values, seen.to(values.dtype)], dim=1)  # (B, 2, T, P)
        # Unlike a picture's, a spectrum's places differ in kind: say which band is which.
        maps = F.gelu(self.first(maps) + self.band)  # (B, E, T / 2, P / 2)
        maps = F.gelu(self.norm(self.second(maps)))  # (B, E, T / 4, P / 2)
        size = (self.settings.stretches, len(self.places))
        pooled = [F.adaptive_avg_pool2d(maps, size), F.adaptive_max_pool2d(maps, size)]
        groups = torch.cat(pooled, dim=1).permute(0, 3, 1, 2).flatten(2)  # (B, N, 2 E * stretches)
        tokens = self.finish(self.mix(groups) + self.group)
        present = seen.flatten(1).any(dim=1, keepdim=True).expand(-1, len(self.places))
        return Tokens(tokens * present[..., None], present)

    def prepare(self, part: Slice) -> Floats | None:
        """Levels ``(steps, bands)`` in decibels; None when too little is heard."""
        if not isinstance(part, AudioSlice) or part.coverage < self.settings.min_coverage:
            return None
        if len(part.samples) < self._size:
            return None
        mono = np.ascontiguousarray(part.samples.mean(axis=1, dtype=np.float32))
        frames = np.lib.stride_tricks.sliding_window_view(mono, self._size)[:: self._hop]
        spectrum = np.fft.rfft(np.nan_to_num(frames) * self._hann, axis=1)
        power = (spectrum.real**2 + spectrum.imag**2) @ self._mel / self._gain  # (frames, bands)
        power = power.astype(np.float32)
        if not part.present.all():
            heard = np.lib.stride_tricks.sliding_window_view(part.present, self._size)
            power[~heard[:: self._hop].all(axis=1)] = np.nan
        levels = bin_means(power, self.settings.steps)
        if np.isfinite(levels[:, 0]).mean() < self.settings.min_coverage * part.filled:
            return None
        return (10.0 * np.log10(levels + _FLOOR)).astype(np.float32)


def _group_names(weights: Floats, rate_hz: float, group: int) -> tuple[str, ...]:
    step = rate_hz / 2 / (len(weights) - 1)
    names = []
    for start in range(0, weights.shape[1], group):
        bins = np.flatnonzero(weights[:, start : start + group].max(axis=1) > 0.5)
        low, high = (bins[0] * step, bins[-1] * step) if len(bins) else (0.0, rate_hz / 2)
        names.append(f"{low:.0f} to {high:.0f} Hz")
    return tuple(names)


PLUGIN = AudioEncoderSettings
