"""Distance to the k-th nearest row on a GPU, in one pass over what is remembered.

The general way writes every distance to the GPU's memory and sorts it there. Here one program
holds the distances of one point in registers and takes the smallest away k - 1 times (for a
handful of neighbours that beats any sort), so that the memory is read once and nothing but the
result is written. Differences are squared and summed as they are: what is known exactly has a
distance of exactly zero.
"""

from __future__ import annotations

from typing import Protocol

import torch
import triton
import triton.language as tl
from torch import Tensor

_MOST_POINTS = 4  # that one program holds beside a memory


class _Batch(Protocol):
    batch_size: int


@triton.jit  # type: ignore[untyped-decorator]
def _nearest(
    points: tl.tensor,
    memory: tl.tensor,
    out: tl.tensor,
    count: int,
    rows: int,
    point_place: int,
    point_row: int,
    memory_place: int,
    memory_row: int,
    memory_column: int,
    K: tl.constexpr,
    D: tl.constexpr,
    POINTS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    place = tl.program_id(0).to(tl.int64)
    point = tl.program_id(1) * POINTS + tl.arange(0, POINTS)
    row = tl.arange(0, BLOCK)
    inside, asked = row < rows, point < count
    here = points + place * point_place + point * point_row
    there = memory + place * memory_place + row * memory_row
    total = tl.zeros([POINTS, BLOCK], dtype=points.dtype.element_ty)
    for column in tl.static_range(D):  # unrolled: the reads of all columns are under way at once
        x = tl.load(here + column, mask=asked, other=0.0)
        y = tl.load(there + column * memory_column, mask=inside, other=float("inf"))
        away = y[None, :] - x[:, None]
        total += away * away
    for _ in tl.static_range(K - 1):
        nearest = tl.argmin(total, axis=1)
        total = tl.where(row[None, :] == nearest[:, None], float("inf"), total)
    tl.store(out + place * count + point, tl.sqrt(tl.min(total, axis=1)), mask=asked)


@torch.library.custom_op("fusewatch::kth_distance", mutates_args=())
def kth_distance_on_gpu(points: Tensor, memory: Tensor, k: int) -> Tensor:
    """As `pipeline.models.neighbours.kth_distance`, without its dust.

    Args:
        points: ``(P, B, d)``.
        memory: ``(P, M, d)`` of a few thousand rows at most, laid in any order.
        k: Which neighbour, at most M.

    Returns:
        ``(P, B)``.
    """
    points = points.contiguous()
    places, count, width = points.shape
    out = torch.empty((places, count), dtype=points.dtype, device=points.device)
    if out.numel():
        together = min(_MOST_POINTS, triton.next_power_of_2(count))
        _nearest[(places, triton.cdiv(count, together))](
            points,
            memory,
            out,
            count,
            memory.shape[1],
            points.stride(0),
            points.stride(1),
            *memory.stride(),
            K=k,
            D=width,
            POINTS=together,
            BLOCK=triton.next_power_of_2(memory.shape[1]),
        )
    return out


@kth_distance_on_gpu.register_fake
def _shape(points: Tensor, memory: Tensor, k: int) -> Tensor:
    return points.new_empty(points.shape[:2])


@kth_distance_on_gpu.register_vmap
def _of_many(
    info: _Batch,
    in_dims: tuple[int | None, int | None, None],
    points: Tensor,
    memory: Tensor,
    k: int,
) -> tuple[Tensor, int]:
    """Those of many scenes are so many more places."""
    many = info.batch_size
    whole = [
        one.expand(many, *one.shape) if dim is None else one.movedim(dim, 0)
        for one, dim in zip((points, memory), in_dims, strict=False)
    ]
    flat = [one.flatten(0, 1) for one in whole]
    return kth_distance_on_gpu(*flat, k).unflatten(0, (many, -1)), 0
