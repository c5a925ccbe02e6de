"""Compact features of one stream in one window: the terms all modalities share.

A stream is seen as *places*, which are the cells of a picture, the bands of a sound, the
channels of a sensor. Each place has the same few columns. A stream may also have *items*,
short things of which any number may occur in a window: slices of sound, lines of text. A
stream of pictures has *views*, in which things are found once the background is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.core.window import Slice
from pipeline.models.standing import Stood


@dataclass(frozen=True, slots=True)
class StreamFeatures:
    """What one stream showed in one window.

    Attributes:
        places: float32 ``(P, d)``; zero where not present.
        present: Which places could be seen, bool ``(P,)``.
        items: float32 ``(I, e)``; ``I`` differs from window to window.
        views: A few pictures of the window, packed, see `pipeline.models.objects`.
        start_ns: Site time of its first moment, for streams that may have a daily rhythm.
        prepared: What the encoder of the scene's network sees of it, if the model has one.
        shift: What is to be taken off column 0 before it is judged, float64 ``(P,)``; None:
            nothing. See `pipeline.models.running_level`.
        stood: What stands still in the views and is background by now; None: nothing. See
            `pipeline.models.scene_standing`.
    """

    places: npt.NDArray[np.float32]
    present: npt.NDArray[np.bool_]
    items: npt.NDArray[np.float32]
    views: tuple[bytes, ...] = ()
    start_ns: int = 0
    prepared: npt.NDArray[np.float32] | npt.NDArray[np.uint8] | None = None
    shift: npt.NDArray[np.float64] | None = None
    stood: Stood | None = None


class Extractor(Protocol):
    """Turns slices of one stream into features.

    A window gives the same always, to the bit: what is kept of windows before it
    (`pipeline.models.recent`) saves time and nothing else.

    Attributes:
        labels: Name of each place, ``(P,)``.
        columns: Name of each column, ``(d,)``.
        log_columns: Columns that are energies or spreads, compared by their logarithm.
        tolerances: Change of each column that nobody would call unusual, however steady it was
            while it was learnt, ``(d,)``; of a logarithmic column, in its logarithm.
        relative_columns: Columns whose tolerance is a share of the usual size of column 0.
        common_columns: Columns in which all places move together for harmless reasons.
        level_column: Column whose values at all places are also judged together, by themselves:
            how levels stand to each other is lost among many columns. None: no such column.
        places_order: How the places speak together: by the norm of this order of what each says,
            so that one is heard and many are heard more. None: the worst speaks, and beside it
            the few worst and the stream as a whole.
        item_dims: ``e``, 0 when the stream has no items.
        item_neighbours: Neighbour that counts for items; None: as for places.
    """

    labels: tuple[str, ...]
    columns: tuple[str, ...]
    log_columns: tuple[int, ...]
    tolerances: tuple[float, ...]
    relative_columns: tuple[int, ...]
    common_columns: tuple[int, ...]
    level_column: int | None
    places_order: float | None
    item_dims: int
    item_neighbours: int | None

    def extract(self, part: Slice) -> StreamFeatures | None:
        """Features of `part`, or None when too little of it can be seen."""
        ...


NO_ITEMS: npt.NDArray[np.float32] = np.zeros((0, 0), np.float32)
