"""The pictures of an event's sound and channels, from what was kept of its streams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.event import Event
from pipeline.core.sample import Encoding, Sample, StreamInfo
from pipeline.detection.channel_picture import Course, channel_picture
from pipeline.detection.evidence_material import Kept
from pipeline.detection.sound_picture import LOWEST_HZ, sound_picture
from pipeline.recording.scores import RecordedScore


def pictures_of(event: Event, peak_ns: int, kept: Iterable[Kept]) -> dict[str, bytes]:
    """PNGs by the names that the event gives them; those that can be drawn.

    Args:
        event: The event, explained.
        peak_ns: Start of the window that is explained.
        kept: Streams and their samples, and scores of windows.
    """
    infos: dict[str, StreamInfo] = {}
    samples: dict[str, list[Sample]] = {}
    wanted, until_ns = _told(event), peak_ns
    for one in kept:
        if isinstance(one, StreamOpened) and one.info.name in wanted:
            infos[one.info.name] = one.info
        elif isinstance(one, SampleArrived) and one.sample.stream in wanted:
            samples.setdefault(one.sample.stream, []).append(one.sample)
        elif isinstance(one, RecordedScore) and one.start_ns == peak_ns:
            until_ns = one.end_ns
    for own in samples.values():
        own.sort(key=lambda sample: sample.timestamp_ns)
    found: dict[str, bytes] = {}
    if event.evidence.spectrogram:
        found |= _sound(event, peak_ns, infos, samples)
    if event.evidence.channels:
        courses = _courses(event, infos, samples)
        found[event.evidence.channels] = channel_picture(event, courses, (peak_ns, until_ns))
    return found


def _told(event: Event) -> frozenset[str]:
    """Streams that the pictures tell of."""
    why = event.explanation
    if why is None:
        return frozenset()
    return frozenset(b.stream for b in why.bands) | frozenset(c.stream for c in why.channels)


def _sound(
    event: Event,
    peak_ns: int,
    infos: Mapping[str, StreamInfo],
    samples: Mapping[str, list[Sample]],
) -> dict[str, bytes]:
    """The first unusual band of which there is sound."""
    for band in event.explanation.bands if event.explanation else ():
        chunks = [s for s in samples.get(band.stream, ()) if s.encoding is Encoding.PCM]
        info = infos.get(band.stream)
        rate_hz = (info.rate_hz or 0.0) if info is not None else 0.0
        if chunks and rate_hz > 2 * LOWEST_HZ:
            picture = sound_picture(event, band, peak_ns, chunks, rate_hz)
            return {event.evidence.spectrogram: picture}
    return {}


def _courses(
    event: Event, infos: Mapping[str, StreamInfo], samples: Mapping[str, list[Sample]]
) -> dict[tuple[str, str], Course]:
    """How each channel went that the event tells of."""
    courses: dict[tuple[str, str], Course] = {}
    for channel in event.explanation.channels if event.explanation else ():
        info = infos.get(channel.stream)
        if info is None or channel.name not in _names(info):
            continue
        place = _names(info).index(channel.name)
        read = [s for s in samples.get(channel.stream, ()) if np.shape(s.data) > (place,)]
        values = np.array([np.asarray(s.data, np.float64)[place] for s in read])
        times_ns = np.array([s.timestamp_ns for s in read], np.int64)
        courses[channel.stream, channel.name] = Course(times_ns, values)
    return courses


def _names(info: StreamInfo) -> tuple[str, ...]:
    """Channels as explanations name them."""
    width = info.shape[0] if info.shape else len(info.channels)
    return info.channels or tuple(f"channel {i}" for i in range(width))
