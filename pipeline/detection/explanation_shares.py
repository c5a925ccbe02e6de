"""What each stream contributes to a score: Shapley values.

The streams of a scene play together, and the score is what they win. The value of some of
them, ``v(S)``, is the score of the window when only evidence is heard that needs no stream
outside of S, calibrated for just that evidence. A stream's contribution is what it adds when
it comes to those that are there, averaged over all orders of coming (Shapley, 1953, *A value
for n-person games*, equation 13; for predictions Lundberg and Lee, 2017, *A unified approach
to interpreting model predictions*, theorem 1):

    phi(i) = sum over S without i of  |S|! (n - |S| - 1)! / n!  *  (v(S + i) - v(S))

It is the only rule by which contributions sum up to ``v(all) - v(none)``, streams that add the
same get the same, and one that never adds anything gets nothing. What two streams show only
together is shared out between them.

A contribution may be below zero. A stream that shows nothing unusual is one more that could
have, so with it what the others show is less rare. It is told as it is: cut off at zero,
contributions would no longer sum up to the score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations

import numpy as np

Value = Callable[[frozenset[str]], float]

EXACT_UP_TO = 6
_SETS = 128
"""About so many sets of streams are asked about, as of seven streams there are. Each is calibrated
when it is first met, and meanwhile all other scenes wait: a thousand, of 16 streams, took 5 s."""
_LEAST_ORDERS = 2
_SEED = 1953


def contributions(streams: Sequence[str], value: Value) -> tuple[dict[str, float], bool]:
    """What each stream adds, and whether that is an estimate, as there are too many streams.

    Args:
        streams: Streams that could be seen.
        value: The score of some of them alone.
    """
    known = cache(value)
    if len(streams) > EXACT_UP_TO:
        orders = max(_LEAST_ORDERS, _SETS // (2 * len(streams)))
        return sampled(streams, known, orders), True
    return exact(streams, known), False


def exact(streams: Sequence[str], value: Value) -> dict[str, float]:
    """Shapley values from all ``2^n`` sets of streams."""
    return {stream: _average(stream, streams, value) for stream in streams}


def _average(stream: str, streams: Sequence[str], value: Value) -> float:
    others, total = [s for s in streams if s != stream], 0.0
    for size in range(len(streams)):
        weight = 1.0 / (len(streams) * math.comb(len(others), size))
        for chosen in combinations(others, size):
            there = frozenset(chosen)
            total += weight * (value(there | {stream}) - value(there))
    return total


def sampled(streams: Sequence[str], value: Value, orders: int) -> dict[str, float]:
    """Shapley values estimated from some orders of coming and the same reversed.

    Castro, Gómez and Tejada, 2009, *Polynomial calculation of the Shapley value based on
    sampling*, section 3. They sum up to ``v(all) - v(none)`` all the same.

    Args:
        streams: The streams.
        value: The score of some of them alone.
        orders: How many orders; as many again are their reverses.
    """
    draw = np.random.default_rng(_SEED)
    total = dict.fromkeys(streams, 0.0)
    for _ in range(orders):
        order = [streams[i] for i in draw.permutation(len(streams))]
        for way in (order, order[::-1]):
            there: frozenset[str] = frozenset()
            for stream in way:
                total[stream] += value(there | {stream}) - value(there)
                there |= {stream}
    return {stream: won / (2 * orders) for stream, won in total.items()}
