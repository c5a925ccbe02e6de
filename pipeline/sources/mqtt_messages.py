"""Messages of MQTT topics as samples of streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import structlog
from paho.mqtt.client import topic_matches_sub
from pydantic import Field, model_validator

from pipeline.core.errors import BadReading
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.settings import Settings
from pipeline.sources.batches import BatchSettings
from pipeline.sources.fields import (
    ChannelSettings,
    ReadingParser,
    TimeFieldSettings,
    at_path,
    parse_json,
)

log = structlog.get_logger(__name__)

LARGEST = 1 << 20


class MqttStream(Settings):
    """One stream made from topics."""

    name: str
    """Name of the stream."""

    topic: str = Field(min_length=1)
    """Topic to subscribe to; ``+`` and ``#`` are wildcards."""

    modality: Literal["sensor", "text"] = "sensor"
    """Readings, or lines of text."""

    channels: list[ChannelSettings] = []
    """Channels of a sensor stream, with their paths in the JSON payload."""

    text_path: str | None = None
    """Text stream: where the line stands in a JSON payload; none: the payload is the line."""

    time: TimeFieldSettings | None = None
    """Where the payload carries its own time; none: the time of arrival. A broker keeps messages
    while it cannot reach this source only if all its streams have one, see `qos`."""

    rate_hz: float | None = Field(default=None, gt=0)
    """Nominal rate of readings; none: irregular."""

    batch: BatchSettings | None = None
    """Each message holds many readings, as fast sensors send them; none: one. Needs `rate_hz`."""

    @model_validator(mode="after")
    def _complete(self) -> MqttStream:
        if self.modality == "sensor" and not self.channels:
            raise ValueError("a sensor stream needs channels")
        if self.batch is not None and (self.modality != "sensor" or self.rate_hz is None):
            raise ValueError("a batch is of readings: it needs channels, and rate_hz within it")
        return self

    @property
    def has_own_time(self) -> bool:
        """Whether messages say when things happened; those that do not are stamped on arrival."""
        return self.time is not None and (self.modality == "sensor" or self.text_path is not None)


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it came.

    Attributes:
        arrival_ns: When, node time.
        topic: Where it was published.
        payload: What it says.
    """

    arrival_ns: int
    topic: str
    payload: bytes


class MessageReader:
    """Makes samples of messages.

    Args:
        streams: The streams, and the topics that they are made from.
        reject: Counts what cannot be read: stream, reason and detail.
    """

    def __init__(
        self, streams: Sequence[MqttStream], reject: Callable[[str, DropReason, str], None]
    ) -> None:
        self._streams = streams
        self._reject = reject
        self._parsers = {s.name: ReadingParser(_within(s), s.time) for s in streams}

    def matching(self, topic: str) -> list[MqttStream]:
        """Streams that a topic's messages belong to."""
        return [s for s in self._streams if topic_matches_sub(s.topic, topic)]

    def samples(self, message: Message) -> list[Sample]:
        """What a message says to each stream that it belongs to."""
        samples = []
        for stream in self.matching(message.topic):
            try:
                if stream.batch is None:
                    samples.append(self._sample(stream, message))
                else:
                    samples.extend(self._batch(stream, stream.batch, message))
            except BadReading as error:
                detail = f"{message.topic}: {error.message}"
                self._reject(stream.name, DropReason.CORRUPT, detail)
        return samples

    def _sample(self, stream: MqttStream, message: Message) -> Sample:
        _see_size(message)
        if stream.modality == "text" and stream.text_path is None:
            line = message.payload.decode("utf-8", errors="replace").rstrip("\r\n")
            return Sample(stream.name, 0, message.arrival_ns, line, Encoding.UTF8)
        document = parse_json(message.payload)
        parser = self._parsers[stream.name]
        own_ns = parser.time_ns(document, message.arrival_ns)
        time_ns = message.arrival_ns if own_ns is None else own_ns
        if stream.modality == "text":
            line = str(_text_at(document, stream.text_path or ""))
            return Sample(stream.name, 0, time_ns, line, Encoding.UTF8)
        return self._reading(stream, document, time_ns)

    def _reading(self, stream: MqttStream, document: object, time_ns: int) -> Sample:
        values, faults = self._parsers[stream.name].values(document)
        if faults:
            # The other cells are good and go on, so no sample is lost: it is only logged.
            log.info("cells unusable", stream=stream.name, faults=faults)
        return Sample(stream.name, 0, time_ns, np.asarray(values), Encoding.FLOAT)

    def _batch(
        self, stream: MqttStream, batch: BatchSettings, message: Message
    ) -> Iterator[Sample]:
        """The readings of a message, oldest first; those that cannot be read are counted."""
        _see_size(message)
        document = parse_json(message.payload)
        own_ns = self._parsers[stream.name].time_ns(document, message.arrival_ns)
        rows = batch.documents(document, stream.channels)
        rate_hz = stream.rate_hz or 1.0  # the settings see that there is one
        times = batch.times_ns(len(rows), own_ns, message.arrival_ns, rate_hz)
        for row, time_ns in zip(rows, times, strict=True):
            try:
                yield self._reading(stream, row, time_ns)
            except BadReading as error:
                detail = f"{message.topic}: {error.message}"
                self._reject(stream.name, DropReason.CORRUPT, detail)


def _within(stream: MqttStream) -> list[ChannelSettings]:
    """Channels as they stand within one reading."""
    return stream.channels if stream.batch is None else stream.batch.within(stream.channels)


def _see_size(message: Message) -> None:
    if len(message.payload) > LARGEST:
        raise BadReading(f"payload of {len(message.payload)} bytes is too large")


def _text_at(document: object, path: str) -> object:
    try:
        return at_path(document, path)
    except KeyError as error:
        raise BadReading(f"no text at {path!r}") from error


def stream_info(stream: MqttStream) -> StreamInfo:
    """The stream as it is announced."""
    if stream.modality == "text":
        return StreamInfo(stream.name, Modality.TEXT, stream.rate_hz)
    return StreamInfo(
        name=stream.name,
        modality=Modality.SENSOR,
        rate_hz=stream.rate_hz,
        shape=(len(stream.channels),),
        dtype="float64",
        channels=tuple(c.name for c in stream.channels),
        units=tuple(c.unit for c in stream.channels),
        stamp="arrival" if stream.time is None else "device",
    )
