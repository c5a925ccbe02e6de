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
        weights = self._weights()
        everywhere = x.device.type == "cpu" and bool(present.all())  # asking a GPU means waiting
        out = []
        for step, here in zip(x.unbind(1), present.unbind(1), strict=True):
            new = self._step(step, state, weights)
            if not everywhere:
                pairs = zip(new, state, strict=True)
                new = tuple(torch.where(here[:, None], n, s) for n, s in pairs)
            state = new
            out.append(state[0])
        result: Tensor = self.finish(torch.stack(out, dim=1) + self.past(x))
        return result

    def _weights(self) -> State:
        cell = self.cell
        return cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh

    def _step(self, x: Tensor, state: State, weights: State) -> State:
        """One step by the cell's own function: calling the module takes half as long again."""
        if isinstance(self.cell, nn.LSTMCell):
            hidden, memory = torch.lstm_cell(x, state, *weights)
            return hidden, memory
        return (torch.gru_cell(x, state[0], *weights),)
