"""What a deployment keeps, kind by kind, who removes it, and whether anything is too old.

The fusion node removes recordings, evidence and events, the alert node what is in its outbox,
a capture node what lies in its spool. The same lists serve the nodes, which remove, and
``fusewatch retention``, which looks: it reads files and tables anew and trusts no node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

from nodes.exemptions import asked_until
from nodes.kept_data import Kept, kept_by_capture
from nodes.places import (
    answer_store,
    evidence_folder,
    fusion_store,
    has_answers,
    has_fusion_store,
    outbox_file,
    spool_folder,
)
from nodes.recorder import open_folder
from pipeline.config.deployment import Deployment
from pipeline.config.retention import age_ns
from pipeline.core.file_stock import FileStock
from pipeline.core.retention import FOREVER_NS, Item, Kind
from pipeline.recording.stock import RecordingStock
from pipeline.store import FusionStore, OutboxStore
from pipeline.store.event_stock import UNDELIVERED, EventStock, KeptEvent
from pipeline.store.evidence_stock import EvidenceStock
from pipeline.store.outbox_stock import OutboxStock, undelivered

DAY_NS = 86400 * 10**9
ANSWERED = "answered"
LATE_NS = 120 * 10**9
"""Those that remove by a limit of their own look once a minute: this much late is no fault."""


@dataclass(frozen=True, slots=True)
class KindReport:
    """How one kind of data stands against its limit.

    Attributes:
        name: Its name.
        limit_ns: How old it may get; None: any age.
        items: How many there are.
        oldest_ns: When the oldest came to be; None when there is none.
        next_ns: When the next one goes at the latest; None when none will.
        held: How many are beyond the limit and still needed, by what needs them.
        overdue: Keys of what should not be there any more.
    """

    name: str
    limit_ns: int | None
    items: int
    oldest_ns: int | None
    next_ns: int | None
    held: Mapping[str, int]
    overdue: Sequence[str]


def kept_by_fusion(deployment: Deployment, store: FusionStore) -> list[Kept]:
    """What the fusion node keeps."""
    limits = deployment.retention
    events = EventStock(store.database, lambda: _asked(deployment))
    evidence = EvidenceStock(evidence_folder(deployment), lambda: _known(deployment, events))
    return [
        *_recordings(deployment),
        Kept("evidence", evidence, _ns(limits.evidence)),
        Kept("events", events, _ns(limits.events)),
    ]


def kept_by_alert(deployment: Deployment, outbox: OutboxStore) -> list[Kept]:
    """What the alert node keeps."""
    limits = deployment.retention
    if limits.dead_letters is None:
        return [Kept("outbox", OutboxStock(outbox.database), _ns(limits.events))]
    letters = OutboxStock(outbox.database, dead=True)
    return [
        Kept("outbox", OutboxStock(outbox.database, dead=False), _ns(limits.events)),
        Kept("dead letters", letters, _ns(limits.dead_letters)),
    ]


def kept_here(deployment: Deployment, stack: ExitStack) -> Iterator[Kept]:
    """Everything of a deployment that lies on this machine.

    Args:
        deployment: The deployment.
        stack: Closes what is opened for it.

    Raises:
        StoreError: A store cannot be read.
    """
    if has_fusion_store(deployment):
        store = stack.enter_context(closing(fusion_store(deployment, create=False)))
        yield from kept_by_fusion(deployment, store)
    else:
        orphans = EvidenceStock(evidence_folder(deployment), dict)
        yield from _recordings(deployment)
        yield Kept("evidence", orphans, _ns(deployment.retention.evidence))
    if outbox_file(deployment).exists():
        outbox = stack.enter_context(closing(OutboxStore(outbox_file(deployment), create=False)))
        yield from kept_by_alert(deployment, outbox)
    for node in deployment.nodes:
        yield from _spool(deployment, node)


def report_on(kept: Kept, now_ns: int) -> KindReport:
    """Look at everything there is of one kind."""
    items = kept.stock.items()
    oldest_ns = min((item.at_ns for item in items), default=None)
    if kept.limit_ns is None:
        return KindReport(kept.name, None, len(items), oldest_ns, None, {}, ())
    kind = Kind(kept.name, kept.stock, kept.limit_ns)
    late_ns = LATE_NS if kept.own else 0
    aged = [item for item in items if now_ns - item.at_ns > kept.limit_ns]
    held = dict(Counter(why for item in aged if (why := _needed_by(item, now_ns))))
    goes = {item.key: kind.goes_ns(item) for item in items}
    return KindReport(
        name=kept.name,
        limit_ns=kept.limit_ns,
        items=len(items),
        oldest_ns=oldest_ns,
        next_ns=min((at_ns for at_ns in goes.values() if at_ns < FOREVER_NS), default=None),
        held=held,
        overdue=tuple(key for key, at_ns in goes.items() if now_ns - at_ns > late_ns),
    )


def _needed_by(item: Item, now_ns: int) -> str:
    """What still needs an item; empty when nothing does."""
    return item.held or (ANSWERED if item.asked_ns > now_ns else "")


def _spool(deployment: Deployment, node: str) -> Iterator[Kept]:
    """Segments of a spool, of which the node's ledger must know when they go, and damaged parts."""
    folder = spool_folder(deployment, node)
    if folder.exists():
        stock = FileStock(lambda: folder.glob("*.spool"))
        for quarantine in kept_by_capture(deployment, node):
            yield Kept(f"spool {node}", stock, quarantine.limit_ns, own=True)
            yield quarantine


def _recordings(deployment: Deployment) -> list[Kept]:
    settings = deployment.fusion.record
    if settings is None:
        return []
    files = open_folder(deployment, settings).files
    limit_ns = _ns(deployment.retention.recordings)
    if limit_ns is None and settings.max_age_days is not None:
        by_write = FileStock(files)
        return [Kept("recordings", by_write, round(settings.max_age_days * DAY_NS), own=True)]
    return [Kept("recordings", RecordingStock(files), limit_ns)]


def _asked(deployment: Deployment) -> dict[str, int]:
    """Until when events are needed to hold others back, by id, as people answered."""
    if not has_answers(deployment):
        return {}
    with closing(answer_store(deployment, create=False)) as answers:
        standing = answers.standing()
    return {event: asked_until(given, deployment.feedback) for event, given in standing.items()}


def _known(deployment: Deployment, stock: EventStock) -> dict[str, KeptEvent]:
    """Events by id, with what the alert node, if it works here too, has not delivered of them."""
    waiting: set[str] = set()
    if outbox_file(deployment).exists():
        with closing(OutboxStore(outbox_file(deployment), create=False)) as outbox:
            waiting = undelivered(outbox.database)
    return {
        event.id: replace(event, held=event.held or UNDELIVERED) if event.id in waiting else event
        for event in stock.events()
    }


def _ns(age: str | None) -> int | None:
    return None if age is None else age_ns(age)
