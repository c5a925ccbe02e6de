"""Features of the sound of many windows at once, on a GPU: what `AudioFeatures` makes of one."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.models.audio_features import FLOOR, FRAMES_PER_ITEM, AudioFeatures


def audio_places(sound: Tensor, like: AudioFeatures) -> tuple[Tensor, Tensor]:
    """Features of each band and slices of sound, of windows that were heard in full.

    Args:
        sound: Mean of the channels, float32 ``(B, N)``, at least `FRAMES_PER_ITEM` frames long.
        like: The extractor that they are made like.

    Returns:
        Places ``(B, P, 3)`` and items ``(B, I, P)``, in decibels.
    """
    frames = sound.unfold(1, like.size, like.hop)  # (B, frames, size)
    spectrum = torch.fft.rfft(frames * like.shape.to(sound.device))
    power = spectrum.abs().square() / like.gain
    levels = 10.0 * torch.log10(power @ like.mel.to(sound.device) + FLOOR)
    levels = levels.nan_to_num(nan=-100.0, posinf=200.0)
    count = levels.shape[1] // FRAMES_PER_ITEM
    whole = levels[:, : count * FRAMES_PER_ITEM]
    slices = whole.reshape(len(levels), count, FRAMES_PER_ITEM, -1)
    seen = (levels.mean(dim=1), levels.std(dim=1, correction=0), levels.amax(dim=1))
    return torch.stack(seen, dim=-1), slices.mean(dim=2)
