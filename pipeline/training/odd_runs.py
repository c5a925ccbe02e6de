"""Runs of normal windows in which one stream is sometimes swapped: what the odd one out learns.

A batch is made of neighbourhoods of four runs each. In every copy of a run one stream shows,
over a stretch of it, what it showed in another run of the neighbourhood, or in the same run a
few seconds earlier or later. Everything is drawn as indices, so a batch is embedded once and
swapped in Z, which makes many examples of few windows.

Where smaller sets of streams are to be judged, each copy shows one of those sets only (modality
dropout, Neverova et al. 2016, "ModDrop", section 4, but never down to one stream, nor without
the one that was swapped: there would be nothing to tell).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.models.odd_settings import OddSettings
from pipeline.models.patterns import Pattern, patterns_of

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NEIGHBOURS = 4
COPIES = 3  # swapped copies of each run per stream
_SHORTEST_S = 3.0


@dataclass(frozen=True, slots=True)
class Swap:
    """Where each window of a batch of runs takes one stream from.

    Attributes:
        row: Run, ``(R, T)``.
        at: Window within it, ``(R, T)``.
        swapped: Which windows show something else than their own, ``(R, T)``.
    """

    row: Ints
    at: Ints
    swapped: Bools


class SwapNetwork(Protocol):
    """What can be asked which stream was swapped; see `pipeline.models.odd_network.OddNetwork`."""

    training: bool

    def embed(self, components: Sequence[Tensor]) -> Tensor:
        """Map each stream into Z: per stream ``(B, E)`` to ``(B, M, Z)``."""
        ...

    def __call__(self, z: Tensor, present: Tensor) -> Tensor:
        """Logits of *none* and of each stream, ``(B, T, M, Z)`` to ``(B, T, 1 + M)``."""
        ...


class Runs:
    """Runs of windows to draw from.

    Args:
        settings: Of the odd one out.
        components: Per stream ``(n, E)``, in the order of time.
        indices: Index of each window on the scene's grid, growing ``(n,)``.
        usable: Windows that may be used, bool ``(n,)``.
        hop_s: Step from one window to the next, seconds.
        patterns: Sets of streams, of which each copy of a run shows one; None: it shows all.
    """

    def __init__(
        self,
        settings: OddSettings,
        components: Sequence[Tensor],
        indices: Ints,
        usable: Bools,
        hop_s: float,
        patterns: Sequence[Pattern] | None = None,
    ) -> None:
        self._settings, self._components, self._indices = settings, components, indices
        self._hop_s = hop_s
        self._patterns = patterns or patterns_of(len(components))[:1]
        self.length = max(4, round(settings.run_s / hop_s))
        self.starts = _starts(indices, usable, self.length)

    def loss(self, network: SwapNetwork, generator: torch.Generator) -> Tensor:
        """Cross-entropy of a batch, drawn by `generator`."""
        logits, truths = self.answers(network, generator)
        return F.cross_entropy(logits, truths)

    def answers(self, network: SwapNetwork, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """What a network says of the windows of a batch, and what is true of them.

        Returns:
            Logits ``(n, 1 + M)``, and the stream that was swapped, from 1, or 0: none, ``(n,)``.
        """
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        starts = self._neighbourhoods(rng)
        z = self._embed(network, starts)
        whole, truth, odd = self._swapped(z, starts, rng)
        present = torch.from_numpy(self.shown(odd, rng))
        logits = network(whole, present[:, None].expand(whole.shape[:3]))
        return logits.flatten(0, 1), truth.flatten()

    def _embed(self, network: SwapNetwork, starts: Ints) -> Tensor:
        """Runs in Z, ``(R, T, M, Z)``."""
        chosen = torch.from_numpy((starts[:, None] + np.arange(self.length)).ravel())
        seen = [one[chosen] for one in self._components]
        if network.training and self._settings.noise:
            seen = [x + self._settings.noise * torch.randn(x.shape) for x in seen]
        z = network.embed(seen)
        return z.reshape(len(starts), self.length, *z.shape[1:])

    def _swapped(
        self, z: Tensor, starts: Ints, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Ints]:
        """Runs as they are and copies ``(C, T, M, Z)``, the truth of each window, ``(C, T)``.

        And the stream that was swapped in each copy, -1 for none, ``(C,)``.
        """
        parts, truths = [z], [torch.zeros(z.shape[:2], dtype=torch.long)]
        for stream in range(z.shape[2]):
            for _ in range(COPIES):
                swap = self.swap(starts, rng)
                copy = z.clone()
                copy[:, :, stream] = z[
                    torch.from_numpy(swap.row), torch.from_numpy(swap.at), stream
                ]
                parts.append(copy)
                truths.append(torch.from_numpy(swap.swapped * np.int64(stream + 1)))
        odd = np.repeat(np.arange(-1, z.shape[2]), [1, *[COPIES] * z.shape[2]])
        return torch.cat(parts), torch.cat(truths), np.repeat(odd, len(z)).astype(np.int64)

    def shown(self, odd: Ints, rng: np.random.Generator) -> Bools:
        """Draw which streams each copy shows, ``(C, M)``.

        Args:
            odd: Stream that was swapped in each, -1 for none, ``(C,)``.
            rng: What it is drawn by.
        """
        shown = np.zeros((len(odd), len(self._components)), np.bool_)
        for row, stream in zip(shown, odd, strict=True):
            fit = [pattern for pattern in self._patterns if stream < 0 or stream in pattern]
            row[list(fit[rng.integers(len(fit))])] = True
        return shown

    def chance(self, generator: torch.Generator) -> float:
        """Loss of an answer that is always how often each stream is swapped, nats."""
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        streams = len(self._components)
        share = float(
            np.mean([self.swap(self._neighbourhoods(rng), rng).swapped for _ in range(30)])
        )
        copies = 1 + streams * COPIES
        odd = share * COPIES / copies  # of each stream
        return float(-(1 - streams * odd) * np.log(1 - streams * odd) - streams * odd * np.log(odd))

    def swap(self, starts: Ints, rng: np.random.Generator) -> Swap:
        """Draw where one stream of each run comes from; some stay as they are."""
        count, length = len(starts), self.length
        shortest = min(length, max(1, round(_SHORTEST_S / self._hop_s)))
        first = rng.integers(0, length - shortest + 1, count)[:, None]
        last = first + rng.integers(shortest, length + 1, count)[:, None]
        here = np.arange(length)[None, :]
        inside = (here >= first) & (here < last)
        shifted = (rng.random(count) < self._settings.shifted)[:, None]
        at = here + np.where(shifted, self._shift(rng, count)[:, None], 0)
        group = np.arange(count) // NEIGHBOURS * NEIGHBOURS
        other = group + rng.integers(0, NEIGHBOURS, count)
        apart = np.abs(self._indices[starts[other]] - self._indices[starts]) >= self._apart
        row = np.where(shifted, np.arange(count)[:, None], other[:, None])
        swapped = inside & (at >= 0) & (at < length) & (shifted | apart[:, None])
        own = np.broadcast_to(np.arange(count)[:, None], swapped.shape)
        return Swap(np.where(swapped, row, own), np.where(swapped, at, here), swapped)

    @property
    def _apart(self) -> int:
        """Windows between two runs from which on they show other times."""
        return max(1, round(self._settings.shift_s[1] / self._hop_s) + self.length // 8)

    def _shift(self, rng: np.random.Generator, count: int) -> Ints:
        low, high = (max(1, round(s / self._hop_s)) for s in self._settings.shift_s)
        shift = rng.integers(low, max(low, high) + 1, count) * rng.choice([-1, 1], count)
        return np.asarray(shift, np.int64)

    def _neighbourhoods(self, rng: np.random.Generator) -> Ints:
        """Starts of the runs of a batch, `NEIGHBOURS` from each neighbourhood."""
        reach = round(self._settings.near_s / self._hop_s)
        found = []
        for _ in range(self._settings.runs // NEIGHBOURS):
            middle = self._indices[rng.choice(self.starts)]
            low, high = middle - reach, middle + reach
            near = self.starts[
                (self._indices[self.starts] >= low) & (self._indices[self.starts] <= high)
            ]
            found.append(rng.choice(near, NEIGHBOURS))
        return np.concatenate(found)


def _starts(indices: Ints, usable: Bools, length: int) -> Ints:
    """Positions from which `length` usable windows follow without a gap."""
    if len(indices) < length:
        return np.zeros(0, np.int64)
    last = np.arange(length - 1, len(indices))
    first = last - length + 1
    whole = indices[last] - indices[first] == length - 1
    bad = np.concatenate([[0], np.cumsum(~usable)])
    return np.asarray(first[whole & (bad[last + 1] == bad[first])], np.int64)
