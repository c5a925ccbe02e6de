"""The work of a full round on a GPU, recorded once and played again.

A window of every scene of a stack takes some hundred kernels; to start them one by one takes the
processor longer than they run. A CUDA graph starts all of them at once. It works on memory that
stays where it is: the features of a round are copied there, and the results are read from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Generic, TypeVar

import torch
from torch import Tensor

from pipeline.models.stacked_streams import StreamBatch

T = TypeVar("T")

_WARM = 2  # runs before it is recorded: libraries make what they need


class StackGraph(Generic[T]):
    """A recorded run.

    Args:
        run: Works on features on the device; must not ask the device for a value.
        batches: Features of the first round, by stream; kept, and overwritten by each round.
        memory: What `run` changes; left as it was.
    """

    def __init__(
        self,
        run: Callable[[Sequence[StreamBatch]], T],
        batches: Sequence[StreamBatch],
        memory: Sequence[Tensor],
    ) -> None:
        self._inputs = list(batches)
        before = [one.clone() for one in memory]
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(_WARM):
                run(self._inputs)
        torch.cuda.current_stream().wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._result = run(self._inputs)
        for one, value in zip(memory, before, strict=True):
            one.copy_(value)

    def __call__(self, batches: Sequence[StreamBatch]) -> T:
        """What `run` gives for these features; valid until the next call.

        Args:
            batches: Of the same shapes, on the device or in pinned memory.
        """
        for mine, one in zip(self._inputs, batches, strict=True):
            for part in fields(StreamBatch):
                value: Tensor = getattr(mine, part.name)
                new: Tensor = getattr(one, part.name)
                if value is not new:
                    value.copy_(new, non_blocking=True)
        self._graph.replay()
        return self._result


def shapes_of(batches: Sequence[StreamBatch]) -> tuple[tuple[int, ...], ...]:
    """What must be the same for rounds to be worked on by one recorded run."""
    return tuple(
        tuple(getattr(batch, part.name).shape) for batch in batches for part in fields(StreamBatch)
    )
