"""Removing events by hand: out of the stores, with their evidence, leaving a line without content.

The outbox goes first and keeps the keys, so that a phase which is just on its way to the alert node
is refused there; then what people answered, and the evidence; the fusion node's own rows last, so
that a command that was cut short finds the event again. An event that is open, or was cleared so
lately that its clip may still be written, is left alone. Nodes may run meanwhile.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import StoreError
from pipeline.core.timestamps import format_iso
from pipeline.store import AnswerStore, FusionStore, OutboxStore
from pipeline.store.event_stock import OPEN, EventStock, KeptEvent
from pipeline.store.evidence_stock import EvidenceStock
from pipeline.store.outbox_stock import forget

AUDIT = "forgotten.jsonl"
JUST_NS = 60 * 10**9
BATCH = 200


@dataclass(frozen=True, slots=True)
class Chosen:
    """Events that were asked for.

    Attributes:
        events: Those that can be forgotten.
        kept: Those that cannot yet.
    """

    events: Sequence[KeptEvent]
    kept: Sequence[KeptEvent]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What came of it.

    Attributes:
        events: How many were forgotten.
        given: Per sink, how many phases it had been given.
        outbox_here: Whether there was an outbox to clear.
        evidence_left: Evidence that could not be removed.
        overwritten: Whether the last bytes are out of the stores' logs.
    """

    events: int
    given: Counter[str]
    outbox_here: bool
    evidence_left: Sequence[str]
    overwritten: bool

    def told(self) -> Iterator[str]:
        """What the operator must know."""
        yield f"{self.events} forgotten; {AUDIT} has a line for each"
        for sink, count in sorted(self.given.items()):
            yield f"cannot be recalled: what {sink} was given ({count} phases)"
        if not self.outbox_here:
            yield "no outbox lies here: an alert node on another machine keeps what it accepted"
        for name in self.evidence_left:
            yield f"evidence/{name} could not be removed: do so by hand"
        if not self.overwritten:
            yield "a store is busy and its log not emptied yet: 'fusewatch retention sweep' does it"
        yield "recordings of the time are left: see 'fusewatch recording cut', or delete them"


def choose(
    store: FusionStore,
    now_ns: int,
    *,
    event: str | None = None,
    scene: str | None = None,
    before_ns: int | None = None,
) -> Chosen:
    """The one event whose id begins so, or all of a scene that ended before a time.

    Raises:
        StoreError: No event, or several, begin so; or the store cannot be read.
    """
    found = EventStock(store.database).events(before_ns)
    if event is not None:
        found = [one for one in found if one.id.startswith(event)]
        if len(found) != 1:
            raise StoreError(
                f"{len(found) or 'no'} events begin with {event!r}", where=store.database.where
            )
    else:
        found = [one for one in found if one.scene == scene]
    kept = [one for one in found if one.held == OPEN or one.end_ns > now_ns - JUST_NS]
    return Chosen([one for one in found if one not in kept], kept)


def forget_events(
    data: Path,
    store: FusionStore,
    answers: AnswerStore | None,
    evidence: Path,
    events: Sequence[KeptEvent],
    now_ns: int,
) -> Forgotten:
    """Remove events and all that hangs on them.

    Args:
        data: The deployment's data folder.
        store: The fusion node's store.
        answers: What people answered; None: nobody ever did.
        evidence: Where events have a folder each.
        events: What `choose` gave.
        now_ns: UTC, for the line that stays.

    Raises:
        StoreError: A store cannot be written; what was forgotten before that is.
    """
    given: Counter[str] = Counter()
    left: list[str] = []
    outbox_file = data / "alert.db"
    for first in range(0, len(events), BATCH):
        batch = events[first : first + BATCH]
        if outbox_file.exists():
            with closing(OutboxStore(outbox_file, create=False)) as outbox:
                given.update(forget(outbox.database, batch))
        ids = [event.id for event in batch]
        if answers is not None:
            answers.forget(ids)
        EvidenceStock(evidence, dict).remove(ids)
        left += [name for name in ids if (evidence / name).exists()]
        _write_down(data / AUDIT, batch, now_ns)
        EventStock(store.database).remove(ids)
    clean = _scrubbed(data, store)
    return Forgotten(len(events), given, outbox_file.exists(), left, clean)


def _scrubbed(data: Path, store: FusionStore) -> bool:
    """Empty the logs of both stores, in which removed rows may still stand."""
    clean = store.database.scrub()
    if (data / "alert.db").exists():
        with closing(OutboxStore(data / "alert.db", create=False)) as outbox:
            clean = outbox.database.scrub() and clean
    return clean


def _write_down(file: Path, events: Sequence[KeptEvent], now_ns: int) -> None:
    """One line an event: that it was, and nothing of what it was."""
    lines = [
        {
            "forgotten": format_iso(now_ns),
            "event": event.id,
            "scene": event.scene,
            "phases": event.revisions,
        }
        for event in events
    ]
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, "".join(json.dumps(line) + "\n" for line in lines).encode())
        os.fsync(handle)
    finally:
        os.close(handle)
