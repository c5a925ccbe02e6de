"""Why a window is anomalous: who showed it, where, and what was expected instead.

Plain data, carried by scores and events and written out with them. Numbers are rounded, so
that a replay writes the same bytes.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Basis(StrEnum):
    """What an anomaly shows in."""

    SINGLE = "single"
    """One stream is unusual by itself."""

    BETWEEN = "between"
    """Each stream is as usual, but they do not belong together."""


class PlaceMap(msgspec.Struct, frozen=True):
    """How surprising each cell of a picture is.

    Attributes:
        stream: The camera.
        rows: Cells from top to bottom.
        cols: Cells from left to right.
        levels: ``-log10 p`` of each cell, row by row, ``(rows * cols,)``.
    """

    stream: str
    rows: int
    cols: int
    levels: tuple[float, ...]


class Box(msgspec.Struct, frozen=True):
    """A part of a picture, its sides as shares of height and width from the top left.

    Attributes:
        stream: The camera.
        top: Upper side.
        left: Left side.
        bottom: Lower side.
        right: Right side.
        level: ``-log10 p`` of its most surprising cell, or of the new thing in it.
    """

    stream: str
    top: float
    left: float
    bottom: float
    right: float
    level: float


class Band(msgspec.Struct, frozen=True):
    """A part of a sound: frequencies for a time.

    Attributes:
        stream: The microphone.
        low_hz: Lowest frequency.
        high_hz: Highest frequency.
        from_s: When it begins, seconds from the start of the window.
        to_s: When it ends.
        seen_db: Level where it is furthest from the usual, decibels of full scale.
        low_db: Lowest level that is usual there.
        high_db: Highest level that is usual there.
    """

    stream: str
    low_hz: float
    high_hz: float
    from_s: float
    to_s: float
    seen_db: float
    low_db: float
    high_db: float


class Channel(msgspec.Struct, frozen=True):
    """A channel of a sensor, expected against seen.

    Attributes:
        stream: The sensor.
        name: The channel.
        what: What of it: ``value``, ``slope``, ``noise``, ...
        seen: What was seen.
        low: Lower end of what was expected.
        high: Upper end.
        given: Streams that the expectation is taken from; empty: the channel's own normal.
    """

    stream: str
    name: str
    what: str
    seen: float
    low: float
    high: float
    given: tuple[str, ...] = ()


class Then(msgspec.Struct, frozen=True):
    """A reading of a sensor, or a level of a sound's band, then and now.

    Attributes:
        stream: The stream.
        name: Channel of the sensor, or band of the sound.
        then: Mean over the normal moment; of sound in decibels.
        now: Mean over the window that is explained.
    """

    stream: str
    name: str
    then: float
    now: float


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A moment of the normal that was learnt, to compare with.

    Attributes:
        at_ns: When its window began, site time of the recording that was learnt.
        distance: How far it is from the window that is explained; 0: the same, and about 0.7 when
            each stream is as far as normal usually is from the nearest moment.
        differs: Stream that differs most.
        streams: How far each stream is, in such usual distances.
        pictures: Cameras of which the model file has a small picture of it.
        levels: Readings and sound levels that differ by more than they usually vary, the worst
            first.
    """

    at_ns: int
    distance: float
    differs: str
    streams: dict[str, float]
    pictures: tuple[str, ...] = ()
    levels: tuple[Then, ...] = ()


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why one window is anomalous.

    Attributes:
        kind: Whether one stream is unusual or streams do not belong together.
        contributions: What each stream adds to the score, in its units (``-log10 p``); they
            sum up to the score. Less than zero: what the stream shows makes the window look
            more ordinary.
        estimated: Whether the contributions are estimates, as there are many streams.
        pair: Streams that do not belong together, the odd one first; empty when `kind` is
            single.
        maps: How surprising each place of a picture is.
        boxes: Where in the pictures.
        bands: Where in the sounds.
        channels: Which channels of the sensors.
        nearest: Moments of the normal that was learnt that are most like it, the nearest first;
            none with a model that has none.
    """

    kind: Basis
    contributions: dict[str, float] = {}
    estimated: bool = False
    pair: tuple[str, ...] = ()
    maps: tuple[PlaceMap, ...] = ()
    boxes: tuple[Box, ...] = ()
    bands: tuple[Band, ...] = ()
    channels: tuple[Channel, ...] = ()
    nearest: tuple[Moment, ...] = ()
