"""The prepared windows of a scene, kept with their time, and dealt out to learn from and to judge.

Windows are prepared one at a time, so that no frame is kept. Neighbouring windows overlap and
look alike; what is held out is therefore whole blocks of time, and a window that overlaps a
held-out one is neither learnt from nor judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from pipeline.core.errors import ModelError
from pipeline.core.settings import Settings
from pipeline.core.window import Window
from pipeline.models.encoders.base import Prepared
from pipeline.models.fusion_model import Batch, FusionModel

Rows = npt.NDArray[np.int64]
Progress = Callable[[str, int, int | None], None]
SECOND_NS = 1_000_000_000
_LEAST_LENGTHS = 5  # of windows in a block: in shorter ones all would overlap a held-out one


class DataSettings(Settings):
    """How much is kept, and what of it is held out."""

    max_windows: int = Field(default=20_000, ge=100)
    """Beyond this many windows whole blocks are left out evenly."""

    min_windows: int = Field(default=60, ge=20)
    """Fewer windows than this are refused; half as many must be left to learn from."""

    block_s: float = Field(default=30.0, gt=0)
    """Length of a block of time, seconds; blocks are joined until they last as long as five
    windows."""

    held_every: int = Field(default=5, ge=2)
    """One block in this many is held out: early stopping and the report judge by it."""


class Split(NamedTuple):
    """Positions of windows.

    Attributes:
        learn: To learn from.
        held: To judge by; no window of `learn` overlaps one.
    """

    learn: Rows
    held: Rows


@dataclass(frozen=True, slots=True)
class PreparedScene:
    """Windows of one scene as arrays, in order of time.

    Attributes:
        inputs: Per stream ``(N, *shape)``; NaN (or 0 for uint8) where it is missing.
        present: Which streams are there, bool ``(N, M)``.
        index: Place of each window on the grid, growing, int64 ``(N,)``.
        length_ns: Length of a window.
        hop_ns: Distance of two windows that follow each other.
    """

    inputs: dict[str, Tensor]
    present: Tensor
    index: Rows
    length_ns: int
    hop_ns: int

    def __len__(self) -> int:
        return len(self.index)

    @property
    def start_ns(self) -> Rows:
        """Begin of each window, ``(N,)``."""
        return self.index * self.hop_ns

    def hops(self, seconds: float) -> int:
        """So many seconds in hops, rounded up, at least one."""
        return max(1, int(np.ceil(seconds * SECOND_NS / self.hop_ns)))

    def batch(self, rows: Rows) -> Batch:
        """Windows at these positions; an index of any shape gives batches of that shape."""
        chosen = torch.from_numpy(np.asarray(rows, np.int64))
        return Batch({n: v[chosen] for n, v in self.inputs.items()}, self.present[chosen])

    def find(self, index: Rows) -> Rows:
        """Positions of windows by their place on the grid; -1 where there is none."""
        at = np.searchsorted(self.index, index).clip(max=len(self) - 1)
        return np.where(self.index[at] == index, at, -1)

    def runs(self, chosen: Rows, length: int) -> Rows:
        """Runs of windows without a gap, all of them `chosen`: positions ``(R, length)``."""
        ends = self.index[chosen][:, None] + np.arange(1 - length, 1)
        runs = self.find(ends)
        whole = (runs >= 0).all(axis=1) & np.isin(runs, chosen).all(axis=1)
        return runs[whole]

    def split(self, settings: DataSettings) -> Split:
        """Blocks to learn from, and blocks to judge by."""
        block_ns = round(settings.block_s * SECOND_NS)
        several = max(1, -(-_LEAST_LENGTHS * self.length_ns // block_ns))
        blocks = self.start_ns // (several * block_ns)
        _, number = np.unique(blocks, return_inverse=True)  # gaps must not empty a part
        every = settings.held_every
        if number.max() + 1 < 2 * every:
            number = np.arange(len(self)) * 2 * every // len(self)
        held = np.flatnonzero(number.ravel() % every == every - 1)
        reach = max(1, -(-self.length_ns // self.hop_ns)) - 1
        near = self.index[held][:, None] + np.arange(-reach, reach + 1)
        return Split(np.flatnonzero(~np.isin(self.index, near)), held)

    def only(self, rows: Rows) -> PreparedScene:
        """The windows at these positions, growing."""
        inputs, present = self.batch(rows)
        return replace(self, inputs=inputs, present=present, index=self.index[rows])


def split_normal(normal: PreparedScene, settings: DataSettings) -> Split:
    """Deal normal time out.

    Raises:
        ModelError: Too little of it is there, or left to learn from.
    """
    least = settings.min_windows
    if len(normal) < least:
        raise ModelError(
            f"{len(normal)} windows of normal time are too few to train on, at least {least} are "
            "needed",
            fix="record more normal time; windows that a label touches are not learnt as normal",
        )
    split = normal.split(settings)
    if len(split.learn) < least // 2 or not len(split.held):
        raise ModelError(
            f"{len(split.held)} windows to hold out and {len(split.learn)}, not overlapping them, "
            "to learn from are too few",
            fix="record for longer, make windows shorter, or change block_s or held_every",
        )
    return split


def prepare_scene(
    model: FusionModel,
    windows: Iterable[Window],
    settings: DataSettings,
    progress: Progress | None = None,
) -> PreparedScene:
    """Prepare windows as the network sees them.

    Args:
        model: The network whose encoders prepare.
        windows: In order of time; gaps are fine.
        settings: How much is kept.
        progress: Told the stage ``windows``, how many are done, and None.

    Raises:
        ModelError: Too few windows, windows out of order or of another length.
    """
    gathered = _Gathered(model, settings)
    for count, window in enumerate(windows, start=1):
        gathered.add(window)
        if progress is not None and count % 20 == 0:
            progress("windows", count, None)
    return gathered.finish()


class _Gathered:
    """Takes windows one at a time; thins them out evenly once there are too many."""

    def __init__(self, model: FusionModel, settings: DataSettings) -> None:
        self._model, self._settings = model, settings
        self._kept: list[tuple[int, dict[str, Prepared]]] = []
        self._stride = 1
        self._grid = (0, 0)  # length and hop, ns
        self._last = 0

    def add(self, window: Window) -> None:
        """Take in one window."""
        self._check(window)
        self._last = window.index
        if self._block(window.index) % self._stride:
            return
        self._kept.append((window.index, self._model.prepare(window)))
        if len(self._kept) > self._settings.max_windows:
            self._stride *= 2
            self._kept = [kept for kept in self._kept if self._block(kept[0]) % self._stride == 0]

    def finish(self) -> PreparedScene:
        """Everything as arrays."""
        if len(self._kept) < self._settings.min_windows:
            raise ModelError(
                f"{len(self._kept)} windows are too few to train on, at least "
                f"{self._settings.min_windows} are needed",
                fix="record for longer; 20 minutes make a good start",
            )
        index = np.array([index for index, _ in self._kept], np.int64)
        inputs, present = self._model.batch([prepared for _, prepared in self._kept])
        self._kept.clear()
        return PreparedScene(inputs, present, index, *self._grid)

    def _block(self, index: int) -> int:
        return index * self._grid[1] // round(self._settings.block_s * SECOND_NS)

    def _check(self, window: Window) -> None:
        length = window.end_ns - window.start_ns
        if not self._grid[0]:
            if window.index <= 0 or window.start_ns % window.index:
                raise ModelError(f"window {window.index} does not lie on a grid from the epoch")
            self._grid = (length, window.start_ns // window.index)
        if length != self._grid[0]:
            raise ModelError(
                f"windows of {self._grid[0] / SECOND_NS:g} s and of {length / SECOND_NS:g} s "
                "cannot be learnt together",
                where=window.scene,
            )
        if window.index <= self._last:
            raise ModelError(
                f"window {window.index} comes after window {self._last}",
                where=window.scene,
                fix="give recordings in the order of their time, and each once",
            )


def spread(rows: Rows, most: int) -> Rows:
    """At most so many of `rows`, evenly spread over them."""
    count = min(max(most, 1), len(rows))
    return rows[np.arange(count) * len(rows) // max(count, 1)]
