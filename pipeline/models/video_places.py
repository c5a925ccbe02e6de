"""What the cells of a picture learn from those beside them.

In a minute of normal somebody crosses some cells and not the ones beside them, where the next
one walks. A cell that saw nobody calls the first who comes impossible, by a scale that is only
the noise of its pixels. So no cell is taken for steadier than those around it are on average.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline.models.normalise import scale_of

_AROUND = 5  # cells each way, the cell itself in the middle


def beside(places: Tensor, present: Tensor, rows: int, columns: int) -> Tensor:
    """Factor by which the scale of each cell is to be widened, ``(P, d)``, at least 1.

    Args:
        places: float64 ``(n, P, d)``.
        present: bool ``(n, P)``.
        rows: Rows of cells.
        columns: Cells in a row.
    """
    power = scale_of(places, present).square()  # (P, d)
    grid = power.reshape(rows, columns, -1).numpy()
    size = (_AROUND, _AROUND)
    around = [
        cv2.blur(one, size, borderType=cv2.BORDER_REPLICATE) for one in np.moveaxis(grid, 2, 0)
    ]
    mean = torch.from_numpy(np.stack(around, axis=-1)).reshape(power.shape)
    return (mean / power).clamp_min(1.0).sqrt()
