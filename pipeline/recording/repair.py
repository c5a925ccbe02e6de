"""Making a whole MCAP file of one that is cut off or damaged.

Every readable message is copied as it stands, byte for byte and in its order, into a new
file with an index; nothing is interpreted, so any MCAP file can be repaired.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

import pipeline
from pipeline.core.errors import RecordingError
from pipeline.recording.layout import ABOUT, TOTALS, VERSION, version_of
from pipeline.recording.mcap_index import McapIndex
from pipeline.recording.mcap_reader import McapFile
from pipeline.recording.mcap_writer import McapWriter
from pipeline.recording.reader import Recording
from pipeline.recording.schemas import Schema


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair found and did.

    Attributes:
        messages: Messages copied.
        orphans: Messages left out because their channel is not known.
        lost_bytes: Bytes of the old file that make no sense or fail their checksum.
        damaged_chunks: Chunks left out because of their checksum.
        truncated: What is missing at its end, in words; None when nothing is.
    """

    messages: int
    orphans: int
    lost_bytes: int
    damaged_chunks: int
    truncated: str | None

    @property
    def was_whole(self) -> bool:
        """Whether there was nothing to repair."""
        return self.truncated is None and not self.lost_bytes


def repair(broken: Path, repaired: Path, *, overwrite: bool = False) -> Repair:
    """Copy all that is readable in `broken` to the new file `repaired`.

    Raises:
        RecordingError: `broken` is not MCAP, or `repaired` exists or cannot be written.
    """
    if broken.resolve() == repaired.resolve():
        raise RecordingError(
            "a recording is not repaired in place", where=str(broken), fix="name a new file"
        )
    library = f"fusewatch {pipeline.__version__}"
    with (
        McapFile(broken) as source,
        McapWriter(repaired, library=library, overwrite=overwrite) as target,
    ):
        orphans = _copy(source, target)
        target.flush()
        index = source.index
        _copy_totals(broken, index, target)
        lost = sum(end - start for start, end in index.skipped)
        lost += sum(chunk.length for chunk in source.damaged.values())
        return Repair(
            messages=target.messages,
            orphans=orphans,
            lost_bytes=lost,
            damaged_chunks=len(source.damaged),
            truncated=source.truncation(),
        )


def _copy(source: McapFile, target: McapWriter) -> int:
    index = source.index
    channels: dict[int, int] = {}
    schemas: dict[int, int] = {0: 0}
    orphans = 0
    for name, values in index.metadata.items():
        if name != TOTALS:
            target.add_metadata(name, values)
    for number in sorted(index.channels):
        _copy_channel(number, index, target, channels, schemas)
    for message in source.messages():
        if message.channel not in channels and message.channel in index.channels:
            _copy_channel(message.channel, index, target, channels, schemas)
        channel = channels.get(message.channel)
        if channel is None:
            orphans += 1
            continue
        target.add_message(
            channel,
            message.sequence,
            message.log_time_ns,
            message.publish_time_ns,
            b"",
            message.body,
        )
    return orphans


def _copy_channel(
    number: int,
    index: McapIndex,
    target: McapWriter,
    channels: dict[int, int],
    schemas: dict[int, int],
) -> None:
    channel = index.channels[number]
    schema = index.schemas.get(channel.schema_id)
    if schema is not None and schema.id not in schemas:
        copy = Schema(schema.name, schema.encoding, schema.data)
        schemas[schema.id] = target.add_schema(copy)
    channels[number] = target.add_channel(
        channel.topic,
        channel.message_encoding,
        schemas.get(channel.schema_id, 0),
        channel.metadata,
    )


def _copy_totals(broken: Path, index: McapIndex, target: McapWriter) -> None:
    if ABOUT not in index.metadata or version_of(index.metadata) != str(VERSION):
        return
    with Recording(broken) as recording:
        totals = msgspec.json.encode(recording.count(), order="sorted").decode()
    target.add_metadata(TOTALS, {"streams": totals})
