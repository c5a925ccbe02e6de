"""What the streams of a scene show together: evidence that none of them holds alone.

Two kinds, chosen by `DetectorSettings.evidence`: `Prediction` of every stream from the others,
and one joint density of all (the baseline that prediction has to beat). Both see the streams'
embeddings and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.models.density import PooledDensity, fit_pooled
from pipeline.models.detector_names import BETWEEN, JOINT
from pipeline.models.packing import on_device
from pipeline.models.prediction import Prediction, fit_prediction, relations
from pipeline.models.settings import DetectorSettings, Evidence

_LEAST_DIMS = 6
_WINDOWS_PER_DIM = 75


@dataclass(frozen=True, slots=True)
class Relation:
    """One stream and those it is predicted from, by their positions in the scene.

    Attributes:
        of: The stream.
        given: Those it is predicted from.
        prediction: What was learnt.
    """

    of: int
    given: tuple[int, ...]
    prediction: Prediction

    def name(self, streams: Sequence[str]) -> str:
        """Its sub-detector, for streams of these names."""
        return f"{BETWEEN}/{relation_name(self.of, self.given, streams)}"

    def seen(self, seen: Tensor) -> Tensor:
        """Windows that show all its streams, bool ``(B,)``, of ``(B, M)``."""
        return seen[:, [self.of, *self.given]].all(dim=1)


@dataclass(frozen=True, slots=True)
class Together:
    """Evidence between the streams of a scene.

    Attributes:
        joint: Density of all streams; None when it was not asked for or could not be learnt.
        relations: Predictions of streams from others.
        dims: Leading components of each stream that they see, as far as it has so many.
    """

    joint: PooledDensity | None = None
    relations: tuple[Relation, ...] = ()
    dims: int = 0

    def names(self, streams: Sequence[str]) -> tuple[str, ...]:
        """Its sub-detectors, ``<detector>/<what>``, for streams of these names."""
        joint = (f"{JOINT}/mahalanobis", f"{JOINT}/knn") if self.joint is not None else ()
        between = tuple(relation.name(streams) for relation in self.relations)
        return (*joint, *between)

    def needs(self, streams: int) -> tuple[tuple[int, ...], ...]:
        """Positions of the streams that each of `names` needs, of so many streams."""
        joint = (tuple(range(streams)),) * 2 if self.joint is not None else ()
        return (*joint, *((r.of, *r.given) for r in self.relations))

    def scores(
        self, embeddings: Sequence[Tensor], seen: Tensor, settings: DetectorSettings
    ) -> Tensor:
        """Raw scores ``(B, D)`` in the order of `names`, NaN where a stream was not seen.

        Args:
            embeddings: Per stream ``(B, E)``; anything where it was not seen.
            seen: Which streams each window shows, bool ``(B, M)``.
            settings: Options of the detector.
        """
        columns: list[Tensor] = []
        if self.joint is not None:
            columns += self._joint(self.joint, embeddings, seen.all(dim=1), settings)
        known = leading(embeddings, self.dims)
        everything = seen.device.type == "cpu" and bool(seen.all())  # asking a GPU means waiting
        for relation in self.relations:
            sources, target = both_sides(known, relation.of, relation.given)
            if everything:  # nothing is to be chosen, which takes longer than the sums themselves
                columns.append(relation.prediction.scores(sources, target))
                continue
            whole = relation.seen(seen)
            found = relation.prediction.scores(sources[whole], target[whole])
            columns.append(_spread(found, whole))
        if not columns:
            return torch.zeros((len(seen), 0), dtype=torch.float64)
        return torch.stack(columns, dim=1)

    def _joint(
        self,
        density: PooledDensity,
        embeddings: Sequence[Tensor],
        whole: Tensor,
        settings: DetectorSettings,
    ) -> list[Tensor]:
        data = torch.cat([joint_part(e, settings) for e in embeddings], dim=1)[whole]
        return [_spread(score, whole) for score in density.scores(data, settings.neighbours)]

    def to(self, device: torch.device) -> Together:
        """The same with its tensors on `device`."""
        joint = None if self.joint is None else on_device(self.joint, device)
        moved = (replace(r, prediction=on_device(r.prediction, device)) for r in self.relations)
        return Together(joint, tuple(moved), self.dims)

    def only(self, names: Collection[str], streams: Sequence[str]) -> Together:
        """Without what is not among `names`."""
        kept = (relation for relation in self.relations if relation.name(streams) in names)
        joint = self.joint if f"{JOINT}/knn" in names else None
        return Together(joint, tuple(kept), self.dims)


def fit_together(
    embeddings: Sequence[Tensor],
    seen: Tensor,
    settings: DetectorSettings,
    dims: int,
    generator: torch.Generator,
) -> Together:
    """Learn what the streams show together.

    Args:
        embeddings: Per stream ``(n, E)``, in the order of time.
        seen: bool ``(n, M)``.
        settings: Options of the detector.
        dims: Components to predict, see `dims_for`.
        generator: Source of the choice of remembered windows.
    """
    least = settings.min_windows // 3
    joint = None
    if Evidence.JOINT in settings.evidence and len(embeddings) > 1:
        whole = seen.all(dim=1)
        if int(whole.sum()) >= least:
            data = torch.cat([joint_part(e, settings) for e in embeddings], dim=1)[whole]
            joint = fit_pooled(data, None, data.shape[1], settings.memory, generator)
    found: list[Relation] = []
    if Evidence.BETWEEN in settings.evidence:
        known = leading(embeddings, dims)
        for of, given in relations(len(embeddings)):
            both = seen[:, [of, *given]].all(dim=1)
            if int(both.sum()) >= least:
                sources, target = both_sides(known, of, given)
                learnt = fit_prediction(sources[both], target[both])
                found.append(Relation(of, given, learnt))
    return Together(joint, tuple(found), dims)


def dims_for(windows: int, settings: DetectorSettings) -> int:
    """Components to predict after so many windows: more than they teach only add noise."""
    return min(settings.prediction_dims, max(_LEAST_DIMS, windows // _WINDOWS_PER_DIM))


def leading(embeddings: Sequence[Tensor], dims: int) -> list[Tensor]:
    """Leading components of each stream, ``(B, <= dims)``."""
    return [embedding[:, -dims:] for embedding in embeddings]  # eigenvalues ascend


def both_sides(parts: Sequence[Tensor], of: int, given: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The sources' components side by side ``(B, F)``, and the target's ``(B, E)``."""
    return torch.cat([parts[other] for other in given], dim=1), parts[of]


def joint_part(embedding: Tensor, settings: DetectorSettings) -> Tensor:
    """What a stream gives to the joint density: its leading components, ``(B, <= dims)``."""
    return embedding[:, -settings.joint_dims :]  # eigenvalues ascend


def relation_name(of: int, given: Sequence[int], streams: Sequence[str]) -> str:
    """``a`` for a stream given all others, ``a|b`` for one given one other, ``a|b+c``."""
    whole = len(given) == len(streams) - 1
    return streams[of] if whole else f"{streams[of]}|{'+'.join(streams[o] for o in given)}"


def _spread(scores: Tensor, rows: Tensor) -> Tensor:
    """Scores of the chosen rows among all rows, NaN elsewhere, ``(B,)``."""
    spread = torch.full((len(rows),), torch.nan, dtype=scores.dtype, device=scores.device)
    spread[rows] = scores
    return spread
