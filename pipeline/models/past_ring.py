"""The latest windows of many scenes on a GPU, kept in step with each scene's own `Past`.

A scene's `Past` stays the truth, which is committed and restored. The ring holds the same numbers
where they are needed, so that one window in a row moves nothing but itself; after anything else
(a restart, a window that was scored on the processor) a scene's part is filled from its `Past`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.models.past import Past


class PastRing:
    """Components of the latest windows of all scenes of a stack.

    Args:
        scenes: How many, ``S``.
        length: Windows in a row, the one that is judged included, ``T``.
        widths: Components of each stream.
        device: Where they are.

    Attributes:
        rows: Per stream ``(S, T, E)``, oldest first.
    """

    def __init__(
        self, scenes: int, length: int, widths: Sequence[int], device: torch.device
    ) -> None:
        self.rows = [torch.zeros((scenes, length, width), device=device) for width in widths]
        self._newest: list[int | None] = [None] * scenes
        self._device = device

    def refill(self, slots: Sequence[int], indices: Sequence[int], pasts: Sequence[Past]) -> None:
        """Bring those scenes into step of which something else than the next window was scored.

        Args:
            slots: Numbers of the scenes.
            indices: Index of the window of each that is to be scored now.
            pasts: Memory of each, without that window.
        """
        for slot, index, past in zip(slots, indices, pasts, strict=True):
            if self._newest[slot] == index - 1 == past.latest:
                continue
            known, _ = past.row(index - 1)
            for rows, one in zip(self.rows, known, strict=True):
                rows[slot] = one.to(self._device)
            self._newest[slot] = index - 1

    def push(self, chosen: slice | Tensor, components: Sequence[Tensor]) -> list[Tensor]:
        """Take in the next window of some scenes and give each with those before it.

        Args:
            chosen: The scenes.
            components: Per stream float32 ``(B, E)``.

        Returns:
            Per stream ``(B, T, E)``, oldest first.
        """
        found = []
        for rows, newest in zip(self.rows, components, strict=True):
            moved = torch.cat([rows[chosen][:, 1:], newest[:, None]], dim=1)
            rows[chosen] = moved
            found.append(moved)
        return found

    def pushed(self, slots: Sequence[int], indices: Sequence[int]) -> None:
        """Note which windows were taken in."""
        for slot, index in zip(slots, indices, strict=True):
            self._newest[slot] = index
