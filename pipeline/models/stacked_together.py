"""What the streams of many scenes show together, a window of each, where all streams are seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.models.density import PooledDensity
from pipeline.models.prediction import Prediction
from pipeline.models.settings import DetectorSettings
from pipeline.models.stacking import Slots, Stacked, Tensors, layout, stacked
from pipeline.models.together import Together, both_sides, joint_part, leading

Layout = tuple[object, ...]


def together_layout(together: Together, settings: DetectorSettings) -> Layout | None:
    """What must be the same for evidence to be stacked; None: nothing can stand beside it."""
    joint = () if together.joint is None else layout(together.joint, settings.neighbours)
    if joint is None:
        return None
    relations = ((r.of, r.given, layout(r.prediction, 0)) for r in together.relations)
    return (together.dims, settings.neighbours, settings.joint_dims, joint, *relations)


class StackedTogether:
    """Evidence between the streams of scenes of one `together_layout`.

    Args:
        scenes: That of each scene, ``(S,)``, on the processor.
        settings: Options of the detector.
        device: Where to score.
        dtype: Of what was learnt.
    """

    def __init__(
        self,
        scenes: Sequence[Together],
        settings: DetectorSettings,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._settings = settings
        self._dims = scenes[0].dims
        self._sides = [(r.of, r.given) for r in scenes[0].relations]
        self._predictions: list[Stacked[Prediction]] = [
            stacked([one.relations[number].prediction for one in scenes], device, dtype)
            for number in range(len(self._sides))
        ]
        joints = [one.joint for one in scenes if one.joint is not None]
        self._joint: Stacked[PooledDensity] | None = None
        if joints:
            self._joint = stacked(joints, device, dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of all that was learnt."""
        own = sum(one.nbytes for one in self._predictions)
        return own + (0 if self._joint is None else self._joint.nbytes)

    def scores(self, embeddings: Sequence[Tensor], slots: Slots) -> Tensor:
        """Raw scores ``(B, D)`` in the order of `Together.names`.

        Args:
            embeddings: Per stream ``(B, E)``.
            slots: The scenes.
        """
        columns: list[Tensor] = []
        if self._joint is not None:
            parts = [joint_part(one, self._settings) for one in embeddings]
            found = torch.func.vmap(self._density)(self._joint.of(slots), torch.cat(parts, dim=1))
            columns += found
        known = leading(embeddings, self._dims)
        for (of, given), prediction in zip(self._sides, self._predictions, strict=True):

            def one(
                learnt: Tensors,
                sources: Tensor,
                target: Tensor,
                of: Stacked[Prediction] = prediction,
            ) -> Tensor:
                return of.one(learnt).scores(sources[None], target[None])[0]

            sides = both_sides(known, of, given)
            columns.append(torch.func.vmap(one)(prediction.of(slots), *sides))
        if not columns:
            return embeddings[0].new_zeros((len(embeddings[0]), 0))
        return torch.stack(columns, dim=1)

    def _density(self, learnt: Tensors, row: Tensor) -> tuple[Tensor, Tensor]:
        if self._joint is None:
            return row.new_zeros(()), row.new_zeros(())
        far, near = self._joint.one(learnt).scores(row[None], self._settings.neighbours)
        return far[0], near[0]
