"""Contexts that carry a state from window to window: what `gru` and `lstm` share.

A window in which nothing was seen leaves the state as it was. The fused vector of the window
itself also goes past the memory, so that nothing about the present needs remembering.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.models.contexts.base import Context

State = tuple[Tensor, ...]


class Recurrent(Context):
    """``(B, T, F)`` to ``(B, T, hidden)``.

    Args:
        cell: Recurrent cell from `width` to `hidden` numbers.
        states: Tensors in the cell's state; the first is what comes out.
        width: Numbers per fused vector, ``F``.
        hidden: Numbers remembered and given out.
    """

    def __init__(
        self, cell: nn.GRUCell | nn.LSTMCell, states: int, width: int, hidden: int
    ) -> None:
        super().__init__(hidden)
        self.cell = cell
        self.states = states
        self.past = nn.Linear(width, hidden)
        self.finish = nn.LayerNorm(hidden)

    def run(self, x: Tensor, present: Tensor) -> Tensor:
        """Step by step, oldest first."""
        state: State = tuple(x.new_zeros(len(x), self.width) for _ in range(self.states))
        out = []
        for step, here in zip(x.unbind(1), present.unbind(1), strict=True):
            new = self._step(step, state)
            pairs = zip(new, state, strict=True)
            state = tuple(torch.where(here[:, None], n, s) for n, s in pairs)
            out.append(state[0])
        result: Tensor = self.finish(torch.stack(out, dim=1) + self.past(x))
        return result

    def _step(self, x: Tensor, state: State) -> State:
        if isinstance(self.cell, nn.LSTMCell):
            hidden, memory = self.cell(x, (state[0], state[1]))
            return hidden, memory
        return (self.cell(x, state[0]),)
