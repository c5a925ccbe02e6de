"""Writing what arrives at the fusion node, in the order in which it arrived.

`log_time` of a message is the arrival, `publish_time` the sample's own stamp; order in the
file is order of arrival. Each stream has a channel (topic ``/<stream>``) that carries the
node and the `StreamInfo` in its metadata; everything that is not a sample goes to the
``/fusewatch/...`` topics. A file explains itself: nothing outside it is needed to read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

import pipeline
from pipeline.core.arrival import (
    Arrival,
    HopSet,
    SampleArrived,
    SamplesWait,
    StreamEnded,
    StreamOpened,
)
from pipeline.core.errors import RecordingError
from pipeline.core.event import Event, to_json
from pipeline.core.ledger import StreamAccount
from pipeline.core.sample import Encoding, Sample, StreamInfo
from pipeline.recording import schemas
from pipeline.recording.layout import (
    ABOUT,
    ACCOUNTS,
    CONTROL,
    HOPS,
    SCORES,
    TOPIC,
    TOTALS,
    VERSION,
    VERSION_KEY,
    WAITS,
    StreamTotal,
)
from pipeline.recording.mcap_writer import CHUNK_BYTES, MAX_TIME_NS, McapWriter
from pipeline.recording.messages import Encode, sample_codec
from pipeline.recording.scores import RecordedScore


class RecordingWriter:
    """Writes one recording; used by one thread.

    Args:
        path: File to create.
        deployment: Name of the deployment, kept with the file.
        scenes: Streams of each scene, kept with the file.
        notes: Anything else worth keeping with the file.
        overwrite: Replace an existing file instead of refusing.
        chunk_bytes: A crash costs at most the samples of one chunk ...
        flush_s: ... and at most those of this many seconds of arrivals.

    Raises:
        RecordingError: The file exists already or cannot be created.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        deployment: str = "",
        scenes: Mapping[str, Sequence[str]] | None = None,
        notes: Mapping[str, str] | None = None,
        overwrite: bool = False,
        chunk_bytes: int = CHUNK_BYTES,
        flush_s: float = 1.0,
    ) -> None:
        self.path = Path(path)
        self._flush_ns = round(flush_s * 1e9)
        self._open: dict[tuple[str, str], StreamInfo] = {}
        self._routes: dict[tuple[str, str, Encoding], tuple[int, Encode]] = {}
        self._channels: dict[tuple[str, StreamInfo, Encoding], int] = {}
        self._schema_ids: dict[schemas.Schema, int] = {}
        self._topics: dict[str, int] = {}
        self._totals: dict[str, StreamTotal] = {}
        self._accounts: dict[str, StreamAccount] = {}
        self._file = McapWriter(
            self.path,
            library=f"fusewatch {pipeline.__version__}",
            chunk_bytes=chunk_bytes,
            overwrite=overwrite,
        )
        about = {"deployment": deployment, "scenes": _json(scenes or {}), **(notes or {})}
        about[VERSION_KEY] = str(VERSION)
        try:
            self._file.add_metadata(ABOUT, about)
            self._control = {name: self._control_channel(name) for name in CONTROL}
        except RecordingError:
            self._file.abandon()
            raise

    @property
    def size_bytes(self) -> int:
        """Size the file will have when the open chunk is written."""
        return self._file.size_bytes

    @property
    def accepted(self) -> int:
        """Messages taken: written, waiting in the open chunk, or lost."""
        return self._file.accepted

    @property
    def written(self) -> int:
        """Messages in the file."""
        return self._file.messages

    @property
    def lost(self) -> int:
        """Messages that the disk refused."""
        return self._file.lost

    @property
    def broken(self) -> bool:
        """Whether the disk has refused anything; the file is to be given up then."""
        return self._file.broken

    def write(self, arrival: Arrival) -> None:
        """Append what arrived.

        Raises:
            RecordingError: The disk refuses it, or a sample does not fit its stream.
        """
        if isinstance(arrival, SampleArrived):
            self._write_sample(arrival)
        elif isinstance(arrival, StreamOpened):
            self._write_opened(arrival, repeated=False)
        elif isinstance(arrival, StreamEnded):
            self._open.pop((arrival.node, arrival.stream), None)
            ended = {"node": arrival.node, "stream": arrival.stream}
            self._note("ended", arrival.arrival_ns, ended)
        elif isinstance(arrival, HopSet):
            self._write_hop(arrival, repeated=False)
        elif isinstance(arrival, SamplesWait):
            self._open_topic(WAITS, schemas.SAMPLES_WAIT)
            wait = {"node": arrival.node, "until_ns": arrival.until_ns}
            self._note(WAITS, arrival.arrival_ns, wait)
        else:
            self._accounts.update(arrival.accounts)
            ledger = {"node": arrival.node, "accounts": dict(arrival.accounts)}
            self._note("ledger", arrival.arrival_ns, ledger)

    def repeat(self, said: StreamOpened | HopSet) -> None:
        """Say again, at the start of a further file, that a stream is open or a hop is wide."""
        if isinstance(said, HopSet):
            self._write_hop(said, repeated=True)
        else:
            self._write_opened(said, repeated=True)

    def event(self, event: Event, arrival_ns: int) -> None:
        """Append an event beside the samples that caused it."""
        self._put("events", arrival_ns, to_json(event))

    def score(self, score: RecordedScore) -> None:
        """Append what a window scored, at its end."""
        self._open_topic(SCORES, schemas.SCORE)
        self._put(SCORES, score.end_ns, msgspec.json.encode(score))

    def clock_offset(self, node: str, offset_ns: int, uncertainty_ns: int, arrival_ns: int) -> None:
        """Append a node's clock offset: ``site_ns = node_ns + offset_ns``."""
        body = {"node": node, "offset_ns": offset_ns, "uncertainty_ns": uncertainty_ns}
        self._note("clock", arrival_ns, body)

    def flush_due(self, now_ns: int) -> None:
        """Write the open chunk when it has waited long enough; for quiet times."""
        since_ns = self._file.open_since_ns
        if since_ns is not None and now_ns - since_ns >= self._flush_ns:
            self._file.flush()

    def flush(self) -> None:
        """Write the open chunk now."""
        self._file.flush()

    def close(self, *, sync: bool = True) -> None:
        """Finish the file with its index; may be called twice.

        Args:
            sync: Wait until the disk has it, so that it survives a power cut.
        """
        if self._file.closed:
            return
        self._file.flush()
        self._file.add_metadata(TOTALS, {"streams": _json(self._totals)})
        self._file.add_metadata(ACCOUNTS, {"streams": _json(self._accounts)})
        self._file.close(sync=sync)

    def abandon(self) -> None:
        """Let go of the file as it is; what is on disk stays readable."""
        self._file.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write_sample(self, arrival: SampleArrived) -> None:
        sample = arrival.sample
        route = self._routes.get((arrival.node, sample.stream, sample.encoding))
        channel, encode = route or self._route(arrival.node, sample)
        head, payload = encode(sample)
        time_ns = sample.timestamp_ns
        self._file.add_message(
            channel,
            sample.sequence,
            arrival.arrival_ns,
            min(max(time_ns, 0), MAX_TIME_NS),
            head,
            payload,
        )
        total = self._totals.get(sample.stream)
        if total is None:
            total = StreamTotal(arrival.node, 0, time_ns, time_ns, 0)
            self._totals[sample.stream] = total
        total.add(time_ns, len(payload))
        self.flush_due(arrival.arrival_ns)

    def _write_opened(self, opened: StreamOpened, *, repeated: bool) -> None:
        key = (opened.node, opened.info.name)
        if self._open.get(key) != opened.info:
            self._open[key] = opened.info
            self._routes = {k: v for k, v in self._routes.items() if k[:2] != key}
        body = {"node": opened.node, "info": opened.info, "repeated": repeated}
        self._note("streams", opened.arrival_ns, body)

    def _write_hop(self, said: HopSet, *, repeated: bool) -> None:
        self._open_topic(HOPS, schemas.HOP_SET)
        body: dict[str, object] = {"scene": said.scene, "times": said.times}
        body |= {"from_ns": said.from_ns}
        body |= {"lag_ns": said.lag_ns, "left_out": said.left_out, "repeated": repeated}
        self._note(HOPS, said.arrival_ns, body)

    def _route(self, node: str, sample: Sample) -> tuple[int, Encode]:
        """Channel and encoder of a stream's samples, made at the first of them."""
        info = self._open.get((node, sample.stream))
        if info is None:
            raise RecordingError(
                f"a sample came from {node!r} before its stream was opened", where=sample.stream
            )
        codec = sample_codec(info, sample.encoding)
        key = (node, info, sample.encoding)
        if key not in self._channels:
            metadata = {"node": node, "info": _json(info), "encoding": sample.encoding.value}
            self._channels[key] = self._add_channel(f"/{info.name}", codec.schema, metadata)
        route = (self._channels[key], codec.encode)
        self._routes[node, sample.stream, sample.encoding] = route
        return route

    def _control_channel(self, name: str) -> int:
        return self._add_channel(TOPIC + name, CONTROL[name], {})

    def _open_topic(self, name: str, schema: schemas.Schema) -> None:
        """See that there is a topic that only some recordings have."""
        if name not in self._control:
            self._control[name] = self._add_channel(TOPIC + name, schema, {})

    def _add_channel(self, topic: str, schema: schemas.Schema, metadata: Mapping[str, str]) -> int:
        schema_id = self._schema_ids.get(schema)
        if schema_id is None:
            schema_id = self._schema_ids[schema] = self._file.add_schema(schema)
        topic = self._free_topic(topic, schema_id)
        return self._file.add_channel(topic, schema.message_encoding, schema_id, metadata)

    def _free_topic(self, topic: str, schema_id: int) -> str:
        """`topic`, or a numbered one when it holds messages of another schema already."""
        name, number = topic, 2
        while self._topics.setdefault(name, schema_id) != schema_id:
            name = f"{topic}/{number}"
            number += 1
        return name

    def _note(self, name: str, arrival_ns: int, body: Mapping[str, object]) -> None:
        self._put(name, arrival_ns, msgspec.json.encode(body))

    def _put(self, name: str, arrival_ns: int, body: bytes) -> None:
        self._file.add_message(self._control[name], 0, arrival_ns, arrival_ns, body)
        self.flush_due(arrival_ns)


def _json(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()
