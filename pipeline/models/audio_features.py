"""What a sound is like, band by band: log-mel levels over time.

Each band has its mean, spread and peak over the window. Items are slices of about 64 ms with
all their bands: a brief sound that was never heard shows there before it moves a mean.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from pipeline.core.channel_words import pitch_words
from pipeline.core.sample import StreamInfo
from pipeline.core.window import AudioSlice, Slice
from pipeline.models.features import StreamFeatures
from pipeline.models.mel_bank import mel_bank

FRAMES_PER_ITEM = 2
FLOOR = 1e-10  # power; -100 dB of full scale


class AudioFeatures:
    """Extractor of an audio stream. ``P`` is the number of bands, ``d`` is 3, ``e`` is ``P``."""

    columns: tuple[str, ...] = ("level", "unsteadiness", "peak level")
    tolerances: tuple[float, ...] = (1.5, 0.5, 1.5)  # decibels
    relative_columns: tuple[int, ...] = ()
    log_columns: tuple[int, ...] = ()
    common_columns: tuple[int, ...] = ()
    level_column: int | None = None
    places_order: float | None = None
    item_neighbours: int | None = None

    def __init__(self, info: StreamInfo, bands: int, min_coverage: float) -> None:
        bank = mel_bank(info, bands)
        self.size, self.hop, self.mel = bank.size, bank.hop, bank.weights
        self._min_coverage = min_coverage
        self.shape = torch.hann_window(self.size)
        self.gain = float(self.shape.sum()) ** 2 / 4  # a full-scale sine has 0 dB
        self.item_dims = self.mel.shape[1]
        rate = info.rate_hz or 0.0
        self.edges_hz = tuple(_edges(self.mel[:, b].numpy(), rate) for b in range(self.item_dims))
        self.labels = tuple(pitch_words(*edges) for edges in self.edges_hz)

    def extract(self, part: Slice) -> StreamFeatures | None:
        """Features ``(P, 3)`` and items ``(I, P)`` in decibels; None when too little is heard."""
        if not isinstance(part, AudioSlice) or part.coverage < self._min_coverage:
            return None
        if len(part.samples) < self.size:
            return None
        levels, _ = self.timed(part)
        if len(levels) < FRAMES_PER_ITEM:
            return None
        count = len(levels) // FRAMES_PER_ITEM
        items = levels[: count * FRAMES_PER_ITEM].reshape(count, FRAMES_PER_ITEM, -1).mean(axis=1)
        places = np.stack([levels.mean(axis=0), levels.std(axis=0), levels.max(axis=0)], axis=1)
        return StreamFeatures(places, np.ones(len(places), np.bool_), items)

    def timed(self, part: AudioSlice) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Band levels of the frames that were heard in full, and where each frame begins.

        Returns:
            Decibels ``(frames, P)``, and the first sample of each frame ``(frames,)``.
        """
        mono = torch.from_numpy(np.ascontiguousarray(part.samples.mean(axis=1)))
        frames = mono.unfold(0, self.size, self.hop)  # (frames, size)
        power = torch.fft.rfft(frames * self.shape).abs().square() / self.gain
        levels = 10.0 * torch.log10(power @ self.mel + FLOOR)
        first = np.arange(len(levels), dtype=np.int64) * self.hop
        heard = part.present
        if not heard.all():
            whole = np.lib.stride_tricks.sliding_window_view(heard, self.size)[:: self.hop]
            kept = whole.all(axis=1)
            levels, first = levels[torch.from_numpy(kept)], first[kept]
        result: npt.NDArray[np.float32] = np.nan_to_num(levels.numpy(), nan=-100.0, posinf=200.0)
        return result, first


def _edges(weights: npt.NDArray[np.float32], rate_hz: float) -> tuple[float, float]:
    """Lowest and highest frequency of a band, hertz."""
    bins = np.flatnonzero(weights > 0.25 * weights.max())
    step = rate_hz / 2 / (len(weights) - 1)
    return float(max(bins[0] - 0.5, 0) * step), float((bins[-1] + 0.5) * step)
