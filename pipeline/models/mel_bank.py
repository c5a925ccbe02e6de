"""Mel bands over frames of sound: the grid on which everything that listens looks at a sound."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor
from torchaudio.functional import melscale_fbanks

from pipeline.core.errors import ModelError
from pipeline.core.sample import StreamInfo

_FRAME_S = 0.032


@dataclass(frozen=True, slots=True)
class MelBank:
    """Frames and bands of one stream.

    Attributes:
        size: Samples of a frame.
        hop: Samples from one frame to the next.
        weights: Share of each bin of a frame's spectrum in each band, ``(size / 2 + 1, P)``.
    """

    size: int
    hop: int
    weights: Tensor


def mel_bank(info: StreamInfo, bands: int) -> MelBank:
    """Bands up to half the sample rate; fewer than `bands` where the rate is too low.

    Raises:
        ModelError: The stream does not say its sample rate.
    """
    if not info.rate_hz:
        raise ModelError("an audio stream needs its sample rate", where=info.name)
    rate = info.rate_hz
    size: int = 2 ** max(4, math.ceil(math.log2(rate * 2 * _FRAME_S)))
    count = min(bands, size // 8)
    weights = melscale_fbanks(
        size // 2 + 1, 0.0, rate / 2, count, round(rate), norm=None, mel_scale="htk"
    )
    return MelBank(size, max(1, round(rate * _FRAME_S)), weights)
