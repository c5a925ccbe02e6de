"""A fusion node that cannot keep up, as an event of each scene of which it leaves windows out.

Raised when the hop of the scene widens, updated when it changes further, cleared when every window
is scored again, also when that is only after all streams have ended. It says what is lost by it:
resolution in time, and what only shows in several windows in a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from pipeline.core.arrival import HopSet
from pipeline.core.event import Event, Phase
from pipeline.detection.equipment_alarm import EquipmentAlarm
from pipeline.detection.hop import Hop

ALARM = "overload"
SECOND_NS = 1_000_000_000


class HopHealth:
    """Tells as events which scenes are looked at less often than set."""

    def __init__(self) -> None:
        self._alarms: dict[str, EquipmentAlarm] = {}
        self._waiting: list[Event] = []

    def restore(self, events: Iterable[Event]) -> None:
        """Take up the events that stand, from all phases ever published, in order."""
        for event in events:
            if event.health and event.alarm == ALARM:
                self._alarm(event.scene).take_up(event)

    def take(self, said: HopSet, hop: Hop) -> None:
        """The hop of a scene is another one now; what there is to tell waits for `told`."""
        alarm, at_ns = self._alarm(said.scene), said.from_ns
        if hop.state.times == 1:
            if alarm.event is not None:
                self._put(alarm.go_on(Phase.CLEARED, at_ns, _whole(said, hop)), 1)
            return
        words = _wide(said, hop)
        if alarm.event is None:
            self._put(alarm.begin(at_ns, at_ns, words), hop.state.times)
        else:
            self._put(alarm.go_on(Phase.UPDATED, at_ns, words), hop.state.times)

    def told(self) -> Iterator[Event]:
        """What there is to tell since the last call."""
        waiting, self._waiting = self._waiting, []
        yield from waiting

    def _put(self, event: Event, widened: int) -> None:
        self._waiting.append(replace(event, widened=widened))

    def _alarm(self, scene: str) -> EquipmentAlarm:
        return self._alarms.setdefault(scene, EquipmentAlarm(scene, ALARM))


def _wide(said: HopSet, hop: Hop) -> str:
    times = hop.state.times
    lag_s, set_s = said.lag_ns / SECOND_NS, hop.hop_ns / SECOND_NS
    return (
        f"The fusion node cannot keep up, what arrived waits {lag_s:.1f} s: {said.scene} is looked "
        f"at every {times * set_s:g} s and not every {set_s:g} s. No moment is left out, but what "
        f"is short is told later and placed less exactly, and nothing is judged by several "
        f"windows in a row."
    )


def _whole(said: HopSet, hop: Hop) -> str:
    return (
        f"The fusion node keeps up again: windows are {hop.hop_ns / SECOND_NS:g} s apart as set. "
        f"{said.left_out:,} between were not scored."
    )
