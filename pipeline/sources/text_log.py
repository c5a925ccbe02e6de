"""Lines of text: a log file that grows, the system's journal, or an MQTT topic."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import field_validator, model_validator

from pipeline.core.errors import SourceUnavailable
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.time_zone import ZoneName, zone_of
from pipeline.core.timestamps import TimeUnit, parse_ns
from pipeline.sources.base import Source, SourceContext, SourceSettings
from pipeline.sources.broker import MqttBroker, MqttTopic
from pipeline.sources.journal import Journal
from pipeline.sources.tail import FileTail


class TextLogSettings(SourceSettings):
    """Where lines come from; exactly one of path, journal and mqtt is given."""

    type: Literal["text_log"] = "text_log"
    """Kind of source."""

    stream: str
    """Name of the stream."""

    path: Path | None = None
    """A text file to follow."""

    from_start: bool = False
    """Begin with what stands in the file already."""

    time_regex: str | None = None
    """Expression whose group ``time`` is the line's own time; none: the time of arrival."""

    time_unit: TimeUnit = TimeUnit.AUTO
    """How that time is written."""

    timezone: ZoneName | None = None
    """Zone of times that name none, as ``Europe/Berlin``; none: UTC."""

    journal: list[str] | None = None
    """Follow the systemd journal with these matches, e.g. ``_SYSTEMD_UNIT=sshd.service``."""

    mqtt: MqttTopic | None = None
    """An MQTT topic: the keys of a broker as for the kind mqtt, with ``topic``."""

    @field_validator("time_regex")
    @classmethod
    def _has_time(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                groups = re.compile(value).groupindex
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
            if "time" not in groups:
                raise ValueError("the expression needs a group (?P<time>...)")
        return value

    @model_validator(mode="after")
    def _one_origin(self) -> TextLogSettings:
        if sum(x is not None for x in (self.path, self.journal, self.mqtt)) != 1:
            raise ValueError("give exactly one of path, journal and mqtt")
        return self

    def stream_names(self) -> tuple[str, ...]:
        """The one stream."""
        return (self.stream,)

    def build(self, context: SourceContext) -> Source:
        """Make the reader."""
        if self.mqtt is not None:
            # Only here, because the MQTT library is an extra that a log file does not need.
            from pipeline.sources.mqtt import MqttSettings
            from pipeline.sources.mqtt_messages import MqttStream

            broker = {name: getattr(self.mqtt, name) for name in MqttBroker.model_fields}
            lines = MqttStream(name=self.stream, modality="text", topic=self.mqtt.topic)
            return MqttSettings(**broker, streams=[lines]).build(context)
        if self.journal is not None:
            return Journal(self.stream, self.journal, context)
        return TextFile(self, context)


class TextFile:
    """Follows a text file; see `TextLogSettings`."""

    def __init__(self, settings: TextLogSettings, context: SourceContext) -> None:
        if settings.path is None:
            raise ValueError("a text file needs a path")
        self._path = settings.path
        self._settings = settings
        self._context = context
        self._tail: FileTail | None = None
        self._time = re.compile(settings.time_regex) if settings.time_regex else None
        self._zone = zone_of(settings.timezone)

    def open(self) -> tuple[StreamInfo, ...]:
        """Open the file."""
        self.close()
        self._tail = FileTail(self._path, from_start=self._settings.from_start, refuse=self._refuse)
        stamp = "arrival" if self._time is None else "device"
        return (StreamInfo(self._settings.stream, Modality.TEXT, stamp=stamp),)

    def read(self, timeout_s: float) -> Sequence[Sample]:
        """Lines that came."""
        if self._tail is None:
            raise SourceUnavailable("not open", where=str(self._path))
        lines = self._tail.lines(timeout_s)
        now_ns = self._context.clock.now_ns()
        return [s for line in lines if (s := self._sample(line, now_ns)) is not None]

    def close(self) -> None:
        """Close the file."""
        if self._tail is not None:
            self._tail.close()
            self._tail = None

    def _refuse(self, detail: str) -> None:
        self._context.reject(self._settings.stream, DropReason.CORRUPT, detail)

    def _sample(self, line: str, now_ns: int) -> Sample | None:
        if not line.strip():
            return None
        time_ns = now_ns
        if self._time is not None:
            found = self._time.search(line)
            try:
                written = found["time"] if found else ""
                time_ns = parse_ns(written, self._settings.time_unit, self._zone, now_ns)
            except ValueError:
                self._refuse(f"no time in {line[:80]!r}")
                return None
        return Sample(self._settings.stream, 0, time_ns, line, Encoding.UTF8)


PLUGIN = TextLogSettings
