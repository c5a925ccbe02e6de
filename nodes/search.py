"""Search: the moments of recordings most alike to an event, to a time, or to some words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from nodes.places import fusion_store
from nodes.replay import SECOND_NS
from pipeline.config.deployment import Deployment
from pipeline.core.errors import ConfigError, ModelError, RecordingError, StoreError
from pipeline.core.event import Event, from_json
from pipeline.core.timestamps import format_iso, iso_ns
from pipeline.models.moments import Found, Grid, likest
from pipeline.models.search_index import Query, SearchIndex, unit
from pipeline.models.window_vectors import EVIDENCE, weights_like

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Asked:
    """The moment that others are to be like: an event's span, or a single time.

    Attributes:
        start_ns: Site time of its start.
        end_ns: Of its end; the same for a time.
    """

    start_ns: int
    end_ns: int


class Moment(msgspec.Struct, frozen=True):
    """One moment found.

    Attributes:
        start: ISO 8601 time of the start of its first window.
        end: Of the end of its last.
        recording: Name of the recording that shows it.
        seconds: Start of its likest window, seconds into that recording.
        similarity: How alike that window is, -1 to 1.
        streams: How alike it is in each stream that both saw.
        p: Calibrated p-value of that window; None where it is not known.
    """

    start: str
    end: str
    recording: str
    seconds: float
    similarity: float
    streams: Mapping[str, float]
    p: float | None


class Answer(msgspec.Struct, frozen=True):
    """What was looked for and what was found, the likest first.

    Attributes:
        like: The window that the others are to be like; None when words were looked for.
        text: The words; empty otherwise.
        windows: How many windows were compared.
        moments: What was found.
    """

    like: Moment | None
    text: str
    windows: int
    moments: Sequence[Moment]


def asked(text: str, origin_ns: int, events: Sequence[Event] | None) -> Asked:
    """What ``--like`` means.

    Args:
        text: ISO 8601 time (UTC without a zone), or seconds; ignored when there are events.
        origin_ns: Site time of second 0.
        events: Phases of the event that was meant; None: it is a time.
    """
    if events is not None:
        last = max(events, key=lambda event: event.revision)
        return Asked(last.start_ns, last.end_ns)
    seconds = seconds_of(text)
    at_ns = iso_ns(text) if seconds is None else origin_ns + round(seconds * SECOND_NS)
    return Asked(at_ns, at_ns)


def seconds_of(text: str) -> float | None:
    """Seconds that a text says; None when it is something else.

    An id of an event may consist of digits, and of digits with one ``e``.
    """
    if is_event_id(text):
        return None
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def is_event_id(text: str) -> bool:
    """Whether a text is a whole id of an event."""
    return re.fullmatch(r"[0-9a-f]{20}", text) is not None


def is_time(text: str) -> bool:
    """Whether a text is seconds or an ISO 8601 time."""
    if seconds_of(text) is not None:
        return True
    try:
        iso_ns(text)
    except ValueError:
        return False
    return True


def phases_of(deployment: Deployment, event: str, file: Path | None) -> list[Event]:
    """The phases of an event, from a file of events or from the deployment's store.

    Raises:
        ConfigError: The file cannot be read.
        StoreError: There is no store, no such event, or several begin so.
    """
    if file is None:
        with closing(fusion_store(deployment, create=False)) as store:
            found, where = store.phases(event), str(deployment.data)
    else:
        found, where = [e for e in _read_events(file) if e.id.startswith(event)], str(file)
    ids = sorted({phase.id for phase in found})
    if not ids:
        fix = "see fusewatch events list, or name a file of events with --events"
        raise StoreError(f"no event begins with {event!r}", where=where, fix=fix)
    if len(ids) > 1:
        fix = f"write more of it: {', '.join(ids[:5])}"
        raise StoreError(f"{len(ids)} events begin with {event!r}", where=where, fix=fix)
    return found


def _read_events(file: Path) -> list[Event]:
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(file)) from error
    events: list[Event] = []
    for number, line in enumerate(lines, start=1):
        try:
            events.append(from_json(line))
        except msgspec.MsgspecError as error:
            fix = "write it with fusewatch replay --events, or the jsonl sink"
            where = f"{file}:{number}"
            raise ConfigError(f"not an event: {error}", where=where, fix=fix) from error
    return events


class Shelf:
    """Indexes made by one embedder, searched together.

    Args:
        indexes: At least one.
    """

    def __init__(self, indexes: Sequence[SearchIndex]) -> None:
        self._indexes = indexes
        self._starts_ns: Ints = np.concatenate([index.starts_ns for index in indexes])
        self._first = np.cumsum([0, *(len(index) for index in indexes)])
        self._about = indexes[0].about

    @property
    def streams(self) -> list[str]:
        """Streams that any of the indexes has."""
        return list(
            dict.fromkeys(n for index in self._indexes for n in index.blocks if n != EVIDENCE)
        )

    @property
    def origin_ns(self) -> int:
        """Site time of second 0 of the first recording."""
        return self._indexes[0].parts[0].origin_ns

    def like(self, wanted: Asked, weights: Mapping[str, float] | None, top: int) -> Answer:
        """The moments most alike to one of the recordings, which is left out itself.

        Args:
            wanted: That moment.
            weights: The streams to go by and what each counts; None: what is odd in the moment.
            top: Most moments.

        Raises:
            RecordingError: No window shows that moment.
            ModelError: It shows none of the streams.
        """
        row = self._row(wanted)
        index, at = self._at(row)
        query = index.query(at, weights or weights_like(index, at))
        start_ns = int(self._starts_ns[row])
        end_ns = start_ns + self._about.length_ns
        without = min(start_ns, wanted.start_ns), max(end_ns, wanted.end_ns)
        likeness, moments = self._search(query, top, row, without)
        itself = self._moment(Found(row, float(likeness[row]), start_ns, end_ns), query)
        return Answer(itself, "", len(self._starts_ns), moments)

    def meaning(
        self, text: str, vector: npt.ArrayLike, weights: Mapping[str, float], top: int
    ) -> Answer:
        """The moments that words describe best; `vector` is what they mean.

        Raises:
            ModelError: None of the streams is one that the encoder could see.
        """
        seen = {name: weight for name, weight in weights.items() if self._ever_seen(name)}
        if not seen:
            raise ModelError(
                f"the encoder saw nothing of {', '.join(weights)}",
                where=self._about.scene,
                fix="name an encoder for pictures or for sound, whichever the recordings hold",
            )
        query = Query(dict.fromkeys(seen, unit(vector)), seen)
        _, moments = self._search(query, top)
        return Answer(None, text, len(self._starts_ns), moments)

    def _ever_seen(self, stream: str) -> bool:
        blocks = (index.blocks.get(stream) for index in self._indexes)
        return any(block is not None and bool(block.any()) for block in blocks)

    def _search(
        self,
        query: Query,
        top: int,
        itself: int | None = None,
        without: tuple[int, int] | None = None,
    ) -> tuple[npt.NDArray[np.float32], list[Moment]]:
        likeness = np.concatenate([index.likeness(query) for index in self._indexes])
        grid = Grid(self._about.length_ns, self._about.hop_ns)
        found = likest(likeness, self._starts_ns, grid, top, itself=itself, without=without)
        return likeness, [self._moment(one, query) for one in found]

    def _row(self, wanted: Asked) -> int:
        """The peak of an event, or the window whose middle is nearest to a time."""
        length_ns = self._about.length_ns
        ends_ns = self._starts_ns + length_ns
        if wanted.start_ns == wanted.end_ns:
            there = (self._starts_ns <= wanted.start_ns) & (wanted.start_ns < ends_ns)
        else:
            there = (ends_ns > wanted.start_ns) & (ends_ns <= wanted.end_ns)
        rows = np.flatnonzero(there)
        if not len(rows):
            raise RecordingError(
                f"no window shows {format_iso(wanted.start_ns)}",
                where=self._about.scene,
                fix=f"the recordings show {self._spans()}; all 20 characters of an event's id "
                "are never taken for seconds",
            )
        p = np.array([float(index.p[at]) for index, at in map(self._at, rows.tolist())])
        if wanted.start_ns < wanted.end_ns and np.isfinite(p).any():
            return int(rows[np.nanargmin(p)])
        middle_ns = (wanted.start_ns + wanted.end_ns) // 2
        return int(rows[np.abs(self._starts_ns[rows] + length_ns // 2 - middle_ns).argmin()])

    def _spans(self) -> str:
        first_ns, last_ns = int(self._starts_ns.min()), int(self._starts_ns.max())
        return f"{format_iso(first_ns)} to {format_iso(last_ns + self._about.length_ns)}"

    def _at(self, row: int) -> tuple[SearchIndex, int]:
        """The index that holds a row, and the row in it."""
        number = int(np.searchsorted(self._first, row, side="right")) - 1
        return self._indexes[number], row - int(self._first[number])

    def _moment(self, found: Found, query: Query) -> Moment:
        index, at = self._at(found.row)
        part = index.part_of(at)
        p = float(index.p[at])
        return Moment(
            format_iso(found.start_ns),
            format_iso(found.end_ns),
            part.name,
            (int(self._starts_ns[found.row]) - part.origin_ns) / SECOND_NS,
            round(found.likeness, 4),
            {name: round(value, 4) for name, value in index.by_stream(at, query).items()},
            None if math.isnan(p) else p,
        )
