"""Readings from a serial line: one reading a line, as JSON or by a regular expression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import serial
import structlog
from pydantic import Field

from pipeline.core.errors import BadReading, SourceUnavailable
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.sources.base import Source, SourceContext, SourceSettings
from pipeline.sources.fields import (
    ChannelSettings,
    LineSettings,
    ReadingParser,
    TimeFieldSettings,
)

log = structlog.get_logger(__name__)

LONGEST_LINE = 4096


class SerialPortSettings(SourceSettings):
    """A serial device that writes one reading a line."""

    type: Literal["serial_port"] = "serial_port"
    """Kind of source."""

    port: str
    """Device, for example /dev/ttyUSB0, or a pyserial URL."""

    baud: int = Field(default=115_200, gt=0)
    """Bits per second."""

    stream: str
    """Name of the stream."""

    channels: list[ChannelSettings] = Field(min_length=1)
    """Channels, with their paths in the JSON document or names of the expression's groups."""

    line: LineSettings = LineSettings()
    """How a line is read."""

    time: TimeFieldSettings | None = None
    """Where a line carries its own time; none: the time of arrival."""

    rate_hz: float | None = Field(default=None, gt=0)
    """Nominal rate of lines; none: irregular."""

    def stream_names(self) -> tuple[str, ...]:
        """The one stream."""
        return (self.stream,)

    def channel_names(self, stream: str) -> tuple[str, ...]:
        """The channels of the one stream."""
        return tuple(channel.name for channel in self.channels)

    def build(self, context: SourceContext) -> Source:
        """Make the reader."""
        return SerialPort(self, context)


class SerialPort:
    """Reads lines as sensor samples; see `SerialPortSettings`.

    The first line after opening is thrown away when it is broken: one rarely opens a port
    between two lines.
    """

    def __init__(self, settings: SerialPortSettings, context: SourceContext) -> None:
        self._settings = settings
        self._context = context
        self._parser = ReadingParser(settings.channels, settings.time)
        self._port: serial.SerialBase | None = None
        self._partial = b""
        self._first = True

    def open(self) -> tuple[StreamInfo, ...]:
        """Open the port."""
        self.close()
        try:
            self._port = serial.serial_for_url(self._settings.port, baudrate=self._settings.baud)
        except (serial.SerialException, OSError, ValueError) as error:
            raise SourceUnavailable(
                f"cannot open: {error}",
                where=self._settings.port,
                fix="check that it is plugged in and that you are in the group dialout",
            ) from error
        self._partial, self._first = b"", True
        channels = self._settings.channels
        return (
            StreamInfo(
                name=self._settings.stream,
                modality=Modality.SENSOR,
                rate_hz=self._settings.rate_hz,
                shape=(len(channels),),
                dtype="float64",
                channels=tuple(c.name for c in channels),
                units=tuple(c.unit for c in channels),
                stamp="arrival" if self._settings.time is None else "device",
            ),
        )

    def read(self, timeout_s: float) -> Sequence[Sample]:
        """Readings of the lines that came."""
        if self._port is None:
            raise SourceUnavailable("not open", where=self._settings.port)
        try:
            self._port.timeout = timeout_s
            block = self._port.read(1)
            block += self._port.read(self._port.in_waiting)
        except (serial.SerialException, OSError) as error:
            raise SourceUnavailable(f"lost: {error}", where=self._settings.port) from error
        now_ns = self._context.clock.now_ns()
        *lines, self._partial = (self._partial + block).split(b"\n")
        if len(self._partial) > LONGEST_LINE:
            self._reject(f"a line is longer than {LONGEST_LINE} bytes; is the baud rate right?")
            self._partial = b""
        return [s for line in lines if (s := self._sample(line, now_ns)) is not None]

    def close(self) -> None:
        """Close the port."""
        if self._port is not None:
            self._port.close()
            self._port = None

    def _sample(self, line: bytes, now_ns: int) -> Sample | None:
        first, self._first = self._first, False
        text = line.decode("utf-8", errors="replace").strip()
        if not text:
            return None
        try:
            document = self._settings.line.fields(text)
            values, faults = self._parser.values(document)
            own_ns = self._parser.time_ns(document, now_ns)
        except BadReading as error:
            if not first:
                self._reject(error.message)
            return None
        if faults:
            log.info("cells unusable", stream=self._settings.stream, faults=faults)
        time_ns = now_ns if own_ns is None else own_ns
        return Sample(self._settings.stream, 0, time_ns, values, Encoding.FLOAT)

    def _reject(self, detail: str) -> None:
        self._context.reject(self._settings.stream, DropReason.CORRUPT, detail)


PLUGIN = SerialPortSettings
