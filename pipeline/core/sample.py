"""Streams and the samples they carry.

A sample is one video frame, one audio chunk, one sensor reading or one line of text.
Samples are plain slotted objects: they are made thousands of times a second, so nothing
here validates. Sources make them right, and the codec checks what comes from outside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt


class Modality(StrEnum):
    """What kind of signal a stream carries."""

    VIDEO = "video"
    AUDIO = "audio"
    SENSOR = "sensor"
    TEXT = "text"


class Encoding(StrEnum):
    """How a sample's payload is represented."""

    RAW = "raw"  # uint8 array (H, W, 3), BGR
    JPEG = "jpeg"  # bytes of one JPEG image
    PCM = "pcm"  # int16 array (N, channels)
    FLOAT = "float"  # float64 array (C,) for sensors; float32 (N, channels) for audio
    UTF8 = "utf8"  # str


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a stream is.

    Attributes:
        name: Unique in the deployment.
        modality: Kind of signal.
        rate_hz: Nominal rate of frames, audio samples or readings; None when irregular.
        shape: Video ``(height, width, 3)``, audio ``(channels,)``, sensor ``(C,)``, text ``()``.
        dtype: NumPy name of the payload's element type; ``""`` for text.
        unit: Physical unit when all channels share one, else ``""``.
        channels: Channel names of a sensor, ``len == C``; empty otherwise.
        units: Unit per channel when they differ; empty otherwise.
        stamp: What the timestamp means: ``grab`` (right after the frame was grabbed), ``adc``
            (converter time of the first audio sample), ``pts`` (the medium's own clock,
            laid on ours by the smallest delay), ``sender`` (the wall clock of the medium's
            sender), ``arrival``, ``device`` (the sender's own stamp), ``exact`` (a recording, a
            simulation).
    """

    name: str
    modality: Modality
    rate_hz: float | None = None
    shape: tuple[int, ...] = ()
    dtype: str = ""
    unit: str = ""
    channels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    stamp: str = "arrival"

    def like(self, other: StreamInfo) -> bool:
        """Whether the other is the same in all but what its stamps mean."""
        return replace(self, stamp=other.stamp) == other


Payload: TypeAlias = npt.NDArray[np.generic] | bytes | memoryview | str


@dataclass(slots=True)
class Sample:
    """One frame, audio chunk, reading or line.

    Attributes:
        stream: Name of the stream.
        sequence: Count of samples of this stream since the node's session began, from 0.
        timestamp_ns: When it happened: frame exposure or grab, the *first* audio sample, the
            reading. Source clock when it leaves the source, site time from the sender on.
        data: Payload, see `Encoding`. Never written to after it was handed on.
        encoding: How `data` is represented.
        uncertainty_ns: The true time lies within plus or minus this of `timestamp_ns`.
        epoch: Grows by one each time the source restarts or its own clock resets; stamps
            and positions of two epochs are not comparable.
        position: Audio only: samples before this chunk since the epoch began.
    """

    stream: str
    sequence: int
    timestamp_ns: int
    data: Payload
    encoding: Encoding
    uncertainty_ns: int = 0
    epoch: int = 0
    position: int = 0

    @property
    def nbytes(self) -> int:
        """Size of the payload in bytes."""
        data = self.data
        if isinstance(data, str):
            return len(data.encode("utf-8", "replace"))  # half an emoji is no UTF-8
        return len(data) if isinstance(data, bytes) else data.nbytes
