"""Files that somebody else wrote, or a disk: recordings, the spool, deployments."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.config import load
from pipeline.core.codec import describe
from pipeline.core.errors import ConfigError, RecordingError
from pipeline.core.sample import Encoding, Sample
from pipeline.core.stream_codec import encode_stream
from pipeline.recording import Recording, repair
from pipeline.recording.mcap_format import CHUNK, CHUNK_OPCODE, HEAD
from pipeline.recording.mcap_reader import McapFile
from pipeline.transport.spool import Spool
from pipeline.transport.spool_format import (
    Kind,
    acked_body,
    parts_of,
    sample_body,
)
from pipeline.transport.spool_repair import read_folder, repair_folder
from tests.fuzz.wire import INFO

ROOT = Path(__file__).resolve().parents[2]
MEMORY = Path("/dev/shm")
"""Where files of an experiment lie, if it is there: no disk is worn out."""

_CRC_AT = CHUNK.size - 4


class Folder:
    """An empty folder for one experiment."""

    def __init__(self) -> None:
        place = MEMORY if MEMORY.is_dir() else None
        self._made = tempfile.TemporaryDirectory(prefix="fusewatch-fuzz-", dir=place)
        self.path = Path(self._made.name)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *error: object) -> None:
        self._made.cleanup()


def spool_seeds() -> Iterator[bytes]:
    """A segment: a description, samples, acked points; the same with a torn tail."""
    data = b"".join(bytes(piece) for record in _records() for piece in record)
    yield data
    yield data[:-5]


def read_spool(data: bytes) -> None:
    """Open a spool with a segment of these bytes; look at it and mend it, as commands do."""
    with Folder() as folder:
        segment = folder / "0000000001.one.spool"
        segment.write_bytes(data)
        read_folder(folder)
        Spool(folder, max_bytes=1 << 20, max_age_ns=2**62, fsync_ns=0).close()
        segment.write_bytes(data)
        repair_folder(folder)
        _, damage, _ = read_folder(folder)
        if damage:
            raise AssertionError(f"still damaged after the repair: {damage}")


def body_seeds() -> Iterator[bytes]:
    """Bodies of records, each behind its kind."""
    for kind, body in _bodies():
        yield bytes([kind]) + b"".join(bytes(piece) for piece in body)


def read_bodies(data: bytes) -> None:
    """A segment whose record is whole, and says whatever these bytes say."""
    kind = Kind(data[0] % len(Kind) + 1) if data else Kind.SAMPLE
    read_spool(b"".join(bytes(piece) for piece in parts_of(kind, 1, 2, [data[1:]])))


def recording_seeds() -> Iterator[bytes]:
    """A small recording, whole, without an end, and one whose checksums are not looked at."""
    from tests.unit.recordings import record, scene

    with Folder() as folder:
        path = folder / "seed.mcap"
        record(path, scene(0.3, jpeg_bytes=300), chunk_bytes=4000)
        data = path.read_bytes()
    yield data
    yield data[: len(data) // 2]
    yield unchecked(data)


def unchecked(data: bytes) -> bytes:
    """A recording whose chunks and summary have no checksum, so that what they say is read."""
    out, at = bytearray(data), 8
    while at + HEAD.size <= len(out):
        opcode, length = HEAD.unpack_from(out, at)
        if opcode == CHUNK_OPCODE:
            out[at + _CRC_AT : at + CHUNK.size] = bytes(4)
        at += HEAD.size + length
    out[-12:-8] = bytes(4)  # of the summary, in the footer before the closing magic
    return bytes(out)


def read_recording(data: bytes) -> None:
    """Read everything that a recording has, mend it, and read what came of it."""
    with Folder() as folder:
        broken, mended = folder / "broken.mcap", folder / "mended.mcap"
        broken.write_bytes(data)
        try:
            _read_all(broken)
            done = repair(broken, mended)
        except RecordingError:
            return
        with McapFile(mended) as file:
            copied = sum(1 for _ in file.messages())
            if file.truncation() or file.damaged or copied != done.messages:
                raise AssertionError(f"{copied} messages of {done} in what was mended")


def _read_all(path: Path) -> None:
    with Recording(path) as recording:
        for _ in recording.arrivals():
            pass
        for _ in recording.events():
            pass
        for _ in recording.clock_offsets():
            pass
        first_ns = recording.start_ns
        for _ in recording.arrivals(first_ns, first_ns + 10**9):
            pass
        _ = recording.streams, recording.scenes, recording.origin_ns, recording.end_ns
        _ = recording.truncated, recording.faults, recording.deployment, recording.nodes


def config_seeds() -> Iterator[bytes]:
    """The deployments that come with fusewatch."""
    for name in ("demo", "home", "machine-room", "many-sites"):
        yield (ROOT / "configs" / f"{name}.yaml").read_bytes()


def read_config(data: bytes) -> None:
    """Load a deployment; what is wrong with it must say where."""
    with Folder() as folder:
        path = folder / "site.yaml"
        path.write_bytes(data)
        try:
            load(path, environ={"HOME_DATA": "x", "EMPTY": ""})
        except ConfigError as error:
            for problem in error.problems or (str(error),):
                if "site.yaml" not in problem:
                    raise AssertionError(f"does not say where: {problem}") from error


def _bodies() -> Iterator[tuple[Kind, list[bytes | memoryview]]]:
    yield Kind.STREAM, [encode_stream(INFO)]
    for number in range(3):
        sample = Sample("pump", number, 5, np.zeros(3), Encoding.FLOAT)
        stream, header, payload = describe(sample)
        yield (Kind.COPY if number % 2 else Kind.SAMPLE), sample_body(stream, header, payload)
    yield Kind.ACKED, acked_body({"pump": 1})


def _records() -> Iterator[list[bytes | memoryview]]:
    for order, (kind, body) in enumerate(_bodies(), 1):
        yield parts_of(kind, order, 7, body)
