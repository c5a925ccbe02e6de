"""The loss ledger checked from end to end: samples that no entry explains, as events.

What must hold at every report of a capture node stands in `pipeline.detection.stream_books`.

An event is raised when `CONFIRM` reports in a row say so (a sample that was refused here is in
the node's ledger a moment later), updated when more is missing, at most every `UPDATE_NS`, and
cleared when nothing further went missing for `CLEAR_NS` or the stream has ended. All of this
follows from arrivals, so that a replay tells the same. A stream that is opened after
`fusion_began` begins anew, as with a node that is started again; events that stand come from the
store then. One that is not opened again goes on: the fusion node was only away, and what was lost
meanwhile is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from msgspec.structs import replace

from pipeline.core.arrival import (
    Arrival,
    LedgerReport,
    SampleArrived,
    StreamOpened,
    fusion_began,
)
from pipeline.core.event import Event, Phase
from pipeline.core.ledger import StreamAccount
from pipeline.detection.accounts import Accounts
from pipeline.detection.equipment_alarm import EquipmentAlarm, alarm_name
from pipeline.detection.stream_books import BACKLOG, StreamBooks

log = structlog.get_logger(__name__)

ALARM = "ledger:"
CONFIRM = 2
UPDATE_NS = 10_000_000_000
CLEAR_NS = 60_000_000_000


@dataclass(slots=True)
class _Watch:
    """One stream, and the alarm of it in each scene that uses it.

    Attributes:
        alarms: By scene.
        books: What is known of the stream.
        right_ns: When the last report came that explained all that was not told before.
        row: Unexplained by each of the last reports that say more than was told.
        told: Unexplained by the last event.
        told_ns: When that was.
        grew_ns: When it was last found to be more than before.
    """

    alarms: dict[str, EquipmentAlarm]
    books: StreamBooks = field(default_factory=StreamBooks)
    right_ns: int | None = None
    row: list[tuple[int, int]] = field(default_factory=list)
    told: int = 0
    told_ns: int = 0
    grew_ns: int | None = None


class LedgerHealth:
    """Tells as events when samples are unaccounted for.

    Args:
        streams: Streams of each scene.
    """

    def __init__(self, streams: Mapping[str, Sequence[str]] | None = None) -> None:
        self._watches: dict[str, _Watch] = {}
        for scene, names in (streams or {}).items():
            for name in names:
                alarm = EquipmentAlarm(scene, alarm_name(ALARM, name))
                self._watches.setdefault(name, _Watch({})).alarms[scene] = alarm
        self._waiting: list[Event] = []
        self._from_before: set[str] = set()

    @property
    def books(self) -> Mapping[str, StreamBooks]:
        """What is known of each stream that was ever opened."""
        return {name: w.books for name, w in self._watches.items() if w.books.node}

    def restore(self, events: Iterable[Event]) -> None:
        """Take up the events that stand, from all phases ever published, in order."""
        alarms = {(a.scene, a.name): a for w in self._watches.values() for a in w.alarms.values()}
        for event in events:
            alarm = alarms.get((event.scene, event.alarm))
            if alarm is not None and event.health:
                alarm.take_up(event)

    def take(self, arrival: Arrival) -> None:
        """Take in one arrival; what there is to tell of it waits for `told`."""
        if isinstance(arrival, SampleArrived):
            sample = arrival.sample
            watch = self._watches.get(sample.stream)
            if watch is not None:
                watch.books.take(sample.sequence, sample.timestamp_ns)
        elif isinstance(arrival, StreamOpened):
            self._open(arrival.info.name, arrival.node)
        elif isinstance(arrival, LedgerReport):
            if arrival == fusion_began(arrival.arrival_ns):
                self._from_before = set(self._watches)
            for stream, account in arrival.accounts.items():
                self._judge(stream, account, arrival)

    def told(self, accounts: Accounts) -> Iterator[Event]:
        """What there is to tell since the last call."""
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            yield replace(event, ledger=accounts.of(event.scene))

    def finish(self, scene: str) -> Iterator[Event]:
        """All streams of a scene ended: what stands is over."""
        for name, watch in self._watches.items():
            alarm = watch.alarms.get(scene)
            if alarm is not None and alarm.event is not None:
                yield alarm.go_on(Phase.CLEARED, alarm.event.end_ns, f"{name} has ended.")

    def stands(self, scene: str) -> bool:
        """Whether an event of a scene has not been cleared."""
        alarms = [w.alarms[scene] for w in self._watches.values() if scene in w.alarms]
        return any(alarm.event is not None for alarm in alarms)

    def _open(self, stream: str, node: str) -> None:
        if stream in self._from_before:
            self._from_before.remove(stream)
            self._watches[stream] = _Watch(self._watches[stream].alarms)
        self._watch(stream).books.open(node)

    def _watch(self, stream: str) -> _Watch:
        """The stream's watch; of one in no scene there is nobody to tell, but it is counted."""
        return self._watches.setdefault(stream, _Watch({}))

    def _judge(self, stream: str, account: StreamAccount, report: LedgerReport) -> None:
        watch = self._watches.get(stream)
        if watch is None or watch.books.node != report.node:
            return
        now_ns = report.arrival_ns
        behind = self._watches.get(stream + BACKLOG)
        late = behind.books.arrived if behind is not None else 0
        missing, apart = watch.books.compare(account, late)
        if missing + apart <= watch.told:
            watch.row.clear()
            watch.right_ns = now_ns
            self._clear_when_calm(stream, watch, now_ns)
            return
        watch.row.append((missing, apart))
        watch.grew_ns = now_ns
        standing = any(alarm.event for alarm in watch.alarms.values())
        due = not standing or now_ns - watch.told_ns >= UPDATE_NS
        if len(watch.row) >= CONFIRM and due:
            self._tell(stream, watch, report)

    def _tell(self, stream: str, watch: _Watch, report: LedgerReport) -> None:
        missing, apart = min(watch.row[-CONFIRM:], key=sum)
        now_ns, start_ns = report.arrival_ns, watch.right_ns or report.arrival_ns
        watch.told = watch.books.unexplained = missing + apart
        watch.told_ns = now_ns
        watch.row.clear()
        watch.right_ns = now_ns
        said = _unexplained(stream, report.node, missing, apart)
        log.error("samples are unaccounted for", stream=stream, node=report.node, count=watch.told)
        for alarm in watch.alarms.values():
            if alarm.event is None:
                self._waiting.append(alarm.begin(start_ns, now_ns, said))
            else:
                self._waiting.append(alarm.go_on(Phase.UPDATED, now_ns, said))

    def _clear_when_calm(self, stream: str, watch: _Watch, now_ns: int) -> None:
        if not any(alarm.event for alarm in watch.alarms.values()):
            return
        if watch.grew_ns is None:  # told by an earlier run
            watch.grew_ns = now_ns
        if now_ns - watch.grew_ns < CLEAR_NS:
            return
        said = f"No further sample of {stream} went missing for {CLEAR_NS // 10**9} s."
        for alarm in watch.alarms.values():
            if alarm.event is not None:
                self._waiting.append(alarm.go_on(Phase.CLEARED, now_ns, said))


def _unexplained(stream: str, node: str, missing: int, apart: int) -> str:
    said = []
    if missing:
        said.append(f"{_samples(missing)} of {stream} never arrived and {node} does not say why")
    if apart:
        said.append(f"the ledger of {node} does not add up by {_samples(apart)} of {stream}")
    words = "; ".join(said)
    return f"{words[0].upper()}{words[1:]}."


def _samples(count: int) -> str:
    return f"{count} sample{'s' if count > 1 else ''}"
