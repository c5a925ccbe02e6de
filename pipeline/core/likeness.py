"""Whether an event is another time of one that was said to be normal.

What is compared is what is explained: which streams show it, where in the picture, in which
band, in which channels and to which side, how long, and which detectors would have raised it by
themselves. It must be no more than what was seen before, in every respect, with little to spare:
something worse, longer, elsewhere, in another stream or between streams is never taken for it.
What is not explained is not alike.
"""

from __future__ import annotations

import math

from pipeline.core.event import Event
from pipeline.core.explanation import Band, Basis, Box, Channel, Explanation

SCORE_SPARE = 0.5
"""An event may score so much higher than the one it is like, powers of ten."""

_SURE = 4.0  # of one detector: what is rarer than this was never counted, how much is a guess
_MAIN = 0.25  # share of the score from which on a stream is one that shows it
_APART = 0.15  # of the picture's side, between middles of boxes
_SIZE = 3.0  # times as large
_OVERLAP = 0.5  # of the band
_LOUDER_DB = 6.0
_FURTHER = 1.5  # times as far beyond what was expected
_LONGER = 3.0  # times as long
_LONG_NS = 30_000_000_000  # from which on length counts, as it does for the severity


def alike(event: Event, known: Event) -> bool:
    """Whether `event` shows nothing beyond what `known` showed.

    Args:
        event: An event at its worst so far.
        known: One that is known, likewise.
    """
    if event.scene != known.scene or event.health or known.health:
        return False
    if _length_ns(event) >= max(_LONG_NS, _LONGER * _length_ns(known)):
        return False
    seen, before = event.explanation, known.explanation
    if seen is None or before is None or event.score > known.score + SCORE_SPARE:
        return False
    if seen.kind is not before.kind or set(seen.pair) != set(before.pair):
        return False
    if not _heard_within(event, known):
        return False
    streams = main_streams(seen)
    return bool(streams) and streams <= main_streams(before) and _no_further(seen, before, streams)


def _heard_within(event: Event, known: Event) -> bool:
    """Whether no detector spoke up that did not then, nor much louder; if that was written down."""
    if event.heard is None or known.heard is None:
        return True
    return all(
        name in known.heard and min(one.score, _SURE) <= known.heard[name].score + SCORE_SPARE
        for name, one in event.heard.items()
    )


def _length_ns(event: Event) -> int:
    return event.end_ns - event.start_ns


def main_streams(explanation: Explanation) -> set[str]:
    """Streams that show most of it."""
    total = sum(part for part in explanation.contributions.values() if part > 0)
    main = {n for n, part in explanation.contributions.items() if part > _MAIN * total}
    return main | set(explanation.pair if explanation.kind is Basis.BETWEEN else ())


def _no_further(seen: Explanation, before: Explanation, streams: set[str]) -> bool:
    """Whether every box, band and channel of these streams was there before, as much."""
    boxes = [box for box in seen.boxes if box.stream in streams]
    bands = [band for band in seen.bands if band.stream in streams]
    channels = [channel for channel in seen.channels if channel.stream in streams]
    told = {b.stream for b in boxes} | {b.stream for b in bands} | {c.stream for c in channels}
    # Of two that do not belong together one may show nothing: that is what is wrong with it.
    return (
        bool(told)
        and streams - set(seen.pair) <= told
        and all(any(_box_within(box, was) for was in before.boxes) for box in boxes)
        and all(any(_band_within(band, was) for was in before.bands) for band in bands)
        and all(any(_channel_within(one, was) for was in before.channels) for one in channels)
    )


def _box_within(box: Box, was: Box) -> bool:
    if box.stream != was.stream:
        return False
    down = (box.top + box.bottom - was.top - was.bottom) / 2
    right = (box.left + box.right - was.left - was.right) / 2
    return math.hypot(down, right) <= _APART and _area(box) <= _SIZE * _area(was)


def _area(box: Box) -> float:
    return (box.bottom - box.top) * (box.right - box.left)


def _band_within(band: Band, was: Band) -> bool:
    if band.stream != was.stream or band.seen_db > was.seen_db + _LOUDER_DB:
        return False
    low_hz, high_hz = max(band.low_hz, was.low_hz), min(band.high_hz, was.high_hz)
    return _octaves(low_hz, high_hz) >= _OVERLAP * _octaves(band.low_hz, band.high_hz)


def _octaves(low_hz: float, high_hz: float) -> float:
    return math.log2(max(high_hz, 1.0) / max(low_hz, 1.0))


def _channel_within(channel: Channel, was: Channel) -> bool:
    if (channel.stream, channel.name, channel.what) != (was.stream, was.name, was.what):
        return False
    beyond, before = _beyond(channel), _beyond(was)
    return beyond * before > 0 and abs(beyond) <= _FURTHER * abs(before)


def _beyond(channel: Channel) -> float:
    """How far a channel is above (more than 0) or below what was expected."""
    above, below = channel.seen - channel.high, channel.seen - channel.low
    return above if above > 0 else min(below, 0.0)
