"""The sound of an event as a picture: bands from low to high over time, the unusual ones marked.

Frequencies are laid out by their logarithm, as ears do. A cell is coloured by its level between
what is quiet and what is loud in this picture; white is where nothing was heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.event import Event
from pipeline.core.explanation import Band
from pipeline.core.sample import Sample
from pipeline.detection.picture_paper import (
    SECOND_NS,
    Frame,
    Pixels,
    paper,
    png,
    time_axis,
    write,
)

COLUMNS, ROWS, SCALE = 400, 120, 2
LOWEST_HZ = 40.0
LONGEST_S = 60.0
_LEFT, _TOP, _RIGHT, _BELOW = 64, 46, 16, 26
_WINDOW_S = 0.04
_FLOOR = 1e-10
_MARK = (255, 255, 255)
_TICKS_HZ = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)

Floats = npt.NDArray[np.float64]


def sound_picture(
    event: Event, band: Band, peak_ns: int, chunks: Sequence[Sample], rate_hz: float
) -> bytes:
    """The sound as PNG.

    Args:
        event: The event.
        band: What is unusual; its times count from `peak_ns`.
        peak_ns: Start of the window that is explained.
        chunks: Sound of the band's stream as PCM, by time; at least one.
        rate_hz: Samples a second.
    """
    sound = _laid_out(chunks, rate_hz)
    from_ns = chunks[0].timestamp_ns
    to_ns = from_ns + round(len(sound) / rate_hz * SECOND_NS)
    frame = Frame(_LEFT, _TOP, COLUMNS * SCALE, ROWS * SCALE, from_ns, to_ns)
    sheet = paper(_LEFT + frame.width + _RIGHT, frame.bottom + _BELOW)
    picture = _coloured(_levels(sound, rate_hz))
    size = (frame.width, frame.height)
    shown = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST)
    sheet[frame.top : frame.bottom, frame.left : frame.left + frame.width] = shown
    _mark(sheet, frame, band, peak_ns, rate_hz)
    _frequencies(sheet, frame, rate_hz)
    time_axis(sheet, frame, event.start_ns)
    write(sheet, f"{band.stream}: {band.low_hz:.0f} to {band.high_hz:.0f} Hz is unusual", 8, 18)
    usual = f"{band.low_db:.0f} to {band.high_db:.0f} dB is usual there"
    write(sheet, f"{band.seen_db:.0f} dB where {usual}; 0 s is the start of the event", 8, 36)
    return png(sheet)


def _laid_out(chunks: Sequence[Sample], rate_hz: float) -> Floats:
    """All sound on one line of time ``(N,)``, NaN where there is none; channels averaged."""
    first = chunks[0]
    most = round(LONGEST_S * rate_hz)
    blocks: list[tuple[int, Floats]] = []
    for chunk in chunks:
        if chunk.epoch == first.epoch:
            at = chunk.position - first.position
        else:
            at = round((chunk.timestamp_ns - first.timestamp_ns) / SECOND_NS * rate_hz)
        mono = np.asarray(chunk.data, np.float64).reshape(len(chunk.data), -1).mean(axis=1)
        if at >= 0 and at + len(mono) <= most:
            blocks.append((at, mono / 32768.0))
    line = np.full(max((at + len(block) for at, block in blocks), default=1), np.nan)
    for at, block in blocks:
        line[at : at + len(block)] = block
    return line


def _levels(sound: Floats, rate_hz: float) -> Floats:
    """Decibels of each cell, the highest frequency first, ``(ROWS, COLUMNS)``; NaN: not heard."""
    size = 1 << max(6, round(np.log2(rate_hz * _WINDOW_S)))
    padded = np.pad(sound, (0, max(0, size - len(sound))), constant_values=np.nan)
    starts = np.linspace(0, len(padded) - size, COLUMNS).astype(np.int64)
    frames = padded[starts[:, None] + np.arange(size)] * np.hanning(size)  # (COLUMNS, size)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    edges = LOWEST_HZ * (rate_hz / 2 / LOWEST_HZ) ** (np.arange(ROWS + 1) / ROWS)
    bins = np.clip(np.round(edges / rate_hz * size).astype(np.int64), 0, power.shape[1] - 1)
    rows = [power[:, low : max(high, low + 1)].max(axis=1) for low, high in pairwise(bins)]
    levels: Floats = 10.0 * np.log10(np.stack(rows[::-1]) + _FLOOR)
    return levels


def _coloured(levels: Floats) -> Pixels:
    heard = np.isfinite(levels)
    if not heard.any():
        return np.full((*levels.shape, 3), 255, np.uint8)
    low, high = np.percentile(levels[heard], (10, 99.9))
    share = np.clip((np.where(heard, levels, low) - low) / max(high - low, 1.0), 0.0, 1.0)
    steps = (np.round(share * 31) * 8).astype(np.uint8)  # few colours make a small file
    picture = cv2.applyColorMap(steps, cv2.COLORMAP_INFERNO)
    picture[~heard] = 255
    return np.asarray(picture, np.uint8)


def _row(frame: Frame, hz: float, rate_hz: float) -> int:
    share = np.log(max(hz, LOWEST_HZ) / LOWEST_HZ) / np.log(rate_hz / 2 / LOWEST_HZ)
    return frame.bottom - 1 - round(float(np.clip(share, 0.0, 1.0)) * (frame.height - 1))


def _mark(sheet: Pixels, frame: Frame, band: Band, peak_ns: int, rate_hz: float) -> None:
    """A box around the band and the time, white on black to be seen on any colour."""
    left = frame.column(peak_ns + round(band.from_s * SECOND_NS))
    right = frame.column(peak_ns + round(band.to_s * SECOND_NS))
    top, bottom = (_row(frame, hz, rate_hz) for hz in (band.high_hz, band.low_hz))
    for colour, thickness in (((0, 0, 0), 4), (_MARK, 2)):
        cv2.rectangle(sheet, (left, top), (max(right, left + 3), bottom), colour, thickness)


def _frequencies(sheet: Pixels, frame: Frame, rate_hz: float) -> None:
    for hz in (tick for tick in _TICKS_HZ if tick < rate_hz / 2):
        row = _row(frame, hz, rate_hz)
        cv2.line(sheet, (frame.left - 5, row), (frame.left - 1, row), (0, 0, 0))
        name = f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz"
        write(sheet, name, 4, row + 5)
