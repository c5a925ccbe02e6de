"""Arrivals to record, and comparing them: shared by the tests of recordings."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from pipeline.core.arrival import Arrival, LedgerReport, SampleArrived, StreamEnded, StreamOpened
from pipeline.core.event import Event, Phase, Severity
from pipeline.core.ledger import StreamAccount
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording import RecordingWriter

T0 = 1_700_000_000_000_000_000
MS = 1_000_000

CAMERA = StreamInfo("camera", Modality.VIDEO, 10.0, (48, 64, 3), "uint8", stamp="grab")
MIC = StreamInfo("mic", Modality.AUDIO, 16000.0, (1,), "int16", stamp="adc")
PUMP = StreamInfo(
    "pump",
    Modality.SENSOR,
    100.0,
    (3,),
    "float64",
    channels=("Volume Flow RateRMS", "temperature °C", "3rd"),
    units=("l/min", "°C", ""),
    stamp="device",
)
JOURNAL = StreamInfo("journal", Modality.TEXT)
STREAMS = (CAMERA, MIC, PUMP, JOURNAL)


def scene(seconds: float, *, seed: int = 1, jpeg_bytes: int = 20_000) -> Iterator[Arrival]:
    """A camera at 10 Hz, a microphone, a sensor at 100 Hz and some text, as they would arrive."""
    arrivals = _scene(seconds, seed, jpeg_bytes)
    yield from sorted(arrivals, key=lambda arrival: arrival.arrival_ns)


def _scene(seconds: float, seed: int, jpeg_bytes: int) -> Iterator[Arrival]:
    noise = np.random.default_rng(seed)
    for info in STREAMS:
        yield StreamOpened(T0, "hall", info)
    for tick in range(round(seconds * 100)):
        time_ns = T0 + tick * 10 * MS
        if tick % 10 == 0:
            jpeg = noise.bytes(jpeg_bytes)
            yield sample("camera", tick // 10, time_ns, jpeg, Encoding.JPEG, late=3 * MS)
            sound = noise.integers(-3000, 3000, (1600, 1)).astype(np.int16)
            yield sample("mic", tick // 10, time_ns, sound, Encoding.PCM, position=tick * 160)
        reading = noise.normal(size=3)
        yield sample("pump", tick, time_ns, reading, Encoding.FLOAT, uncertainty=200)
        if tick % 50 == 0:
            line = f"line {tick} ü ok"
            yield sample("journal", tick // 50, time_ns, line, Encoding.UTF8)
    end_ns = T0 + round(seconds * 1e9)
    account = StreamAccount(captured=10, delivered=7, spooled=1, dropped={"corrupt": 2})
    yield LedgerReport(end_ns, "hall", {"camera": account})
    for info in STREAMS:
        yield StreamEnded(end_ns, "hall", info.name)


def sample(
    stream: str,
    sequence: int,
    time_ns: int,
    data: object,
    encoding: Encoding,
    *,
    late: int = 0,
    position: int = 0,
    uncertainty: int = 0,
) -> SampleArrived:
    made = Sample(stream, sequence, time_ns, data, encoding, uncertainty, 0, position)  # type: ignore[arg-type]
    return SampleArrived(time_ns + late, "hall", made)


def record(path: Path, arrivals: Iterable[Arrival], **options: object) -> list[Arrival]:
    """Write them to a new file; what was written."""
    written = list(arrivals)
    with RecordingWriter(path, **options) as writer:  # type: ignore[arg-type]
        for arrival in written:
            writer.write(arrival)
    return written


def bits(arrival: Arrival) -> object:
    """The arrival as something that is equal only when every bit is."""
    if not isinstance(arrival, SampleArrived):
        return arrival
    s = arrival.sample
    data = s.data
    payload = (
        (str(data.dtype), data.shape, data.tobytes())
        if isinstance(data, np.ndarray)
        else ("text", data)
        if isinstance(data, str)
        else ("bytes", bytes(data))
    )
    meta = (s.sequence, s.timestamp_ns, s.uncertainty_ns, s.epoch, s.position, s.encoding)
    return (arrival.arrival_ns, arrival.node, s.stream, meta, payload)


def same(first: Iterable[Arrival], second: Iterable[Arrival]) -> bool:
    return [bits(a) for a in first] == [bits(a) for a in second]


def event(revision: int = 0) -> Event:
    return Event(
        id="abc",
        revision=revision,
        scene="hall",
        alarm="anomaly",
        phase=Phase.RAISED,
        severity=Severity.HIGH,
        start_ns=T0,
        end_ns=T0 + 1,
        p=1e-7,
        score=7.0,
        summary="a sound without its cause",
    )


def positions(size: int, count: int, seed: int = 4) -> list[int]:
    return sorted(random.Random(seed).sample(range(size), count))
