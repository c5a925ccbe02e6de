"""The streams of the alignment benchmark: a camera, a microphone and a probe, clean or dirty.

Each sample tells by its content when it was taken, so that windows can be judged.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.alignment.aligner import AlignerSettings
from pipeline.alignment.stream_clock import StreamClockSettings
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo

MS = 1_000_000
S = 1_000_000_000
T0 = 1_700_000_000 * S
RATE = 16000
CHUNK = 320
WRAP = 1 << 22
FREQUENCY = 0.4  # of the sensor's sine, Hz

CAMERA = StreamInfo("camera", Modality.VIDEO, 30.0, (4, 4, 3), "uint8", stamp="grab")
MICROPHONE = StreamInfo("microphone", Modality.AUDIO, RATE, (1,), "float32", stamp="adc")
PROBE = StreamInfo("probe", Modality.SENSOR, 10.0, (1,), "float64", stamp="device")
STREAMS = (CAMERA, MICROPHONE, PROBE)


@dataclass
class Truth:
    """A sample and what really happened."""

    sample: Sample
    time_ns: float
    arrival_ns: float = 0.0


def settings(**changes: object) -> AlignerSettings:
    base = {"scene": "bench", "streams": tuple(i.name for i in STREAMS)}
    return AlignerSettings.model_validate(base | changes)


def make(info: StreamInfo, index: int, time_ns: float) -> Truth:
    """One sample that tells by its content when it was taken."""
    position = index * CHUNK
    if info is MICROPHONE:
        data: object = (np.arange(position, position + CHUNK) % WRAP).astype(np.float32)[:, None]
        encoding = Encoding.FLOAT
    elif info is PROBE:
        data = np.array([np.sin(2 * np.pi * FREQUENCY * (time_ns - T0) / S)])
        encoding = Encoding.FLOAT
    else:
        data, encoding, position = b"x", Encoding.JPEG, 0
    return Truth(
        Sample(info.name, index, round(time_ns), data, encoding, position=position), time_ns
    )


def stream(info: StreamInfo, seconds: float, start_ns: int = T0) -> Iterator[Truth]:
    period = S / (info.rate_hz or 1.0) * (CHUNK if info is MICROPHONE else 1)
    for index in range(int(seconds * S / period)):
        yield make(info, index, start_ns + index * period)


def dirty(info: StreamInfo, seconds: float, rng: random.Random, *, dejitter: bool) -> list[Truth]:
    """1 ms of jitter, 2% drops, 1% late by up to 250 ms, a stall of 0.8 s, an outage of 5 s."""
    clock = StreamClockSettings(dejitter=dejitter).build(info)
    phase = rng.randrange(0, 33 * MS)
    stall, outage = rng.uniform(0.2, 0.4) * seconds, rng.uniform(0.5, 0.8) * seconds
    kept = []
    in_line = 0.0
    for truth in stream(info, seconds, T0 + phase):
        at = (truth.time_ns - T0) / S
        if rng.random() < 0.02 or (info is CAMERA and outage <= at < outage + 5.0):
            continue
        truth.sample.timestamp_ns += round(rng.gauss(0, 1) * MS)
        truth.sample.uncertainty_ns = 2 * MS
        truth.sample = clock.correct(truth.sample)
        truth.sample.sequence = len(kept)
        arrival = truth.time_ns + rng.uniform(2, 20) * MS
        if info is MICROPHONE:
            arrival += S * CHUNK / RATE
        if stall <= at < stall + 0.8:
            arrival = T0 + phase + (stall + 0.8) * S
        truth.arrival_ns = in_line = max(in_line, arrival)
        if rng.random() < 0.01:
            truth.arrival_ns += rng.uniform(50, 250) * MS
        kept.append(truth)
    return kept
