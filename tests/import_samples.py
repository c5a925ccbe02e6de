"""Files to import, and what an import makes of them."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import simplejpeg

from pipeline.core.arrival import SampleArrived
from pipeline.core.sample import Sample
from pipeline.recording import Recording
from pipeline.recording.import_report import InputReport
from pipeline.recording.importing import (
    ImportPlan,
    ImportReport,
    run_import,
)

MS = 1_000_000
DAY_NS = 86_400_000_000_000
RATE = 8000


def footage(
    path: Path, frames: int = 30, fps: int = 10, codec: str = "ffv1", between: int = 0
) -> Path:
    """Each frame's brightness says its number; so many in a row build on a later one."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = 64, 48
        if between:
            stream.options = {"bf": str(between), "crf": "1"}
        stream.pix_fmt = {"mjpeg": "yuvj420p", "ffv1": "bgr0"}.get(codec, "yuv420p")
        for number in range(frames):
            picture = np.full((48, 64, 3), 20 + 6 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts = number
            frame.time_base = Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def sound(path: Path, samples: int = 3 * RATE) -> Path:
    """Sample n has the value n modulo 30000."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.arange(samples) % 30_000).astype("<i2").tobytes())
    return path


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def imported(plan: ImportPlan) -> tuple[ImportReport, dict[str, list[SampleArrived]]]:
    report = run_import(plan)
    streams: dict[str, list[SampleArrived]] = {}
    last_ns = 0
    with Recording(plan.output) as recording:
        assert recording.truncated is None
        for arrival in recording.arrivals():
            assert arrival.arrival_ns >= last_ns
            last_ns = arrival.arrival_ns
            if isinstance(arrival, SampleArrived):
                streams.setdefault(arrival.sample.stream, []).append(arrival)
    return report, streams


def stamps_ms(arrivals: list[SampleArrived], start_ns: int | None = None) -> list[float]:
    """Stamps from a time on; None: from midnight, when what has no date begins."""
    if start_ns is None:
        start_ns = arrivals[0].sample.timestamp_ns // DAY_NS * DAY_NS
    return [(a.sample.timestamp_ns - start_ns) / MS for a in arrivals]


def brightness(sample: Sample) -> float:
    return float(simplejpeg.decode_jpeg(bytes(sample.data)).mean())  # type: ignore[arg-type]


def number_of(sample: Sample) -> int:
    return round((brightness(sample) - 20) / 6)


def one(report: ImportReport) -> InputReport:
    return report.inputs[0]
