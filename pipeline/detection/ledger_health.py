"""The loss ledger checked from end to end: samples that no entry explains, as events.

A capture node numbers what it sends and reports about once a second what it captured, delivered,
dropped and still has. The fusion node sees the numbers. Two things must hold at every report:

- The report adds up: ``captured = delivered + dropped + spooled``.
- Numbers that were passed over are explained: there are no more of them than samples the node
  dropped. A sample is dropped before a later one is sent, and the report comes on the same link,
  so what is in flight is never missing. It is when something between the two lost a message:
  later ones are acked, and with them, by their number, the one that never came.

Drops may be seen late or never: before the first sample of a session nobody sees a gap. They
must not excuse losses for ever, so drops of which all that was left at the time has arrived
since are done with. What a reader lost has no number and excuses nothing.

An event is raised when `CONFIRM` reports in a row say so (a sample that was refused here is in
the node's ledger a moment later), updated when more is missing, at most every `UPDATE_NS`, and
cleared when nothing further went missing for `CLEAR_NS` or the stream has ended. All of this
follows from arrivals, so that a replay tells the same; it begins anew with `fusion_began`, as a
node that is started again does. Events that stand come from the store then.
"""

from __future__ import annotations

from collections import deque
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
from pipeline.core.event import Account, Event, Phase
from pipeline.core.ledger import DropReason, StreamAccount
from pipeline.detection.equipment_alarm import EquipmentAlarm, alarm_name

log = structlog.get_logger(__name__)

ALARM = "ledger:"
CONFIRM = 2
UPDATE_NS = 10_000_000_000
CLEAR_NS = 60_000_000_000


_UNNUMBERED = frozenset({DropReason.READER_OVERRUN.value, DropReason.OUT_OF_ORDER.value})
_REPORTS_BACK = 5
"""So many reports after a drop it is looked at whether it is done with."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where a stream stood at a report: drops so far, numbers that came, samples left."""

    dropped: int
    passed: int
    left: int


@dataclass(slots=True)
class StreamBooks:
    """What arrived of one stream, against what its node says.

    Attributes:
        node: Its node.
        arrived: Samples that arrived since this process began.
        skipped: Numbers that were passed over.
        last_ns: Stamp of the last sample, site time.
        unexplained: Samples that no entry explains.
    """

    node: str = ""
    arrived: int = 0
    skipped: int = 0
    last_ns: int | None = None
    unexplained: int = 0
    _expected: int | None = None
    _captured: int = 0
    _delivered: int = 0
    _dropped: int = 0
    _dropped_before: int = 0
    _excused: tuple[int, int] = (0, 0)
    _marks: deque[_Mark] = field(default_factory=lambda: deque(maxlen=_REPORTS_BACK))

    def open(self, node: str) -> None:
        """A session of the stream begins, or it is described anew."""
        self.node, self._expected = node, None

    def take(self, sequence: int, stamp_ns: int) -> None:
        """A sample arrived."""
        if self._expected is not None and sequence > self._expected:
            self.skipped += sequence - self._expected
        self._expected = sequence + 1
        self.arrived += 1
        self.last_ns = stamp_ns

    def compare(self, account: StreamAccount) -> tuple[int, int]:
        """Samples that are missing without a reason, and by which the report does not add up."""
        self._follow(account)
        skipped, dropped = self._excused
        passed_over = self.skipped - skipped
        missing = max(0, passed_over - (self._dropped_before + self._dropped - dropped))
        if not missing:
            self._be_done(account.spooled)
        self.unexplained = missing + abs(account.missing)
        return missing, abs(account.missing)

    def _follow(self, account: StreamAccount) -> None:
        dropped = sum(n for why, n in account.dropped.items() if why not in _UNNUMBERED)
        before = (self._captured, self._delivered, self._dropped)
        now = (account.captured, account.delivered, dropped)
        if any(new < old for new, old in zip(now, before, strict=True)):  # the node began anew
            self._dropped_before += self._dropped
            self._marks.clear()
        self._captured, self._delivered, self._dropped = now

    def _be_done(self, left: int) -> None:
        """Forget drops whose gaps have been seen by now, or never will be."""
        passed = self.arrived + self.skipped
        then = self._marks[0] if len(self._marks) == _REPORTS_BACK else None
        if then is not None and passed - then.passed >= max(then.left, left):
            self._excused = (self.skipped, max(then.dropped, self._excused[1]))
        self._marks.append(_Mark(self._dropped_before + self._dropped, passed, left))


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
            self._watch(arrival.info.name).books.open(arrival.node)
        elif isinstance(arrival, LedgerReport):
            if arrival == fusion_began(arrival.arrival_ns):
                self._begin()
            for stream, account in arrival.accounts.items():
                self._judge(stream, account, arrival)

    def told(self, accounts: Mapping[str, Account]) -> Iterator[Event]:
        """What there is to tell since the last call."""
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            yield replace(event, ledger=dict(accounts))

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

    def _begin(self) -> None:
        self._watches = {name: _Watch(watch.alarms) for name, watch in self._watches.items()}

    def _watch(self, stream: str) -> _Watch:
        """The stream's watch; of one in no scene there is nobody to tell, but it is counted."""
        return self._watches.setdefault(stream, _Watch({}))

    def _judge(self, stream: str, account: StreamAccount, report: LedgerReport) -> None:
        watch = self._watches.get(stream)
        if watch is None or watch.books.node != report.node:
            return
        now_ns = report.arrival_ns
        missing, apart = watch.books.compare(account)
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
        watch.told, watch.told_ns = missing + apart, now_ns
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
