"""Retrieval between streams: does a moment's vector of one find that of another?

For each window the other stream's vectors of all windows are put in order of their cosine; the
rank of its own is 1 at best. Windows that overlap it for the greater part show the same and are
left out of the order (as in `pipeline.training.phases.alignment`). By chance the median rank
is about half of the number of windows.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.models.fusion_model import FusionModel
from pipeline.training.prepared import PreparedScene, Rows

_BATCH = 256
_FEWEST = 20  # windows: fewer say nothing


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How well one stream's vectors find another's.

    Attributes:
        asked: The stream that asks.
        found: The stream whose vectors are searched.
        windows: Windows in which both are there.
        recall_1: Share of them whose own vector comes first.
        recall_5: Share whose own is among the first five.
        median_rank: Median rank of the own.
        chance_1: Share that comes first by chance.
        chance_rank: Median rank by chance.
    """

    asked: str
    found: str
    windows: int
    recall_1: float
    recall_5: float
    median_rank: float
    chance_1: float
    chance_rank: float


@torch.no_grad()
def retrieval(
    model: FusionModel, scene: PreparedScene, rows: Rows, apart_s: float
) -> list[Retrieval]:
    """Retrieval between every two streams, both ways.

    Args:
        model: The network; it is left in ``eval()``.
        scene: Where the windows are from.
        rows: Which of them.
        apart_s: Windows nearer to each other than this are not told apart, seconds.
    """
    z, present = embed_rows(model, scene, rows)
    apart = scene.hops(apart_s)
    found = []
    for a, b in itertools.permutations(range(len(model.names)), 2):
        both = (present[:, a] & present[:, b]).numpy()
        if both.sum() >= _FEWEST:
            ranks, others = _ranks(z[both, a], z[both, b], scene.index[rows][both], apart)
            found.append(_summed(model.names[a], model.names[b], ranks, others))
    return found


@torch.no_grad()
def embed_rows(model: FusionModel, scene: PreparedScene, rows: Rows) -> tuple[Tensor, Tensor]:
    """Vectors in Z ``(n, M, Z)`` and what is present ``(n, M)``, on the CPU."""
    model.eval()
    device = next(model.parameters()).device
    vectors, present = [], []
    for start in range(0, len(rows), _BATCH):
        batch = scene.batch(rows[start : start + _BATCH])
        inputs = {name: values.to(device) for name, values in batch.inputs.items()}
        vectors.append(model.embed(inputs, batch.present.to(device)).cpu())
        present.append(batch.present)
    return torch.cat(vectors), torch.cat(present)


def _ranks(
    asked: Tensor, found: Tensor, index: Rows, apart: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Rank of each window's own vector, ties shared, and how many others there were."""
    scores = F.normalize(asked, dim=-1) @ F.normalize(found, dim=-1).T
    own = scores.diagonal()[:, None]
    far = torch.from_numpy(np.abs(index[:, None] - index) >= apart)
    better, equal = (scores > own) & far, (scores == own) & far
    ranks = 1 + better.sum(dim=1) + equal.sum(dim=1) / 2
    return ranks.double().numpy(), far.sum(dim=1).numpy()


def _summed(
    asked: str, found: str, ranks: npt.NDArray[np.float64], others: npt.NDArray[np.int64]
) -> Retrieval:
    return Retrieval(
        asked,
        found,
        len(ranks),
        float((ranks <= 1).mean()),
        float((ranks <= 5).mean()),
        float(np.median(ranks)),
        float((1 / (1 + others)).mean()),
        float((1 + others / 2).mean()),
    )
