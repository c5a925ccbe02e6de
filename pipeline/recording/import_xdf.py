"""Recordings of the Lab Streaming Layer (``.xdf``) into samples: one stream each.

Times are those that pyxdf gives: its stamps put on the recorder's clock by the measured clock
offsets, resets of a clock found, the jitter of regular streams taken out. Second 0 is the
earliest stamp of the file; where the file says when it was made, that is on the calendar.

Numbers become sensors, strings become text, and what calls itself audio becomes sound. Streams
without a sample are passed over and said.
"""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import DependencyMissing, RecordingError
from pipeline.core.extras import installing
from pipeline.core.ledger import DropReason
from pipeline.core.pcm import pcm_of
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.timestamps import iso_ns
from pipeline.recording.import_report import InputReport, check_file

_SOUND_LEAST_HZ = 4_000.0
_CHUNK_S = 0.1
_GAP_S = 0.05
_NAME_LENGTH = 50


@dataclass(frozen=True, slots=True)
class _Clock:
    """Where the times of a file lie.

    Attributes:
        zero_s: Earliest stamp, seconds of the recorder's clock.
        made_ns: The same moment on the calendar, if the file says so.
    """

    zero_s: float
    made_ns: int | None

    def ns(self, stamps: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Nanoseconds since second 0."""
        return np.rint((stamps - self.zero_s) * 1e9).astype(np.int64)


class XdfInput:
    """One stream of a file, see the module.

    Args:
        stream: Name of the stream it becomes.
        path: The file.
        found: The stream as pyxdf gives it.
        clock: Where the times of the file lie.
    """

    def __init__(self, stream: str, path: Path, found: Mapping[str, Any], clock: _Clock) -> None:
        self._found, self._clock = found, clock
        self._times = clock.ns(np.asarray(found["time_stamps"], np.float64))
        self.info = _info(stream, found["info"])
        kind = {Modality.TEXT: "text", Modality.AUDIO: "audio"}.get(self.info.modality, "sensors")
        self.report = InputReport(stream, kind, str(path))
        self.report.note(
            f"{_first(found['info'], 'name')!r}; second 0 is {clock.zero_s:.6f} s by the "
            "recorder's clock"
        )

    @property
    def first_ns(self) -> int | None:
        """Its first time when the file says when it was made; else None."""
        made = self._clock.made_ns
        return None if made is None else made + int(self._times.min())

    @property
    def duration_ns(self) -> int:
        """From the first sample to the last."""
        return int(self._times.max() - self._times.min())

    def samples(self, start_ns: int) -> Iterator[tuple[int, Sample]]:
        """Arrival and sample, by growing arrival; one whose stamp goes back is left out."""
        made = self._clock.made_ns
        times = self._times + (start_ns if made is None else made)
        if self.info.modality is Modality.AUDIO:
            yield from self._chunks(times)
            return
        series, last_ns = self._found["time_series"], int(times[0])
        for row, time_ns in enumerate(times.tolist()):
            if time_ns < last_ns:
                self.report.drop(DropReason.OUT_OF_ORDER)
                continue
            last_ns = time_ns
            self.report.took(time_ns)
            yield time_ns, self._sample(row, time_ns, series[row])

    def _sample(self, row: int, time_ns: int, values: Any) -> Sample:  # noqa: ANN401 - pyxdf's
        if self.info.modality is Modality.TEXT:
            line = " ".join(str(value) for value in values)
            return Sample(self.info.name, row, time_ns, line, Encoding.UTF8)
        numbers = np.asarray(values, np.float64)
        wrong = np.isinf(numbers)
        self.report.fault("infinite numbers", int(wrong.sum()))
        numbers = np.where(wrong, np.nan, numbers)
        return Sample(self.info.name, row, time_ns, numbers, Encoding.FLOAT)

    def _chunks(self, times: npt.NDArray[np.int64]) -> Iterator[tuple[int, Sample]]:
        """Sound in pieces of 0.1 s; where stamps leap, the count of samples leaps with them."""
        rate = self.info.rate_hz or 1.0
        sound = pcm_of(np.asarray(self._found["time_series"]))
        leaps = np.flatnonzero(np.diff(times) > _GAP_S * 1e9) + 1
        self.report.fault("gaps in the sound", len(leaps))
        length, number = max(1, round(rate * _CHUNK_S)), 0
        for first, last in zip([0, *leaps], [*leaps, len(times)], strict=True):
            for begin in range(int(first), int(last), length):
                piece = sound[begin : min(begin + length, int(last))]
                time_ns = int(times[begin])
                end_ns = time_ns + round(len(piece) / rate * 1e9)
                position = round((time_ns - int(times[0])) / 1e9 * rate)
                self.report.took(time_ns, end_ns)
                yield (
                    end_ns,
                    Sample(self.info.name, number, time_ns, piece, Encoding.PCM, position=position),
                )
                number += 1


def read_xdf(path: Path, prefix: str, taken: Collection[str]) -> list[XdfInput]:
    """The streams of a file that hold a sample.

    Args:
        path: The file.
        prefix: Put before the name of each; empty: nothing.
        taken: Names that other streams have already.

    Raises:
        SourceUnavailable: There is no such file.
        RecordingError: It is no XDF file, or no stream in it holds a sample.
        DependencyMissing: pyxdf is not installed.
    """
    check_file(path)
    streams, header, remarks = _load(path)
    held = [found for found in streams if len(found["time_stamps"])]
    if not held:
        raise RecordingError("no stream in it holds a sample", where=str(path))
    zero_s = min(float(np.min(found["time_stamps"])) for found in held)
    clock = _Clock(zero_s, _made_ns(header))
    names, inputs = set(taken), []
    for found in sorted(held, key=lambda one: one["info"]["stream_id"]):
        name = _free(_slug(prefix, _first(found["info"], "name")), names)
        names.add(name)
        inputs.append(XdfInput(name, path, found, clock))
    empty = sorted(_first(f["info"], "name") for f in streams if not len(f["time_stamps"]))
    if empty:
        remarks.append(f"passed over, without a sample: {', '.join(map(repr, empty))}")
    for remark in remarks:
        inputs[0].report.note(remark)
    return inputs


def _load(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any], list[str]]:
    try:
        import pyxdf
    except ModuleNotFoundError as error:
        raise DependencyMissing(
            "reading .xdf needs pyxdf", where=str(path), fix=installing("lsl")
        ) from error
    with _remarks() as remarks:
        try:
            streams, header = pyxdf.load_xdf(str(path))
        except (OSError, ValueError, KeyError, IndexError, struct.error, ParseError) as error:
            raise RecordingError(
                f"not an XDF file that can be read: {error}", where=str(path)
            ) from error
    return list(streams), header, remarks


@contextmanager
def _remarks() -> Iterator[list[str]]:
    """What pyxdf has to say, collected instead of printed."""
    found: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            remark = f"pyxdf: {record.getMessage()}"
            if record.levelno >= logging.WARNING and remark not in found:
                found.append(remark)

    logger, collector = logging.getLogger("pyxdf"), Collector()
    passes_on = logger.propagate
    logger.addHandler(collector)
    logger.propagate = False
    try:
        yield found
    finally:
        logger.removeHandler(collector)
        logger.propagate = passes_on


def _info(stream: str, about: Mapping[str, Any]) -> StreamInfo:
    rate = float(_first(about, "nominal_srate") or 0) or None
    count = int(_first(about, "channel_count"))
    if _first(about, "channel_format") == "string":
        return StreamInfo(stream, Modality.TEXT, stamp="exact")
    if _first(about, "type").lower() == "audio" and rate is not None and rate >= _SOUND_LEAST_HZ:
        shape = (count,)
        return StreamInfo(stream, Modality.AUDIO, rate, shape, "int16", stamp="exact")
    labels, units = _channels(about, count)
    return StreamInfo(
        name=stream,
        modality=Modality.SENSOR,
        rate_hz=rate,
        shape=(count,),
        dtype="float64",
        channels=labels,
        units=units,
        stamp="exact",
    )


def _channels(about: Mapping[str, Any], count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Labels and units of the channels as the description gives them, else made up."""
    described: list[Mapping[str, Any]] = []
    for description in about.get("desc") or ():
        for block in (description or {}).get("channels") or ():
            described += (block or {}).get("channel") or ()
    labels = [_first(one, "label") for one in described]
    if len(labels) != count or len(set(labels)) != count or not all(labels):
        return tuple(f"channel{number}" for number in range(count)), ()
    units = tuple(_first(one, "unit") for one in described)
    return tuple(labels), units if any(units) else ()


def _first(about: Mapping[str, Any], key: str) -> str:
    """The value of a key; each stands in a list."""
    values = about.get(key) or [""]
    return str(values[0] if isinstance(values, list) else values)


def _made_ns(header: Mapping[str, Any]) -> int | None:
    text = _first(header.get("info", {}), "datetime")
    try:
        return iso_ns(text) if text else None
    except ValueError:
        return None


def _slug(prefix: str, name: str) -> str:
    parts = re.findall(r"[a-z0-9]+", f"{prefix} {name}".lower())
    return "-".join(parts)[:_NAME_LENGTH] or "xdf"


def _free(name: str, taken: Collection[str]) -> str:
    found, number = name, 2
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    return found
