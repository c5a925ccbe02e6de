"""Runs of labelled windows, drawn so that half are normal and every kind of event is as frequent.

The last window of a run is the one that is asked about; those before it are its context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from pipeline.models.fusion_model import Batch
from pipeline.training.labelled import LabelledScene
from pipeline.training.prepared import PreparedScene, Rows, spread


class Drawn(NamedTuple):
    """Runs of windows, ``(B, T)``, and what the last of each shows, int64 ``(B,)``."""

    batch: Batch
    kind: Tensor


@dataclass(frozen=True, slots=True)
class Pool:
    """Runs whose last window shows one kind.

    Attributes:
        scene: Where they are from.
        kind: Which kind; 0 is normal.
        runs: Positions, ``(R, T)``, R at least one.
    """

    scene: PreparedScene
    kind: int
    runs: Rows

    def at(self, chosen: Tensor | slice) -> Drawn:
        """Some of the runs."""
        rows = self.runs[chosen] if isinstance(chosen, slice) else self.runs[chosen.numpy()]
        return Drawn(self.scene.batch(rows), torch.full((len(rows),), self.kind))


class LabelledRuns:
    """Runs by kind."""

    def __init__(self, pools: Sequence[Pool]) -> None:
        self.pools = tuple(pools)
        kinds = [pool.kind for pool in pools]
        events = len({kind for kind in kinds if kind})
        shares = [0.5 / events if kind else 0.5 / kinds.count(0) for kind in kinds]
        self._shares = torch.tensor(shares)

    @property
    def kinds(self) -> set[int]:
        """Kinds that there are."""
        return {pool.kind for pool in self.pools}

    def draw(self, count: int, generator: Generator) -> Drawn:
        """So many runs, half of them normal."""
        which = torch.multinomial(self._shares, count, replacement=True, generator=generator)
        parts = []
        for number, pool in enumerate(self.pools):
            wanted = int((which == number).sum())
            chosen = torch.randint(len(pool.runs), (wanted,), generator=generator)
            parts.append(pool.at(chosen))
        return joined(parts)

    def judged(self, most: int) -> list[Drawn]:
        """Per kind at most about so many runs, always the same, evenly spread."""
        found = []
        for kind in sorted(self.kinds):
            pools = [pool for pool in self.pools if pool.kind == kind]
            parts = [Pool(p.scene, kind, spread(p.runs, most // len(pools))) for p in pools]
            found.append(joined([part.at(slice(None)) for part in parts]))
        return found


def joined(parts: Sequence[Drawn]) -> Drawn:
    """Several one after the other."""
    inputs = {
        name: torch.cat([part.batch.inputs[name] for part in parts])
        for name in parts[0].batch.inputs
    }
    present = torch.cat([part.batch.present for part in parts])
    return Drawn(Batch(inputs, present), torch.cat([part.kind for part in parts]))


def pools_of(labelled: LabelledScene, chosen: Rows, length: int) -> list[Pool]:
    """Runs of some of the labelled windows, by what their last window shows."""
    runs = labelled.scene.runs(chosen, length)
    shown = labelled.kind[runs[:, -1]]
    pools = [Pool(labelled.scene, kind, runs[shown == kind]) for kind in range(len(labelled.kinds))]
    return [pool for pool in pools if len(pool.runs)]
