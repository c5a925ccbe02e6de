"""Which sets of streams are judged by themselves: evidence that goes on when some are away."""

from __future__ import annotations

from itertools import combinations

Pattern = tuple[int, ...]

_EVERY_UP_TO = 4  # streams of which every set is judged; of more there would be too many


def patterns_of(streams: int) -> tuple[Pattern, ...]:
    """Sets of two streams or more by their positions, the largest first.

    Of up to four streams every set; of more, all of them and each one missing. While other
    streams are away than these sets know, nothing is said.
    """
    least = 2 if streams <= _EVERY_UP_TO else streams - 1
    sizes = range(streams, least - 1, -1)
    return tuple(pattern for size in sizes for pattern in combinations(range(streams), size))
