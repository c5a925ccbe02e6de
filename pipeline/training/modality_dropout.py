"""Modality dropout, and its balance: leave streams out, the strong ones more often.

Training on random subsets of the streams makes a network that works with any of them (Neverova
et al. 2016, "ModDrop", section 4). Trained together, the stream that tells most at first takes
the learning from the others, which then stay weak (Peng et al. 2022, "Balanced Multimodal
Learning via On-the-fly Gradient Modulation", section 3.2). They weaken its gradient; under Adam,
which divides a gradient by its own size, that would change nothing. So we do what Wei et al.
2024, "On-the-fly Modulation for Balanced Multimodal Learning", call prediction modulation: the
stream that does better than the others is left out more often, and the others must do without.

How well a stream does alone is told by the phase as a loss, and remembered with slow
forgetting; it is part of the network's state, so a resumed run goes on with it.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from pipeline.core.settings import Settings

_MEMORY = 0.95  # share of what is remembered that stays at each step


class DropoutSettings(Settings):
    """How often streams are left out."""

    chance: float = Field(default=0.2, ge=0, lt=1)
    """Chance that a stream is left out of a sample."""

    balance: float = Field(default=1.0, ge=0)
    """How much more often a stream is left out that does better than the others; 0: alike."""

    most: float = Field(default=0.7, ge=0, lt=1)
    """Largest chance that the balance may give a stream."""

    def build(self, streams: int) -> ModalityDropout:
        """Make it for so many streams."""
        return ModalityDropout(self, streams)


class ModalityDropout(nn.Module):
    """Draws which streams a sample may see."""

    alone: Tensor
    known: Tensor

    def __init__(self, settings: DropoutSettings, streams: int) -> None:
        super().__init__()
        self._settings = settings
        self.register_buffer("alone", torch.zeros(streams))
        self.register_buffer("known", torch.zeros(streams))

    @torch.no_grad()
    def observe(self, losses: Tensor) -> None:
        """Take in how each stream does alone: a loss each, ``(M,)``; NaN: not known now."""
        seen = torch.isfinite(losses)
        self.alone.copy_(
            torch.where(seen, _MEMORY * self.alone + (1 - _MEMORY) * losses, self.alone)
        )
        self.known.copy_(torch.where(seen, _MEMORY * self.known + 1 - _MEMORY, self.known))

    def chances(self) -> Tensor:
        """Chance of each stream to be left out, ``(M,)``.

        ``p_m = chance * exp(balance * (mean(l) - l_m) / mean(l))``, at most `most`, with the
        remembered losses ``l``; all alike until each has been seen.
        """
        settings = self._settings
        if not bool((self.known > 0).all()):
            return torch.full_like(self.alone, settings.chance)
        losses = self.alone / self.known  # without the pull to the zero it began with
        usual = losses.mean().clamp(min=1e-6)
        chances = settings.chance * torch.exp(settings.balance * (usual - losses) / usual)
        return chances.clamp(max=max(settings.most, settings.chance))

    def draw(self, present: Tensor, generator: Generator) -> Tensor:
        """Which streams stay, as `present`, bool ``(B, ..., M)``; alike along a run of windows.

        A sample that would be left without any stream keeps all that it has.
        """
        runs = present.flatten(1, -2) if present.ndim > 2 else present[:, None]  # (B, T, M)
        dropped = torch.rand((len(runs), runs.shape[-1]), generator=generator)
        kept = runs & (dropped.to(present.device) >= self.chances())[:, None]
        # Judged by the last window, which the answer is about.
        blind = runs[:, -1].any(dim=-1) & ~kept[:, -1].any(dim=-1)
        return torch.where(blind[:, None, None], runs, kept).reshape(present.shape)
