"""What the latest windows of a scene showed: memory for evidence that looks at several in a row.

Windows are known by their index on the scene's grid, so a gap is a gap: what is not remembered
counts as not seen. The same windows give the same rows however they are shared out to calls,
and after `restore` as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import msgspec
import numpy as np
import torch
from torch import Tensor

from pipeline.core.errors import StoreError


class _Kept(msgspec.Struct, frozen=True):
    """One window as bytes."""

    index: int
    components: tuple[bytes, ...]
    seen: tuple[bool, ...]


_KEPT_DECODER = msgspec.msgpack.Decoder(list[_Kept])
_PARTS_DECODER = msgspec.msgpack.Decoder(tuple[bytes, bytes])


class Past:
    """The latest windows of one scene.

    Args:
        length: Windows in a row, the one that is judged included.
        widths: Components of each stream.
    """

    def __init__(self, length: int, widths: Sequence[int]) -> None:
        self._length = length
        self._widths = tuple(widths)
        self._windows: dict[int, tuple[tuple[Tensor, ...], Tensor]] = {}

    def extend(
        self, indices: Sequence[int], components: Sequence[Tensor], seen: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Take in windows and give each with those before it.

        Args:
            indices: Index of each window, growing, ``(B,)``.
            components: Per stream float32 ``(B, E)``; anything where not seen.
            seen: bool ``(B, M)``.

        Returns:
            Per stream ``(B, T, E)``, oldest first, zero where not seen, and bool ``(B, T, M)``.
        """
        for row, index in enumerate(indices):
            self._windows[index] = tuple(one[row] for one in components), seen[row]
        rows = [self._row(index, seen.device) for index in indices]
        for index in [i for i in self._windows if i <= indices[-1] - self._length + 1]:
            del self._windows[index]
        streams = range(len(self._widths))
        stacked = [torch.stack([row[0][stream] for row in rows]) for stream in streams]
        return stacked, torch.stack([row[1] for row in rows])

    @property
    def latest(self) -> int | None:
        """Index of the newest window that is remembered."""
        return max(self._windows, default=None)

    def whole(self, index: int) -> bool:
        """Whether all streams were there in all windows before `index` that are looked back on."""
        before = range(index - self._length + 1, index)
        found = (self._windows.get(i) for i in before)
        return all(one is not None and bool(one[1].all()) for one in found)

    def take(self, index: int, components: Sequence[Tensor], seen: Tensor) -> None:
        """Take in one window, as `extend` does, without asking for a row.

        Args:
            index: Its index, larger than those before.
            components: Per stream float32 ``(E,)``.
            seen: bool ``(M,)``.
        """
        self._windows[index] = tuple(components), seen
        for old in [i for i in self._windows if i <= index - self._length + 1]:
            del self._windows[old]

    def row(self, index: int) -> tuple[list[Tensor], Tensor]:
        """Components ``(T, E)`` per stream and what was seen ``(T, M)`` up to a window."""
        return self._row(index, torch.device("cpu"))

    def _row(self, index: int, device: torch.device) -> tuple[list[Tensor], Tensor]:
        """Components ``(T, E)`` per stream and what was seen ``(T, M)`` up to a window."""
        nothing = (
            tuple(torch.zeros(width, device=device) for width in self._widths),
            torch.zeros(len(self._widths), dtype=torch.bool, device=device),
        )
        wanted = range(index - self._length + 1, index + 1)
        found = [self._windows.get(i, nothing) for i in wanted]
        seen = torch.stack([one[1] for one in found])
        whole = [torch.stack(parts) for parts in zip(*(one[0] for one in found), strict=True)]
        return [torch.where(seen[:, m, None], x, 0.0) for m, x in enumerate(whole)], seen

    def state(self) -> bytes:
        """Everything remembered."""
        kept = [
            _Kept(
                index,
                tuple(one.cpu().numpy().tobytes() for one in components),
                tuple(seen.cpu().tolist()),
            )
            for index, (components, seen) in sorted(self._windows.items())
        ]
        return msgspec.msgpack.encode(kept)

    def restore(self, state: bytes, device: torch.device) -> Self:
        """Go on from `state`'s bytes.

        Raises:
            StoreError: They are not the memory of such a scene.
        """
        try:
            kept = _KEPT_DECODER.decode(state)
            self._windows = {one.index: self._window(one, device) for one in kept}
        except (msgspec.MsgspecError, ValueError) as error:
            raise StoreError(f"the saved windows cannot be read: {error}") from error
        return self

    def _window(self, kept: _Kept, device: torch.device) -> tuple[tuple[Tensor, ...], Tensor]:
        values = [np.frombuffer(one, np.float32) for one in kept.components]
        if tuple(map(len, values)) != self._widths or len(kept.seen) != len(values):
            raise ValueError("they are of another model")
        components = tuple(torch.from_numpy(one.copy()).to(device) for one in values)
        return components, torch.tensor(kept.seen, device=device)


@dataclass(slots=True)
class ScenePast:
    """The memories of a scene, one for each evidence that looks back.

    Attributes:
        odd: Of the odd one out.
        network: Of the trained network, if the model has one.
    """

    odd: Past
    network: Past | None = None

    def state(self) -> bytes:
        """Everything remembered; without a network as the one memory writes it."""
        if self.network is None:
            return self.odd.state()
        return msgspec.msgpack.encode((self.odd.state(), self.network.state()))

    def restore(self, state: bytes, device: torch.device) -> Self:
        """Go on from `state`'s bytes.

        Raises:
            StoreError: They are not the memory of such a scene.
        """
        if self.network is None:
            self.odd.restore(state, device)
            return self
        try:
            odd, network = _PARTS_DECODER.decode(state)
        except msgspec.MsgspecError as error:
            raise StoreError(f"the saved windows cannot be read: {error}") from error
        self.odd.restore(odd, device)
        self.network.restore(network, device)
        return self
