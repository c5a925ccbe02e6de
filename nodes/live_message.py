"""What the fusion node shows of a window to whoever looks on: scores, and what was seen.

A message has the scene's name as its topic, this struct as JSON, and one JPEG per picture.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from pipeline.core.errors import TransportError


class Sound(msgspec.Struct, frozen=True):
    """A microphone in the last hop.

    Attributes:
        low_hz: Lower edge of the lowest band.
        high_hz: Upper edge of the highest band; edges lie evenly on a logarithm between.
        columns: Level of each band, decibels of full scale, one list per column of time, the
            oldest first; -120 where nothing was heard.
    """

    low_hz: float
    high_hz: float
    columns: list[list[int]]


class Readings(msgspec.Struct, frozen=True):
    """A sensor in the last hop.

    Attributes:
        channels: Names.
        units: Unit per channel; may be empty.
        times_ms: Times of the grid, since the Unix epoch.
        values: Values per channel, None where missing, ``(C, T)``.
    """

    channels: list[str]
    units: list[str]
    times_ms: list[int]
    values: list[list[float | None]]


class LiveWindow(msgspec.Struct, frozen=True, kw_only=True):
    """One window as it is shown.

    Attributes:
        scene: Its scene.
        index: Its index.
        end_ms: Its end, milliseconds since the Unix epoch, site time.
        hop_ms: Step from window to window; what is shown is the last hop of the window.
        score: Anomaly score, ``-log10 p``; None in a scene without a model.
        threshold: Score from which on it counts for an alarm; likewise.
        detectors: Score per detector.
        notes: What was unusual, in words, by detector.
        missing: Streams too incomplete to be scored.
        degraded: Streams that saw badly, and why.
        sounds: Microphones.
        readings: Sensors.
        lines: Lines of text, by stream.
        pictures: Cameras in the order of the JPEGs that follow.
    """

    scene: str
    index: int
    end_ms: int
    hop_ms: int
    score: float | None = None
    threshold: float | None = None
    detectors: dict[str, float] = {}
    notes: dict[str, str] = {}
    missing: list[str] = []
    degraded: dict[str, str] = {}
    sounds: dict[str, Sound] = {}
    readings: dict[str, Readings] = {}
    lines: dict[str, list[str]] = {}
    pictures: list[str] = []


_LIVE_WINDOW_DECODER = msgspec.json.Decoder(LiveWindow)


def live_address(data: Path) -> str:
    """Where the fusion node of a data folder shows its windows: a socket in that folder."""
    return f"ipc://{(data / 'run' / 'live.sock').resolve()}"


def pack(window: LiveWindow, pictures: list[bytes]) -> list[bytes]:
    """The frames of a message."""
    return [window.scene.encode(), msgspec.json.encode(window), *pictures]


def unpack(frames: list[bytes]) -> tuple[LiveWindow, dict[str, bytes]]:
    """A window and its pictures by stream.

    Raises:
        TransportError: The frames are not such a message.
    """
    try:
        window = _LIVE_WINDOW_DECODER.decode(frames[1])
        return window, dict(zip(window.pictures, frames[2:], strict=True))
    except (msgspec.DecodeError, IndexError, ValueError) as error:
        raise TransportError(f"not a window that is shown live: {error}") from error
