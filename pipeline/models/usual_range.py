"""What a column of a stream usually is at the time of a window, as it is measured.

That is the 5th to 95th percentile of its normal, but for a column that is judged by the time of
day (`pipeline.models.cycle`) or by the level of the last hours (`pipeline.models.running_level`):
of all times together more is usual than at any one of them.
"""

from __future__ import annotations

import math

import torch

from pipeline.models.features import StreamFeatures
from pipeline.models.normalise import Normaliser
from pipeline.models.stream_model import StreamModel

PERCENTILE_Z = 1.645
"""Standard deviations from the middle to the 5th or 95th percentile."""


def usual_range(
    stream: StreamModel, features: StreamFeatures, place: int, column: int
) -> tuple[float, float]:
    """Least and most that is usual.

    Args:
        stream: The stream's model.
        features: What it showed.
        place: Which of its places.
        column: Which column of that.
    """
    normaliser = stream.density.normaliser
    daily = normaliser.cycle.profile[:, place, column].any()
    if not daily and (column or features.shift is None):
        low, high = stream.usual[:, place, column]
        return float(low), float(high)
    times_s = torch.tensor([features.start_ns / 1e9], dtype=torch.float64)
    centre, width = (
        float(one[0, place, column]) for one in normaliser.at(times_s.to(normaliser.centre.device))
    )
    low, high = (
        as_measured(centre + end * width, normaliser, features, place, column)
        for end in (-PERCENTILE_Z, PERCENTILE_Z)
    )
    return low, high


def as_measured(
    level: float, normaliser: Normaliser, features: StreamFeatures, place: int, column: int
) -> float:
    """A level before its logarithm was taken, if its column has one, or its shift taken off.

    Args:
        level: As the normaliser centres it.
        normaliser: Of the stream.
        features: What the stream showed.
        place: Which of its places.
        column: Which column of that.
    """
    floor = float(normaliser.floor[place, column])
    value = level if math.isnan(floor) else max(math.exp(level) - floor, 0.0)
    return value if column or features.shift is None else value + float(features.shift[place])
