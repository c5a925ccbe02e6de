"""Streams that cannot see, as events: raised, updated when the reason changes, cleared.

The rules, for each stream of a scene and for each of its nodes:

- The first window in which it cannot see (`pipeline.detection.sight`) begins a *stretch*. It
  goes on until the stream has seen for half of the time since, or for ``clear_after_s`` without
  a break, so that one bad window is forgotten soon and a stream that flickers is judged by what
  prevails. When it was blind for ``after_s`` longer than it saw, the event is raised; before
  ``startup_s`` are over, not for one that has not been seen at all.
- The event is updated when another reason has held for ``after_s``, and cleared when the stream
  has seen for ``clear_after_s`` without a break.
- When all streams of a node are gone, one event names the node, and none is raised for each of
  them while that stretch lasts.
- When a whole scene falls silent no windows are cut. It counts as a window in which all streams
  are absent that nothing has arrived for ``after_s``, and once more for ``startup_s``; streams that
  speak more rarely are given two of their periods (`pipeline.detection.sight_silence`). Windows of
  what came before, which are cut only when something comes again, clear nothing then.

All of this follows from windows, scores and the times of arrivals, so that a replay tells the
same. What is remembered is committed with the scene; events that stand come from the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from pipeline.core.errors import StoreError
from pipeline.core.event import Event
from pipeline.detection.accounts import Accounts
from pipeline.detection.cut import Cut
from pipeline.detection.equipment_alarm import EquipmentAlarm, alarm_name
from pipeline.detection.score import WindowScore
from pipeline.detection.sight import ABSENT, QUIET, gone_nodes, reasons_of
from pipeline.detection.sight_alarm import Look, SightAlarm
from pipeline.detection.sight_settings import SightSettings
from pipeline.detection.sight_silence import Silent
from pipeline.detection.sight_stretch import Stretch

STREAM, NODE = "sight:", "node:"
MILLISECOND_NS, SECOND_NS = 1_000_000, 1_000_000_000


_STRETCH_DECODER = msgspec.json.Decoder(dict[str, Stretch])


@dataclass(frozen=True, slots=True)
class SightScene:
    """What there is to see in one scene.

    Attributes:
        settings: Its settings.
        streams: Its streams.
        nodes: Its streams by the node that gives them.
        window_ns: Length of its windows.
        hop_ns: Step from one window to the next.
    """

    settings: SightSettings
    streams: tuple[str, ...]
    nodes: Mapping[str, tuple[str, ...]]
    window_ns: int
    hop_ns: int

    @property
    def clock_limit_ns(self) -> int:
        """From here on a clock is not trusted."""
        limit_ms = self.settings.clock_limit_ms
        return self.hop_ns if limit_ms is None else round(limit_ms * MILLISECOND_NS)

    @property
    def waits_ns(self) -> tuple[int, ...]:
        """After how long without an arrival the whole scene counts as silent, in order."""
        waits_s = sorted({self.settings.after_s, self.settings.startup_s} - {0.0})
        return tuple(round(s * SECOND_NS) for s in waits_s)


@dataclass(slots=True)
class _Scene:
    """One scene, and the alarms of its nodes and streams by their names."""

    own: SightScene
    nodes: dict[str, SightAlarm] = field(default_factory=dict)
    streams: dict[str, SightAlarm] = field(default_factory=dict)

    @property
    def alarms(self) -> dict[str, SightAlarm]:
        return {a.alarm.name: a for a in (*self.nodes.values(), *self.streams.values())}


class SightHealth:
    """Tells as events which streams cannot see.

    Args:
        scenes: What there is to see in each scene that is watched.
    """

    def __init__(self, scenes: Mapping[str, SightScene]) -> None:
        self._scenes = {name: _scene(name, own) for name, own in scenes.items()}

    def restore(self, events: Iterable[Event]) -> None:
        """Take up the events that stand, from all phases ever published, in order."""
        alarms = {name: scene.alarms for name, scene in self._scenes.items()}
        for event in events:
            known = alarms.get(event.scene, {}).get(event.alarm)
            if known is not None and event.health:
                known.alarm.take_up(event)

    def state(self, scene: str) -> bytes:
        """What is remembered of a scene, to be committed."""
        if scene not in self._scenes:
            return b""
        stretches = {name: a.stretch for name, a in self._scenes[scene].alarms.items()}
        return msgspec.json.encode(stretches)

    def resume(self, scene: str, state: bytes) -> None:
        """Go on from `state`'s bytes.

        Raises:
            StoreError: They are not such a state.
        """
        if scene not in self._scenes or not state:
            return
        try:
            stretches = _STRETCH_DECODER.decode(state)
        except msgspec.MsgspecError as error:
            raise StoreError(f"what could be seen cannot be read: {error}", where=scene) from error
        for name, alarm in self._scenes[scene].alarms.items():
            alarm.stretch = stretches.get(name, alarm.stretch)

    def see(self, cut: Cut, score: WindowScore | None) -> Iterator[Event]:
        """Take in the next window of a scene; what there is to tell.

        Args:
            cut: The window.
            score: Its score; None: the scene has no model.
        """
        window = cut.window
        scene = self._scenes.get(window.scene)
        if scene is None:
            return
        own = scene.own
        for stream, part in window.slices.items():
            scene.streams[stream].modality = part.info.modality
        reasons = reasons_of(window, own.streams, score, cut.unfit, own.clock_limit_ns)
        blind = {stream for stream, reason in reasons.items() if reason != QUIET}
        left = None if score is None else tuple(s for s in own.streams if s not in blind)
        span = (window.start_ns, window.end_ns, window.hops * own.hop_ns)
        look = Look(*span, reasons, window.uncertainty_ns, left)
        yield from _judge(scene, look, cut.accounts)

    def silent(self, silent: Silent, accounts: Accounts) -> Iterator[Event]:
        """Nothing has come of a scene for some time; what there is to tell."""
        lasted_ns = silent.now_ns - silent.since_ns
        look = Look(silent.since_ns, silent.now_ns, lasted_ns, silent.reasons)
        yield from _judge(self._scenes[silent.scene], look, accounts)

    def finish(self, scene: str) -> Iterator[Event]:
        """All streams of a scene ended: what stands is over."""
        alarms = self._scenes[scene].alarms.values() if scene in self._scenes else ()
        yield from (event for alarm in alarms if (event := alarm.finish()) is not None)

    def stands(self, scene: str) -> bool:
        """Whether an event of a scene has not been cleared."""
        known = self._scenes[scene].alarms.values() if scene in self._scenes else ()
        return any(alarm.alarm.event is not None for alarm in known)

    def unseen(self) -> dict[tuple[str, str], str]:
        """Why each stream of each scene cannot see just now; empty: it can."""
        return {
            (name, stream): alarm.stretch.reason if not alarm.stretch.good_ns else ""
            for name, scene in self._scenes.items()
            for stream, alarm in scene.streams.items()
        }


def _judge(scene: _Scene, look: Look, accounts: Accounts) -> Iterator[Event]:
    gone = gone_nodes(scene.own.nodes, look.reasons)
    found: list[Event | None] = []
    told: set[str] = set()
    for node, alarm in scene.nodes.items():
        found.append(alarm.judge(look, ABSENT if node in gone else ""))
        if alarm.stretch.start_ns is not None:
            told.update(alarm.streams)
    for stream, alarm in scene.streams.items():
        reason = look.reasons.get(stream, "")
        reason = "" if reason == QUIET else reason
        found.append(alarm.judge(look, reason, held=stream in told))
    for event in found:
        if event is not None:
            yield replace(event, ledger=accounts.of(event.scene))


def _scene(name: str, own: SightScene) -> _Scene:
    def alarm(kind: str, of: str, streams: tuple[str, ...]) -> SightAlarm:
        equipment = EquipmentAlarm(name, alarm_name(kind, of))
        return SightAlarm(equipment, own.settings, of, streams, of_node=kind == NODE)

    return _Scene(
        own,
        {node: alarm(NODE, node, streams) for node, streams in own.nodes.items()},
        {stream: alarm(STREAM, stream, (stream,)) for stream in own.streams},
    )
