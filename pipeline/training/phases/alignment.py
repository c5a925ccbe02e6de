"""Phase 2: the streams' vectors of one moment meet in Z, those of other moments part.

InfoNCE (van den Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding",
eq. 4) between every pair of streams, both ways, as Radford et al. 2021 (CLIP, section 2.3) do it
between pictures and texts. Negatives of the batch are other moments of the same scene. Most are
easy: another hour, another light. So that the network must look at what happens, each moment
of a batch comes with two that are hard to tell from it: one a little earlier or later, as a
stream with a wrong clock would be, and one at which a stream was as active.

A window that overlaps a moment's for the greater part is no negative of it: it shows the same.
"""

from __future__ import annotations

import itertools
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from pipeline.core.errors import ModelError
from pipeline.models.encoders.scaling import RobustScale
from pipeline.training.phases.base import Ground, Phase, PhaseSettings, pick
from pipeline.training.prepared import Rows, spread

_HELD = 256  # held-out windows that are judged
_ALIKE = 0.02  # of all windows: those next in activity


class AlignmentSettings(PhaseSettings):
    """Options of alignment."""

    type: Literal["alignment"] = "alignment"
    """Kind of phase."""

    batch: int = Field(default=96, ge=12)
    """Windows per step; with hard negatives a third of them are drawn evenly."""

    temperature: float = Field(default=0.1, gt=0)
    """Similarities are divided by it; the smaller, the more the nearest negatives count."""

    apart_s: float = Field(default=1.5, gt=0)
    """Windows nearer to each other than this are no negatives, seconds."""

    shift_s: float = Field(default=3.0, gt=0)
    """Farthest of the negatives that are near in time, seconds."""

    hard: bool = True
    """Bring along moments that are near in time, and others as active."""

    augment: bool = False
    """Change windows. What two streams share is often small, and changes hide it: on half an hour
    of a synthetic site the median rank of a window's own was 54 with and 32 without, of 715."""

    @model_validator(mode="after")
    def _room_for_shifts(self) -> Self:
        if self.shift_s < self.apart_s:
            raise ValueError("shift_s may not be smaller than apart_s")
        return self

    def build(self, ground: Ground) -> Alignment:
        """Make the phase.

        Raises:
            ModelError: Fewer than two streams.
        """
        return Alignment(self, ground)


class Alignment(Phase):
    """Trains encoders and mappers of all streams together."""

    def __init__(self, settings: AlignmentSettings, ground: Ground) -> None:
        model, normal = ground.model, ground.normal
        if len(model.names) < 2:
            raise ModelError(
                "alignment needs two streams or more", fix="leave the phase 'alignment' out"
            )
        self._settings, self._ground = settings, ground
        self.network = nn.ModuleList([model.encoders, model.mappers])
        self._apart = normal.hops(settings.apart_s)
        self._farthest = max(self._apart, normal.hops(settings.shift_s))
        self._learn = ground.split.learn
        self._order = np.argsort(activity(ground, self._learn), axis=0)  # (n, M)
        self._rank = np.argsort(self._order, axis=0)
        self._judged = spread(ground.split.held, _HELD)

    def loss(self, step: int, generator: Generator) -> Tensor:
        """InfoNCE of a batch."""
        del step
        normal = self._ground.normal
        rows = self._drawn(generator)
        batch = normal.batch(rows)
        if self._settings.augment:
            batch = self._ground.changed(batch, generator)
        batch = self._ground.placed(batch)
        z = self._ground.model.embed(*batch)
        return self._contrast(z, batch.present, rows)

    @torch.no_grad()
    def held_out(self) -> float:
        """InfoNCE of held-out windows, unchanged."""
        batch = self._ground.placed(self._ground.normal.batch(self._judged))
        z = self._ground.model.embed(*batch)
        return float(self._contrast(z, batch.present, self._judged))

    def _contrast(self, z: Tensor, present: Tensor, rows: Rows) -> Tensor:
        index = torch.from_numpy(self._ground.normal.index[rows]).to(z.device)
        return info_nce(z, present, index, self._apart, self._settings.temperature)

    def _drawn(self, generator: Generator) -> Rows:
        if not self._settings.hard:
            return pick(self._learn, self._settings.batch, generator)
        at = torch.randint(len(self._learn), (self._settings.batch // 3,), generator=generator)
        moments = self._learn[at.numpy()]
        return np.concatenate(
            [moments, self._shifted(moments, generator), self._as_active(at.numpy(), generator)]
        )

    def _shifted(self, moments: Rows, generator: Generator) -> Rows:
        """A window a little earlier or later; the moment itself where there is none."""
        normal = self._ground.normal
        far = torch.randint(
            self._apart, self._farthest + 1, (len(moments),), generator=generator
        ).numpy()
        sign = 1 - 2 * torch.randint(2, (len(moments),), generator=generator).numpy()
        found = normal.find(normal.index[moments] + sign * far)
        return np.where(np.isin(found, self._learn), found, moments)

    def _as_active(self, at: Rows, generator: Generator) -> Rows:
        """A window in which a stream, drawn for each, was about as active."""
        count, streams = self._order.shape
        reach = max(1, round(_ALIKE * count))
        stream = torch.randint(streams, (len(at),), generator=generator).numpy()
        away = torch.randint(-reach, reach + 1, (len(at),), generator=generator).numpy()
        near = (self._rank[at, stream] + away).clip(0, count - 1)
        return np.asarray(self._learn[self._order[near, stream]], np.int64)


def info_nce(z: Tensor, present: Tensor, index: Tensor, apart: int, temperature: float) -> Tensor:
    """Contrast of all pairs of streams.

    Args:
        z: Vectors of windows ``(B, M, Z)``.
        present: Which are there, bool ``(B, M)``.
        index: Place of the windows on the grid, ``(B,)``; one may come more than once.
        apart: Windows nearer than this, in hops, are no negatives.
        temperature: See `AlignmentSettings`.

    Returns:
        Mean cross-entropy of finding a moment's vector among those of the other stream; zero
        when no two streams were seen together.
    """
    unit = F.normalize(z, dim=-1)
    own = torch.eye(len(z), dtype=torch.bool, device=z.device)
    far = (index[:, None] - index).abs() >= apart
    losses = []
    for a, b in itertools.permutations(range(z.shape[1]), 2):
        both = present[:, a] & present[:, b]
        scores = unit[:, a] @ unit[:, b].T / temperature  # (B, B)
        scores = scores.masked_fill(~(own | far & present[:, b]), -torch.inf)
        if bool(both.any()):
            losses.append(F.cross_entropy(scores[both], both.nonzero()[:, 0]))
    return torch.stack(losses).mean() if losses else z.sum() * 0.0


@torch.no_grad()
def activity(ground: Ground, rows: Rows) -> np.ndarray:
    """How far each stream is from its usual in each window, ``(n, M)``; lowest where missing."""
    found = np.full((len(rows), len(ground.model.names)), -1.0)
    for column, name in enumerate(ground.model.names):
        values = ground.normal.inputs[name][torch.from_numpy(rows)].float().flatten(1)
        scale = RobustScale(values.shape[1:])
        scale.fit(values)
        apart, seen = scale(values)
        mean = apart.abs().sum(dim=1) / seen.sum(dim=1).clamp(min=1)
        present = ground.normal.present[torch.from_numpy(rows), column]
        found[:, column] = torch.where(present, mean, -1.0).numpy()
    return found


PLUGIN = AlignmentSettings
