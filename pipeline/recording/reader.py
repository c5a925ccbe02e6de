"""Reading a recording: the arrivals it holds, in the order in which they were recorded.

Rules. Order is the order in the file, which is the order of arrival; ties are broken by
position. A span is cut by arrival time, and streams that were open at its start are announced
first. What is damaged or cut off is left out and told (`Recording.truncated`,
`Recording.faults`); what is whole is always given. A stream whose announcement is lost is announced
before its first sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from pipeline.core.arrival import Arrival, HopSet, SampleArrived, StreamEnded, StreamOpened
from pipeline.core.errors import RecordingError
from pipeline.core.event import Event, from_json
from pipeline.core.ledger import StreamAccount
from pipeline.core.sample import StreamInfo
from pipeline.recording.decoding import ArrivalDecoder, ClockOffset, Recorded, clock_offset
from pipeline.recording.layout import (
    ABOUT,
    ACCOUNTS,
    HOPS,
    ORIGIN,
    SCORES,
    TOPIC,
    TOTALS,
    VERSION,
    VERSION_KEY,
    StreamTotal,
    version_of,
)
from pipeline.recording.mcap_index import ChunkEntry
from pipeline.recording.mcap_reader import McapFile, Message
from pipeline.recording.scores import RecordedScore
from pipeline.recording.standing import standing
from pipeline.recording.unannounced import Announcements, unannounced

YEAR_NS = 366 * 86400 * 1_000_000_000

_OWN = ("deployment", "scenes", VERSION_KEY)
_NAMES_DECODER = msgspec.json.Decoder(dict[str, tuple[str, ...]])
_STREAM_TOTAL_DECODER = msgspec.json.Decoder(dict[str, StreamTotal])
_STREAM_ACCOUNT_DECODER = msgspec.json.Decoder(dict[str, StreamAccount])
_RECORDED_SCORE_DECODER = msgspec.json.Decoder(RecordedScore)


class Recording:
    """One recording, opened for reading.

    Args:
        path: The MCAP file.

    Raises:
        RecordingError: It cannot be opened, is not MCAP, not a recording of ours, or of another
            version.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._file = McapFile(self.path)
        self._decoder = ArrivalDecoder(self._file.index)
        if not self._ours():
            self.close()
            raise RecordingError(
                "an MCAP file, but not a recording of fusewatch",
                where=str(path),
                fix="fusewatch import makes one from video, audio and CSV files",
            )
        version = version_of(self._file.index.metadata)
        if version != str(VERSION):
            self.close()
            raise RecordingError(
                f"a recording of version {version!r}, this fusewatch reads version {VERSION}",
                where=str(path),
                fix="read it with the fusewatch that made it, or a newer one",
            )

    @property
    def deployment(self) -> str:
        """Name of the deployment it was recorded in; may be empty."""
        return self._about.get("deployment", "")

    @property
    def notes(self) -> Mapping[str, str]:
        """What else was noted with it, by name."""
        return {n: v for n, v in self._about.items() if n not in _OWN}

    @property
    def scenes(self) -> Mapping[str, tuple[str, ...]]:
        """Streams of each scene, as far as the writer knew them."""
        try:
            text = self._about.get("scenes", "{}")
            return _NAMES_DECODER.decode(text)
        except msgspec.DecodeError:
            return {}

    @cached_property
    def streams(self) -> Mapping[str, StreamInfo]:
        """What each stream is, as it was announced last."""
        return {c.info.name: c.info for c in self.control if isinstance(c, StreamOpened)}

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes that announced streams."""
        return tuple(dict.fromkeys(c.node for c in self.control if not isinstance(c, HopSet)))

    @cached_property
    def totals(self) -> Mapping[str, StreamTotal]:
        """Samples, span and bytes of each stream; reads the whole file if it has no end."""
        text = self._file.index.metadata.get(TOTALS, {}).get("streams", "")
        try:
            return _STREAM_TOTAL_DECODER.decode(text)
        except msgspec.DecodeError:
            return self.count()

    @cached_property
    def accounts(self) -> Mapping[str, StreamAccount]:
        """The loss ledger of each stream as its node told it last; none if the file has no end."""
        text = self._file.index.metadata.get(ACCOUNTS, {}).get("streams", "{}")
        try:
            return _STREAM_ACCOUNT_DECODER.decode(text)
        except msgspec.DecodeError:
            return {}

    @property
    def start_ns(self) -> int:
        """Earliest stamp of any sample, nanoseconds; 0 when there is none."""
        return min((total.start_ns for total in self.totals.values()), default=0)

    @property
    def origin_ns(self) -> int:
        """Time that second 0 stands for: as noted by an import, else the earliest stamp."""
        noted = self._about.get(ORIGIN, "")
        return int(noted) if noted.lstrip("-").isdecimal() else self.start_ns

    @property
    def end_ns(self) -> int:
        """Latest stamp of any sample, nanoseconds; 0 when there is none."""
        return max((total.end_ns for total in self.totals.values()), default=0)

    @cached_property
    def arrived_ns(self) -> tuple[int, int] | None:
        """When the first of it arrived and the last, by its index; None when it holds nothing.

        A chunk that says a time a year away from most others is damaged and not believed.
        """
        chunks = [c for c in self._file.index.chunks if c.start_ns <= c.end_ns]
        if not chunks:
            return None
        middle_ns = sorted(c.start_ns for c in chunks)[len(chunks) // 2]
        near = [c for c in chunks if abs(c.start_ns - middle_ns) + c.end_ns - c.start_ns < YEAR_NS]
        return min(c.start_ns for c in near), max(c.end_ns for c in near)

    @cached_property
    def truncated(self) -> str | None:
        """What is missing at the end of the file, in words; None when it is whole."""
        return self._file.truncation()

    @property
    def faults(self) -> tuple[str, ...]:
        """What could not be read so far, in words; complete once all was read."""
        spans = [
            f"bytes {first:,} to {end:,} make no sense"
            for first, end in self._file.index.skipped
            if end < self._file.index.size
        ]
        chunks = [
            f"chunk at byte {d.offset:,} ({d.length:,} bytes) left out: {d.reason}"
            for d in self._file.damaged.values()
        ]
        count = self._decoder.unreadable
        return (*spans, *chunks, *([f"{count} messages were not readable"] if count else ()))

    def arrivals(self, from_ns: int | None = None, to_ns: int | None = None) -> Iterator[Arrival]:
        """What arrived in ``[from_ns, to_ns)`` by arrival time, in the order it did.

        Streams already open at `from_ns` are announced first, as arriving at `from_ns`, and so
        are hops that are wide then.
        """
        if from_ns is not None:
            yield from standing(self.control, from_ns)
        for recorded in self.recorded(from_ns, to_ns):
            yield recorded.arrival

    def recorded(self, from_ns: int | None = None, to_ns: int | None = None) -> Iterator[Recorded]:
        """What arrived, with the mark of announcements that only repeat an earlier file."""
        opened = () if from_ns is None else standing(self.control, from_ns)
        announcements = Announcements(self._file.index.channels, opened)
        for message in self._file.messages(from_ns=from_ns, to_ns=to_ns):
            recorded = self._decoder.decode(message)
            if recorded is None:
                continue
            missing = announcements.missing_before(message.channel, recorded.arrival)
            if missing is not None:
                yield Recorded(missing, repeated=True)
            yield recorded

    @property
    def whole_chunks(self) -> int:
        """How many chunks, from the first on, the file has to their end: no less later on."""
        return sum(not chunk.cut for chunk in self._file.index.chunks)

    def arrivals_from_chunk(self, first: int) -> Iterator[Arrival]:
        """What the whole chunks from number `first` on hold, in the order it arrived."""
        chunks = [chunk for chunk in self._file.index.chunks[first:] if not chunk.cut]
        for message in self._file.messages(chunks):
            recorded = self._decoder.decode(message)
            if recorded is not None:
                yield recorded.arrival

    def events(self) -> Iterator[tuple[int, Event]]:
        """Events recorded beside the samples, each with the time it was recorded at."""
        for message in self._messages_of("events"):
            try:
                event = from_json(bytes(message.body))
            except msgspec.MsgspecError:
                self._decoder.unreadable += 1
                continue
            yield message.log_time_ns, event

    def scores(self) -> Iterator[RecordedScore]:
        """What the windows scored; only the recording of an event holds that."""
        for message in self._messages_of(SCORES):
            try:
                yield _RECORDED_SCORE_DECODER.decode(message.body)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self._decoder.unreadable += 1

    def clock_offsets(self) -> Iterator[ClockOffset]:
        """Clock offsets of the nodes as they were recorded."""
        for message in self._messages_of("clock"):
            try:
                offset = clock_offset(message)
            except msgspec.DecodeError:
                self._decoder.unreadable += 1
                continue
            yield offset

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _about(self) -> Mapping[str, str]:
        return self._file.index.metadata.get(ABOUT, {})

    def _ours(self) -> bool:
        index = self._file.index
        cut_early = not index.whole and not index.channels and not index.chunks
        topics = (channel.topic for channel in index.channels.values())
        return cut_early or ABOUT in index.metadata or any(t.startswith(TOPIC) for t in topics)

    @cached_property
    def control(self) -> tuple[StreamOpened | StreamEnded | HopSet, ...]:
        """Every announcement and end of a stream, every change of a hop, in file order."""
        found = []
        for message in self._messages_of("streams", "ended", HOPS):
            recorded = self._decoder.decode(message)
            if recorded and isinstance(recorded.arrival, StreamOpened | StreamEnded | HopSet):
                found.append(recorded.arrival)
        lost = unannounced(self._file.index.channels, found)
        if not lost:
            return tuple(found)
        firsts = ((self._first_ns(channel), stream) for channel, stream in lost.items())
        again = [StreamOpened(ns, *stream) for ns, stream in firsts if ns is not None]
        return tuple(sorted([*again, *found], key=lambda said: said.arrival_ns))

    def _first_ns(self, channel: int) -> int | None:
        """When the first of a channel arrived; None when nothing of it is readable."""
        messages = self._messages_in({channel})
        return next((m.log_time_ns for m in messages if self._decoder.decode(m)), None)

    def _messages_of(self, *names: str) -> Iterator[Message]:
        topics = {TOPIC + name for name in names}
        return self._messages_in(
            {n for n, c in self._file.index.channels.items() if c.topic in topics}
        )

    def _messages_in(self, wanted: Set[int]) -> Iterator[Message]:
        def may_hold(chunk: ChunkEntry) -> bool:
            return chunk.channels is None or not wanted.isdisjoint(chunk.channels)

        for message in self._file.messages(list(filter(may_hold, self._file.index.chunks))):
            if message.channel in wanted:
                yield message

    def count(self) -> dict[str, StreamTotal]:
        """Samples, span and bytes of each stream, by reading every sample."""
        totals: dict[str, StreamTotal] = {}
        for recorded in self.recorded():
            if isinstance(recorded.arrival, SampleArrived):
                sample, node = recorded.arrival.sample, recorded.arrival.node
                time_ns = sample.timestamp_ns
                fresh = StreamTotal(node, 0, time_ns, time_ns, 0)
                totals.setdefault(sample.stream, fresh).add(time_ns, sample.nbytes)
        return totals
