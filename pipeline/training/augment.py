"""Augmentation of prepared windows: changes that leave what happened as it was.

A camera's light drifts, a microphone's gain differs, a sensor is noisy: each modality has its
own small changes, in units of the usual spread that the encoder learnt (`fit_scale`), so one
setting fits a pressure in pascals and a door's 0 or 1. Hiding a part (cells, bands, a stretch of
time, a channel, words) makes it missing, as the encoder masks what is not seen; nothing else
changes what is missing. Encoders of other kinds are left as they are.

All chance comes from a generator on the CPU, so do the tensors.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Generator, Tensor

from pipeline.core.settings import Settings
from pipeline.models.encoders.audio import AudioEncoder
from pipeline.models.encoders.scaling import RobustScale
from pipeline.models.encoders.sensor_input import SensorEncoder
from pipeline.models.encoders.text import TextEncoder
from pipeline.models.encoders.video import VideoEncoder
from pipeline.models.fusion_model import FusionModel

_TEXT_EXTRAS = 2  # columns before the n-grams, see `TextEncoder`


class VideoChange(Settings):
    """Changes of the maps of pictures."""

    gain: float = Field(default=0.1, ge=0, lt=1)
    """Largest share by which a map's difference from the usual is made larger or smaller."""

    offset: float = Field(default=0.3, ge=0)
    """Deviation of what is added to a whole map, in usual spreads: light, exposure."""

    shift_cells: int = Field(default=1, ge=0)
    """Most cells by which what differs from the usual is moved, each way."""

    hide: float = Field(default=0.1, ge=0, lt=1)
    """Share of the cells that are made missing throughout the window."""

    noise: float = Field(default=0.2, ge=0)
    """Deviation of noise in each number, in usual spreads."""


class AudioChange(Settings):
    """Changes of log-mel levels."""

    gain_db: float = Field(default=3.0, ge=0)
    """Largest change of all levels, decibels, either way."""

    hide_bands: float = Field(default=0.15, ge=0, lt=1)
    """Largest share of the bands that are hidden, side by side."""

    hide_steps: float = Field(default=0.15, ge=0, lt=1)
    """Largest share of the time steps that are hidden, in a row."""

    floor_db: float = Field(default=-6.0, le=20)
    """Loudest noise that is added to each band, decibels from its usual level."""


class SensorChange(Settings):
    """Changes of the courses of channels."""

    jitter: float = Field(default=0.2, ge=0)
    """Deviation of noise in each step, in usual spreads of the course."""

    scale: float = Field(default=0.1, ge=0, lt=1)
    """Largest share by which a channel's movement is made larger or smaller."""

    hide: float = Field(default=0.1, ge=0, lt=1)
    """Share of the channels that are made missing; one always stays."""


class TextChange(Settings):
    """Changes of log lines."""

    hide: float = Field(default=0.15, ge=0, lt=1)
    """Share of the n-grams that are left out; a line keeps at least one."""


class AugmentSettings(Settings):
    """Changes per modality."""

    video: VideoChange = VideoChange()
    """Of pictures."""

    audio: AudioChange = AudioChange()
    """Of sound."""

    sensor: SensorChange = SensorChange()
    """Of sensors."""

    text: TextChange = TextChange()
    """Of log lines."""

    def build(self, model: FusionModel) -> Augment:
        """Make it for a network whose encoders know their scale."""
        return Augment(self, model)


class Augment:
    """Changes batches of prepared windows."""

    def __init__(self, settings: AugmentSettings, model: FusionModel) -> None:
        self._settings = settings
        self._model = model

    def stream(self, name: str, values: Tensor, generator: Generator) -> Tensor:
        """A changed copy of one stream's ``(B, *shape)``."""
        encoder, settings = self._model.encoder(name), self._settings
        match encoder:
            case VideoEncoder():
                return change_video(values, encoder, settings.video, generator)
            case AudioEncoder():
                return change_audio(values, encoder, settings.audio, generator)
            case SensorEncoder():
                return change_sensor(values, encoder, settings.sensor, generator)
            case TextEncoder():
                return change_text(values, settings.text, generator)
            case _:
                return values.clone()


def change_video(
    values: Tensor, encoder: VideoEncoder, change: VideoChange, generator: Generator
) -> Tensor:
    """Other light, a small move, noise, hidden cells; ``(B, S, 6, rows, columns)``."""
    count, _, maps = values.shape[:3]
    centre, width = _scale(encoder.scale, values)
    seen = torch.isfinite(values)
    usual = width.flatten(1).median(dim=1).values.reshape(maps, 1, 1)
    apart = torch.where(seen, values - centre, 0.0)
    apart = _moved(apart, change.shift_cells, generator)
    apart = apart * (1 + change.gain * _even((count, 1, maps, 1, 1), generator))
    apart = apart + change.offset * usual * _normal((count, 1, maps, 1, 1), generator)
    apart = apart + change.noise * width * _normal(values.shape, generator)
    hidden = _chance((count, 1, 1, *values.shape[3:]), change.hide, generator)
    return torch.where(seen & ~hidden, centre + apart, torch.nan)


def change_audio(
    values: Tensor, encoder: AudioEncoder, change: AudioChange, generator: Generator
) -> Tensor:
    """Other gain, a noise floor, hidden bands and steps; ``(B, steps, bands)`` in decibels.

    Hiding follows Park et al. 2019, "SpecAugment", section 2, with one mask each way; what is
    hidden is missing instead of zero.
    """
    count, steps, bands = values.shape
    centre, _ = _scale(encoder.scale, values)
    louder = values + change.gain_db * _even((count, 1, 1), generator)
    floor = centre + change.floor_db - 20 * torch.rand((count, 1, bands), generator=generator)
    louder = 10 * torch.log10(10 ** (louder / 10) + 10 ** (floor / 10))
    hidden = _stretch(count, bands, change.hide_bands, generator)[:, None]
    hidden = hidden | _stretch(count, steps, change.hide_steps, generator)[..., None]
    return torch.where(hidden, torch.nan, louder)


def change_sensor(
    values: Tensor, encoder: SensorEncoder, change: SensorChange, generator: Generator
) -> Tensor:
    """Noise, larger or smaller movement, hidden channels; ``(B, 3, steps, C)``."""
    count, _, steps, channels = values.shape
    scales = [scale for scale in encoder.scale if isinstance(scale, RobustScale)]
    level, course, rough = values.unbind(1)
    share = change.scale * _even((count, 1, channels), generator)
    noise = scales[1].width.to(values) * _normal((count, steps, channels), generator)
    # The course is the level about its own mean: both move by the same.
    moved = share * course + change.jitter * noise
    changed = torch.stack([level + moved, course + moved, rough * (1 + share)], dim=1)
    hidden = _chance((count, channels), change.hide, generator)
    spared = torch.randint(channels, (count, 1), generator=generator)
    hidden = hidden.scatter(1, spared, torch.zeros_like(spared, dtype=torch.bool))
    return torch.where(hidden[:, None, None], torch.nan, changed)


def change_text(values: Tensor, change: TextChange, generator: Generator) -> Tensor:
    """Some n-grams left out; ``(B, lines, 2 + grams)``."""
    grams = values[..., _TEXT_EXTRAS:]
    order = torch.rand(grams.shape, generator=generator)
    order = torch.where(torch.isfinite(grams), order, torch.inf)
    first = order == order.amin(dim=-1, keepdim=True)  # one of each line stays
    kept = torch.where((order < change.hide) & ~first, torch.nan, grams)
    return torch.cat([values[..., :_TEXT_EXTRAS], kept], dim=-1)


def _scale(scale: RobustScale, like: Tensor) -> tuple[Tensor, Tensor]:
    return scale.centre.to(like), scale.width.to(like)


def _moved(apart: Tensor, most: int, generator: Generator) -> Tensor:
    """Each window's cells moved by a few rows and columns; what comes in at an edge repeats it."""
    count, rows, columns = len(apart), *apart.shape[-2:]
    moves = torch.randint(-most, most + 1, (2, count), generator=generator)
    down = (torch.arange(rows) + moves[0, :, None]).clamp(0, rows - 1)  # (B, rows)
    right = (torch.arange(columns) + moves[1, :, None]).clamp(0, columns - 1)
    each = torch.arange(count)[:, None, None]
    # Indexing with slices between puts the moved axes first: (B, rows, columns, S, maps).
    moved = apart[each, :, :, down[:, :, None], right[:, None, :]]
    return moved.permute(0, 3, 4, 1, 2)


def _stretch(count: int, size: int, most: float, generator: Generator) -> Tensor:
    """A stretch of up to a share of `size` places in each row, bool ``(count, size)``."""
    length = torch.rand((count, 1), generator=generator) * most * size
    start = torch.rand((count, 1), generator=generator) * (size - length)
    place = torch.arange(size)
    return (place >= start) & (place < start + length.floor())


def _even(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return 2 * torch.rand(shape, generator=generator) - 1


def _normal(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator)


def _chance(shape: tuple[int, ...], share: float, generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator) < share
