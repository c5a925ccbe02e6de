"""What a sound is like, band by band: log-mel levels over time.

Each band has its mean, spread and peak over the window. Items are slices of about 64 ms with
all their bands: a brief sound that was never heard shows there before it moves a mean.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from pipeline.core.sample import StreamInfo
from pipeline.core.window import AudioSlice, Slice
from pipeline.models.features import StreamFeatures
from pipeline.models.mel_bank import mel_bank

_FRAMES_PER_ITEM = 2
_FLOOR = 1e-10  # power; -100 dB of full scale


class AudioFeatures:
    """Extractor of an audio stream. ``P`` is the number of bands, ``d`` is 3, ``e`` is ``P``."""

    columns: tuple[str, ...] = ("level", "unsteadiness", "peak level")
    tolerances: tuple[float, ...] = (1.5, 0.5, 1.5)  # decibels
    relative_columns: tuple[int, ...] = ()
    log_columns: tuple[int, ...] = ()
    common_columns: tuple[int, ...] = ()
    level_column: int | None = None
    item_neighbours: int | None = None

    def __init__(self, info: StreamInfo, bands: int, min_coverage: float) -> None:
        bank = mel_bank(info, bands)
        self._size, self._hop, self._mel = bank.size, bank.hop, bank.weights
        self._min_coverage = min_coverage
        self._shape = torch.hann_window(self._size)
        self._gain = float(self._shape.sum()) ** 2 / 4  # a full-scale sine has 0 dB
        self.item_dims = self._mel.shape[1]
        rate = info.rate_hz or 0.0
        self.labels = tuple(_band(self._mel[:, b].numpy(), rate) for b in range(self.item_dims))

    def extract(self, part: Slice) -> StreamFeatures | None:
        """Features ``(P, 3)`` and items ``(I, P)`` in decibels; None when too little is heard."""
        if not isinstance(part, AudioSlice) or part.coverage < self._min_coverage:
            return None
        if len(part.samples) < self._size:
            return None
        levels = self._levels(part)
        if len(levels) < _FRAMES_PER_ITEM:
            return None
        count = len(levels) // _FRAMES_PER_ITEM
        items = levels[: count * _FRAMES_PER_ITEM].reshape(count, _FRAMES_PER_ITEM, -1).mean(axis=1)
        places = np.stack([levels.mean(axis=0), levels.std(axis=0), levels.max(axis=0)], axis=1)
        return StreamFeatures(places, np.ones(len(places), np.bool_), items)

    def _levels(self, part: AudioSlice) -> npt.NDArray[np.float32]:
        """Band levels of the frames that were heard in full, decibels ``(frames, P)``."""
        mono = torch.from_numpy(np.ascontiguousarray(part.samples.mean(axis=1)))
        frames = mono.unfold(0, self._size, self._hop)  # (frames, size)
        power = torch.fft.rfft(frames * self._shape).abs().square() / self._gain
        levels = 10.0 * torch.log10(power @ self._mel + _FLOOR)
        heard = part.present
        if not heard.all():
            whole = np.lib.stride_tricks.sliding_window_view(heard, self._size)[:: self._hop]
            levels = levels[torch.from_numpy(whole.all(axis=1))]
        result: npt.NDArray[np.float32] = np.nan_to_num(levels.numpy(), nan=-100.0, posinf=200.0)
        return result


def _band(weights: npt.NDArray[np.float32], rate_hz: float) -> str:
    bins = np.flatnonzero(weights > 0.25 * weights.max())
    step = rate_hz / 2 / (len(weights) - 1)
    low, high = max(bins[0] - 0.5, 0) * step, (bins[-1] + 0.5) * step
    if high < 1000:
        return f"{low:.0f} to {high:.0f} Hz"
    return f"{low / 1000:.1f} to {high / 1000:.1f} kHz"
