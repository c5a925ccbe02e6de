"""Whether an anomaly shows somewhere that others did not: in another stream or at another place.

Unlike `pipeline.core.likeness`, how much there is of it does not count, as the score tells that;
and what is not said is not different, so that a stream whose explanation names no place is told
by its name alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.core.explanation import Band, Box, Channel, Explanation
from pipeline.core.likeness import main_streams

_APART = 0.15  # of the picture's side, between the middle of a box and the edge of another


def elsewhere(seen: Explanation, before: Sequence[Explanation]) -> bool:
    """Whether `seen` names a stream, a place, a band or a channel that none of `before` does."""
    streams = main_streams(seen)
    boxes = [box for was in before for box in was.boxes]
    bands = [band for was in before for band in was.bands]
    channels = [channel for was in before for channel in was.channels]
    return not streams <= {name for was in before for name in main_streams(was)} or any(
        _box_apart(stream, seen.boxes, boxes)
        or _band_apart(stream, seen.bands, bands)
        or _channel_apart(stream, seen.channels, channels)
        for stream in streams
    )


def _box_apart(stream: str, seen: Iterable[Box], before: Iterable[Box]) -> bool:
    was = [box for box in before if box.stream == stream]
    own = [box for box in seen if box.stream == stream]
    return bool(was) and any(not any(_near(box, one) for one in was) for box in own)


def _near(box: Box, was: Box) -> bool:
    down, right = (box.top + box.bottom) / 2, (box.left + box.right) / 2
    return (
        was.top - _APART <= down <= was.bottom + _APART
        and was.left - _APART <= right <= was.right + _APART
    )


def _band_apart(stream: str, seen: Iterable[Band], before: Iterable[Band]) -> bool:
    was = [band for band in before if band.stream == stream]
    own = [band for band in seen if band.stream == stream]
    return bool(was) and any(
        not any(band.low_hz < one.high_hz and one.low_hz < band.high_hz for one in was)
        for band in own
    )


def _channel_apart(stream: str, seen: Iterable[Channel], before: Iterable[Channel]) -> bool:
    was = [channel for channel in before if channel.stream == stream]
    own = [channel for channel in seen if channel.stream == stream]
    return bool(was) and any(_is_other(channel, was) for channel in own)


def _is_other(channel: Channel, before: Iterable[Channel]) -> bool:
    """Another channel, or the same on the other side of what is expected."""
    was = [one for one in before if one.name == channel.name]
    sides = {_above(one) for one in was if one.what == channel.what}
    return not was or (bool(sides) and _above(channel) not in sides)


def _above(channel: Channel) -> bool:
    return channel.seen > (channel.low + channel.high) / 2
