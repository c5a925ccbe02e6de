"""Streams of a scene that drift apart in time, as events.

Such an event tells of the equipment and not of the scene (`EquipmentAlarm`), and its summary
names the streams. It is raised once per stream, updated when the offset has moved by more than
the limit, and cleared once.

One look proves little, as ordinary life has its coincidences. So `CONFIRM` looks in a row that
were certain must say the same: all beyond the limit on one side, or all within it, each no
further than the limit from the one before. Looks that saw nothing in common say nothing: they
neither count nor break a row, but a row without news for `PATIENCE` windows is forgotten. What
lies beyond the limit by less than its uncertainty is neither beyond nor within. An event stands
until its streams are seen to agree again, or end: silence is no agreement.

It is in the engine, fed by arrivals alone, so that a replay tells the same. After a restart the
events that stand come from the store; what was looked at is seen anew. This alone is not exact
after a crash: a drift that was about to be told may be told as much as two windows later, though
never twice. To be exact, the minutes of activity that looks compare, some
megabytes, would have to be committed with every window, as samples that were acked do not come
again: too much for what is not urgent and stands until it is mended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from pipeline.alignment.sync_offset import SyncOffset
from pipeline.alignment.sync_watch import SECOND_NS, SyncWatch
from pipeline.alignment.sync_watch_settings import SyncWatchSettings
from pipeline.core.event import Event, Phase
from pipeline.core.sample import Sample, StreamInfo
from pipeline.detection.accounts import Accounts
from pipeline.detection.equipment_alarm import EquipmentAlarm, alarm_name

ALARM = "sync:"
CONFIRM = 3
PATIENCE = 5
MILLISECOND_NS = 1_000_000


@dataclass(slots=True)
class _Row:
    """Looks in a row that say the same.

    Attributes:
        side: -1 earlier and 1 later than the limit allows, 0 within it.
        first_ns: When the first of them was.
        last_ns: When the last of them was.
        offset_ns: What the last of them found.
        count: How many.
    """

    side: int
    first_ns: int
    last_ns: int
    offset_ns: int
    count: int = 1


@dataclass(slots=True)
class _Stream:
    """One stream against the reference.

    Attributes:
        alarm: Its alarm.
        row: The present row.
        told_ns: Offset that was told last; None when another run told it.
    """

    alarm: EquipmentAlarm
    row: _Row | None = None
    told_ns: int | None = None


@dataclass(slots=True)
class _Scene:
    """One scene, and its streams by the name of their alarm."""

    settings: SyncWatchSettings
    watch: SyncWatch
    streams: dict[str, _Stream] = field(default_factory=dict)


class SyncHealth:
    """Watches scenes, and tells as events what drifted.

    Args:
        settings: Of each scene that is watched.
        streams: Streams of each scene.
    """

    def __init__(
        self, settings: Mapping[str, SyncWatchSettings], streams: Mapping[str, Sequence[str]]
    ) -> None:
        self._scenes = {
            name: _Scene(own, SyncWatch(own, streams[name])) for name, own in settings.items()
        }

    @property
    def watches(self) -> Mapping[str, SyncWatch]:
        """What is watched, by scene."""
        return {name: scene.watch for name, scene in self._scenes.items()}

    def restore(self, events: Iterable[Event]) -> None:
        """Take up the events that stand, from all phases ever published, in order."""
        for event in events:
            scene = self._scenes.get(event.scene)
            if scene is not None and event.health and event.alarm.startswith(ALARM):
                _stream(event.scene, scene, event.alarm).alarm.take_up(event)

    def open(self, info: StreamInfo) -> None:
        """A stream was announced."""
        for scene in self._scenes.values():
            scene.watch.open(info)

    def take(self, sample: Sample) -> None:
        """Take in one sample."""
        for scene in self._scenes.values():
            scene.watch.take(sample)

    def look(self, now_ns: int, accounts: Accounts) -> Iterator[Event]:
        """Look at the scenes for which it is time; what there is to tell."""
        for name, scene in self._scenes.items():
            look = scene.watch.look(now_ns)
            for offset in look.offsets if look is not None else ():
                known = _stream(name, scene, alarm_name(ALARM, offset.second))
                event = self._judge(scene.settings, known, offset, now_ns)
                if event is not None:
                    yield replace(event, ledger=accounts.of(event.scene))

    def finish(self, scene: str) -> Iterator[Event]:
        """All streams of a scene ended: what stands is over."""
        if scene not in self._scenes:
            return
        for alarm, known in self._scenes[scene].streams.items():
            event = known.alarm.event
            if event is not None:
                said = f"{alarm.removeprefix(ALARM)} has ended; it was not seen to agree again."
                yield known.alarm.go_on(Phase.CLEARED, event.end_ns, said)

    def stands(self, scene: str) -> bool:
        """Whether an event of a scene has not been cleared."""
        known = self._scenes.get(scene)
        return known is not None and any(s.alarm.event is not None for s in known.streams.values())

    def _judge(
        self, own: SyncWatchSettings, known: _Stream, offset: SyncOffset, now_ns: int
    ) -> Event | None:
        side = _side(offset, round(own.limit_ms * MILLISECOND_NS))
        if side is None:
            return None
        row = known.row = _follow(known.row, own, side, offset.offset_ns, now_ns)
        if row.count < CONFIRM:
            return None
        if not side:
            known.told_ns = None
            agrees = _again(offset)
            stands = known.alarm.event is not None
            return known.alarm.go_on(Phase.CLEARED, now_ns, agrees) if stands else None
        told_ns, known.told_ns = known.told_ns, offset.offset_ns
        if known.alarm.event is None:
            said, unsure_ns = _apart(offset, own.limit_ms), offset.uncertainty_ns
            return known.alarm.begin(row.first_ns, now_ns, said, uncertainty_ns=unsure_ns)
        if told_ns is not None and abs(offset.offset_ns - told_ns) > own.limit_ms * MILLISECOND_NS:
            return known.alarm.go_on(Phase.UPDATED, now_ns, _apart(offset, own.limit_ms))
        known.told_ns = offset.offset_ns if told_ns is None else told_ns
        return None


def _stream(name: str, scene: _Scene, alarm: str) -> _Stream:
    """The stream of an alarm of scene `name`, known or new."""
    return scene.streams.setdefault(alarm, _Stream(EquipmentAlarm(name, alarm)))


def _side(offset: SyncOffset, limit_ns: int) -> int | None:
    """Beyond the limit (-1, 1), within (0), or nothing that can be said."""
    if not offset.certain:
        return None
    if abs(offset.offset_ns) <= limit_ns:
        return 0
    if abs(offset.offset_ns) - offset.uncertainty_ns <= limit_ns:
        return None
    return 1 if offset.offset_ns > 0 else -1


def _follow(
    row: _Row | None, own: SyncWatchSettings, side: int, offset_ns: int, now_ns: int
) -> _Row:
    """The row with one more look, or a new one."""
    if (
        row is None
        or row.side != side
        or now_ns - row.last_ns > PATIENCE * own.window_s * SECOND_NS
        or abs(offset_ns - row.offset_ns) > own.limit_ms * MILLISECOND_NS
    ):
        return _Row(side, now_ns, now_ns, offset_ns)
    return _Row(side, row.first_ns, now_ns, offset_ns, row.count + 1)


def _apart(offset: SyncOffset, limit_ms: float) -> str:
    when = "later" if offset.offset_ns > 0 else "earlier"
    return (
        f"{offset.second} shows things {_size(offset)} {when} than {offset.first} "
        f"(limit {limit_ms:g} ms); see fusewatch sync test."
    )


def _again(offset: SyncOffset) -> str:
    when = "later" if offset.offset_ns > 0 else "earlier"
    return f"{offset.second} agrees with {offset.first} again: {_size(offset)} {when}."


def _size(offset: SyncOffset) -> str:
    middle, off = abs(offset.offset_ns), offset.uncertainty_ns
    return f"{middle / MILLISECOND_NS:.0f} ± {off / MILLISECOND_NS:.0f} ms"
