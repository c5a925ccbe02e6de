"""Features of the pictures of many windows at once, on a GPU: what `VideoFeatures` makes of one.

The same steps in the same order, on tensors; only the order in which a cell's pixels are summed
differs, so the last bits do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.models.picture import CELL_PX
from pipeline.models.video_features import LEVEL_FLOOR, MOTION_FLOOR

_GREY = (3735, 19235, 9798)  # of 2^15: blue, green, red as OpenCV weighs them (BT.601)
_GREY_OF_MEAN = (0.114, 0.587, 0.299)


def video_places(frames: Tensor, apart: Tensor) -> Tensor:
    """Features of each cell, float32 ``(B, P, 7)``.

    Args:
        frames: uint8 ``(B, T, H, W, 3)``.
        apart: Steps of the grid from each to the next one, float32 ``(B, T - 1)`` on the CPU.
    """
    count = frames.shape[1]
    picture = frames.sum(dim=1, dtype=torch.int32).float() / count  # (B, H, W, 3)
    columns = [*_appearance(picture), *_motion(_grey(frames), apart)]
    return torch.stack(columns, dim=-1).flatten(1, 2)


def _appearance(picture: Tensor) -> list[Tensor]:
    grey = picture @ picture.new_tensor(_GREY_OF_MEAN)
    blue, green, red = torch.log(_pool(picture.movedim(-1, 1)) + LEVEL_FLOOR).unbind(1)
    mean, square = _pool(grey), _pool(grey.square())
    texture = torch.log((square - mean.square()).clamp_min(0.0).sqrt() + 1.0)
    relative = [torch.log(mean + LEVEL_FLOOR), blue - green, red - green]
    return [*(x - _median(x) for x in relative), texture]


def _motion(grey: Tensor, apart: Tensor) -> list[Tensor]:
    """Of float32 ``(B, T, H, W)`` and ``(B, T - 1)``: three times ``(B, rows, cols)``."""
    level = _pool(grey)
    level = level - _median(level)
    change = grey[:, :-1] - grey[:, 1:]
    shift = _pool(change)
    light = _median(shift)
    square = _pool(change.square()) - 2 * light * shift + light.square()
    square = square.clamp_min(0.0)
    steps = apart.to(grey.device)[..., None, None]  # (B, T - 1, 1, 1)
    most = square.amax(dim=1).sqrt()
    if (apart > 1).any():
        moved = (square - _median(square)).clamp_min(0.0)
        square = square - moved * (1 - 1 / steps)
    energy = square.sqrt()
    mean = (energy * steps).mean(dim=1) * (steps.shape[1] / steps.sum(dim=1))
    seen = (level.std(dim=1, correction=0), mean, most)
    return [torch.log(x + MOTION_FLOOR) for x in seen]


def _grey(frames: Tensor) -> Tensor:
    """Rounded as OpenCV rounds it, float32 ``(B, T, H, W)``."""
    blue, green, red = (frames[..., channel].int() * _GREY[channel] for channel in range(3))
    return ((blue + green + red + 2**14) >> 15).float()


def _pool(pictures: Tensor) -> Tensor:
    """Mean per cell: ``(..., H, W)`` to ``(..., rows, cols)``."""
    *rest, height, width = pictures.shape
    cells = pictures.reshape(*rest, height // CELL_PX, CELL_PX, width // CELL_PX, CELL_PX)
    return cells.mean(dim=(-3, -1))


def _median(cells: Tensor) -> Tensor:
    """Median over the cells of each picture, ``(..., rows, cols)`` to ``(..., 1, 1)``."""
    ranked = cells.flatten(-2).sort(dim=-1).values
    count = ranked.shape[-1]
    middle = ranked[..., (count - 1) // 2] + ranked[..., count // 2]
    return (middle / 2)[..., None, None]
