"""The unusual channels of an event as a picture: expected against seen.

Each channel has a row: how it went, with the window that is explained shaded, and beside it a
scale with what was expected as a green part and what was seen as a red line. Where the value
itself is what is unusual, what was expected is shown behind the course as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.channel_words import of_channel
from pipeline.core.event import Event
from pipeline.core.explanation import Channel
from pipeline.detection.picture_paper import (
    EXPECTED,
    FAINT,
    INK,
    SEEN,
    Frame,
    Pixels,
    paper,
    png,
    time_axis,
    write,
)

_WIDE, _TALL, _ROW, _LEFT = 430, 90, 150, 60
_SCALE_LEFT, _SCALE_WIDE = 530, 24
_SHEET_WIDE = 680
_MOST_POINTS, _FOOT = 50_000, 28
_EXPLAINED = (255, 232, 225)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Course:
    """How a channel went.

    Attributes:
        times_ns: When, ``(N,)``.
        values: What, ``(N,)``; NaN where it was not read.
    """

    times_ns: npt.NDArray[np.int64]
    values: Floats


def channel_picture(
    event: Event,
    courses: Mapping[tuple[str, str], Course],
    window_ns: tuple[int, int],
) -> bytes:
    """The channels that the event's explanation names, as PNG.

    Args:
        event: The event, explained.
        courses: How channels went, by stream and channel; one that is not known is left blank.
        window_ns: The window that is explained.
    """
    channels: Sequence[Channel] = event.explanation.channels if event.explanation else ()
    sheet = paper(_SHEET_WIDE, _ROW * len(channels) + _FOOT)
    times = [course.times_ns for course in courses.values() if len(course.times_ns)]
    from_ns = min((int(t[0]) for t in times), default=window_ns[0])
    to_ns = max((int(t[-1]) for t in times), default=window_ns[1])
    for number, channel in enumerate(channels):
        top = number * _ROW
        frame = Frame(_LEFT, top + 32, _WIDE, _TALL, from_ns, to_ns)
        write(sheet, _words(channel), 8, top + 20)
        course = courses.get((channel.stream, channel.name))
        left, right = (frame.column(time_ns) for time_ns in window_ns)
        sheet[frame.top : frame.bottom, left : right + 1] = _EXPLAINED
        _draw_course(sheet, frame, channel, course)
        time_axis(sheet, frame, event.start_ns)
        _draw_scale(sheet, frame, channel)
    foot = "What is explained are the shaded seconds; 0 s is the start of the event."
    write(sheet, foot, 8, len(sheet) - 10)
    return png(sheet)


def _words(channel: Channel) -> str:
    given = f", given {', '.join(channel.given)}" if channel.given else ""
    expected = f"{channel.low:g} to {channel.high:g} expected{given}"
    what = of_channel(channel.what)
    return f"{channel.stream} {channel.name}, {what}: {channel.seen:g} seen, {expected}"


def _draw_course(
    sheet: Pixels,
    frame: Frame,
    channel: Channel,
    course: Course | None,
) -> None:
    known = np.isfinite(course.values) if course is not None else np.zeros(0, bool)
    if course is None or not known.any():
        write(sheet, "no readings", frame.left + 8, frame.top + 20)
        return
    values, times_ns = course.values[known], course.times_ns[known]
    ends = [channel.low, channel.high] if channel.what == "value" else []
    low, high = _span([float(values.min()), float(values.max()), *ends])
    if ends:
        top, bottom = (_row(frame, end, low, high) for end in (channel.high, channel.low))
        strip = sheet[top : bottom + 1, frame.left : frame.left + frame.width]
        np.minimum(strip, np.asarray(EXPECTED, np.uint8), out=strip)
    step = max(1, len(values) // _MOST_POINTS)
    points = [
        (frame.column(int(time_ns)), _row(frame, float(value), low, high))
        for time_ns, value in zip(times_ns[::step], values[::step], strict=True)
    ]
    cv2.polylines(sheet, [np.array(points, np.int32)], False, INK, 1, cv2.LINE_AA)
    for value in (low, high):
        write(sheet, f"{value:.3g}", 8, _row(frame, value, low, high) + (10 if value > low else 0))


def _draw_scale(sheet: Pixels, frame: Frame, channel: Channel) -> None:
    low, high = _span([channel.low, channel.high, channel.seen])
    left, right = _SCALE_LEFT, _SCALE_LEFT + _SCALE_WIDE
    cv2.rectangle(sheet, (left, frame.top), (right, frame.bottom - 1), FAINT, -1)
    top, bottom = (_row(frame, end, low, high) for end in (channel.high, channel.low))
    cv2.rectangle(sheet, (left, top), (right, max(bottom, top + 1)), EXPECTED, -1)
    row = _row(frame, channel.seen, low, high)
    cv2.line(sheet, (left - 6, row), (right + 6, row), SEEN, 2)
    write(sheet, f"{channel.seen:g} seen", right + 12, row + 5, SEEN)
    middle = (top + bottom) // 2 + 5
    if abs(middle - row - 5) >= 16:
        write(sheet, "expected", right + 12, middle)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Ends of a scale that holds all values with some room."""
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or max(abs(high), 1.0) * 0.1
    return low - room, high + room


def _row(frame: Frame, value: float, low: float, high: float) -> int:
    share = (value - low) / (high - low)
    return frame.bottom - 1 - round(min(max(share, 0.0), 1.0) * (frame.height - 1))
