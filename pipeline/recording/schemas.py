"""What the messages of a recording look like, as MCAP stores it: with every file.

Pictures, sound and text use Foxglove's well-known schemas, so that a recording opens in
Foxglove as it is. A sensor has a schema of its own with one double field per channel: its
channels are plotted by name (``/pump.Temperature``) and keep every bit, NaN included. What
is not a sample is JSON. Source of the well-known schemas: docs.foxglove.dev, "Message
schemas"; of the descriptor format: ``google/protobuf/descriptor.proto``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.recording.protobuf import blob, number_field

SENSOR_FIELD = 2048  # first channel's field number; from here on every key takes three bytes
MAX_CHANNELS = 16_000  # field numbers from 19000 on are reserved by protobuf

_TYPES = {"double": 1, "int64": 3, "int32": 5, "fixed32": 7, "string": 9, "bytes": 12}
_MESSAGE_TYPE, _ENUM_TYPE = 11, 14
_OPTIONAL = 1


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema record.

    Attributes:
        name: Full name of the message.
        encoding: ``protobuf`` or ``jsonschema``.
        data: A FileDescriptorSet, or the JSON schema.
    """

    name: str
    encoding: str
    data: bytes

    @property
    def message_encoding(self) -> str:
        """How messages of this schema are encoded."""
        return "json" if self.encoding == "jsonschema" else self.encoding


def _field(name: str, number: int, kind: str) -> bytes:
    body = blob(1, name.encode()) + number_field(3, number) + number_field(4, _OPTIONAL)
    if kind in _TYPES:
        return body + number_field(5, _TYPES[kind])
    code = _ENUM_TYPE if kind.endswith("Level") else _MESSAGE_TYPE
    return body + number_field(5, code) + blob(6, kind.encode())


def _message(name: str, fields: Iterable[tuple[str, int, str]], enum: bytes = b"") -> bytes:
    body = blob(1, name.encode())
    body += b"".join(blob(2, _field(*field)) for field in fields)
    return body + (blob(4, enum) if enum else b"")


def _enum(name: str, values: Sequence[str]) -> bytes:
    numbered = (
        blob(2, blob(1, value.encode()) + number_field(2, number))
        for number, value in enumerate(values)
    )
    return blob(1, name.encode()) + b"".join(numbered)


def _file(package: str, message_name: str, message: bytes, needs: str = "") -> bytes:
    body = blob(1, f"{package.replace('.', '/')}/{message_name}.proto".encode())
    body += blob(2, package.encode())
    if needs:
        body += blob(3, needs.encode())
    return body + blob(4, message) + blob(12, b"proto3")


_TIMESTAMP = ".google.protobuf.Timestamp"
_TIMESTAMP_FILE = _file(
    "google.protobuf",
    "Timestamp",
    _message("Timestamp", [("seconds", 1, "int64"), ("nanos", 2, "int32")]),
)


def _protobuf(
    package: str, name: str, fields: Iterable[tuple[str, int, str]], enum: bytes = b""
) -> Schema:
    message = _message(name, fields, enum)
    own = _file(package, name, message, needs="google/protobuf/Timestamp.proto")
    return Schema(f"{package}.{name}", "protobuf", blob(1, _TIMESTAMP_FILE) + blob(1, own))


COMPRESSED_IMAGE = _protobuf(
    "foxglove",
    "CompressedImage",
    [
        ("timestamp", 1, _TIMESTAMP),
        ("data", 2, "bytes"),
        ("format", 3, "string"),
        ("frame_id", 4, "string"),
    ],
)
RAW_IMAGE = _protobuf(
    "foxglove",
    "RawImage",
    [
        ("timestamp", 1, _TIMESTAMP),
        ("width", 2, "fixed32"),
        ("height", 3, "fixed32"),
        ("encoding", 4, "string"),
        ("step", 5, "fixed32"),
        ("data", 6, "bytes"),
        ("frame_id", 7, "string"),
    ],
)
RAW_AUDIO = _protobuf(
    "foxglove",
    "RawAudio",
    [
        ("timestamp", 1, _TIMESTAMP),
        ("data", 2, "bytes"),
        ("format", 3, "string"),
        ("sample_rate", 4, "fixed32"),
        ("number_of_channels", 5, "fixed32"),
    ],
)
LOG = _protobuf(
    "foxglove",
    "Log",
    [
        ("timestamp", 1, _TIMESTAMP),
        ("level", 2, ".foxglove.Log.Level"),
        ("message", 3, "string"),
        ("name", 4, "string"),
        ("file", 5, "string"),
        ("line", 6, "fixed32"),
    ],
    _enum("Level", ["UNKNOWN", "DEBUG", "INFO", "WARNING", "ERROR", "FATAL"]),
)


def sensor_schema(stream: str, channels: Sequence[str]) -> Schema:
    """The schema of a sensor: a timestamp and one double per channel, fields by name."""
    fields = [("timestamp", 1, _TIMESTAMP)]
    names = field_names(channels)
    fields += [(name, SENSOR_FIELD + i, "double") for i, name in enumerate(names)]
    return _protobuf("fusewatch", f"SensorVector_{_identifier(stream)}", fields)


def field_names(channels: Sequence[str]) -> tuple[str, ...]:
    """Channel names as protobuf fields: letters, digits and ``_``, each different.

    Protobuf also refuses names that are the same in camel case, so those count as equal.
    """
    taken = {"timestamp"}
    names = []
    for channel in channels:
        name = base = _identifier(channel)
        number = 2
        while (key := name.replace("_", "").lower()) in taken:
            name = f"{base}_{number}"
            number += 1
        taken.add(key)
        names.append(name)
    return tuple(names)


def _identifier(text: str) -> str:
    cleaned = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
    return cleaned if cleaned[:1].isalpha() else f"c{cleaned}"


def _json(name: str, **properties: str) -> Schema:
    shape = {
        "title": name,
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in properties.items()},
    }
    return Schema(name, "jsonschema", json.dumps(shape).encode())


STREAM_INFO = _json("fusewatch.StreamInfo", node="string", info="object", repeated="boolean")
STREAM_ENDED = _json("fusewatch.StreamEnded", node="string", stream="string")
LEDGER = _json("fusewatch.Ledger", node="string", accounts="object")
HOP_SET = _json(
    "fusewatch.HopSet",
    scene="string",
    times="integer",
    from_ns="integer",
    lag_ns="integer",
    left_out="integer",
    repeated="boolean",
)
SAMPLES_WAIT = _json("fusewatch.SamplesWait", node="string", until_ns="integer")
CLOCK_OFFSET = _json(
    "fusewatch.ClockOffset", node="string", offset_ns="integer", uncertainty_ns="integer"
)
SCORE = _json(
    "fusewatch.Score",
    scene="string",
    index="integer",
    start_ns="integer",
    end_ns="integer",
    score="number",
    threshold="number",
    p="number",
    parts="object",
    contributions="object",
)
EVENT = _json(
    "fusewatch.Event",
    id="string",
    revision="integer",
    scene="string",
    alarm="string",
    phase="string",
    severity="string",
    start_ns="integer",
    end_ns="integer",
    p="number",
    score="number",
    summary="string",
)
