"""When a whole scene has fallen silent, so that no windows are cut and nobody would say so.

Timers run by the times of arrivals. One is due when nothing has arrived for ``after_s``, another
when it was ``startup_s``, which a stream never seen is given; then it waits for an arrival. Where
a stream speaks more rarely than that, two of its periods are waited for. While the fusion node was
away nothing could arrive: when it begins, or goes on after it stood still (`fusion_began`, which
recordings hold), only the longer time is waited for. While it is behind, a scene whose samples wait
for their turn (`SamplesWait`, likewise) is not silent.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.core.arrival import (
    Arrival,
    LedgerReport,
    SampleArrived,
    SamplesWait,
    StreamEnded,
    StreamOpened,
    fusion_began,
)
from pipeline.core.sample import StreamInfo
from pipeline.detection.sight import ABSENT, QUIET, SECOND_NS, regular

NEVER = 1 << 62
_PERIODS = 2  # that a regular stream may be silent


@dataclass(frozen=True, slots=True)
class SilenceSettings:
    """When one scene counts as silent.

    Attributes:
        streams: Its streams.
        window_ns: Length of its windows.
        waits_ns: After how long without an arrival its timers are due, in order.
    """

    streams: tuple[str, ...]
    window_ns: int
    waits_ns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Silent:
    """A scene of which nothing came for some time.

    Attributes:
        scene: Name of the scene.
        since_ns: When the last of it arrived, the fusion node began, or this was last told.
        now_ns: Until when nothing came.
        reasons: Of each of its streams, see `pipeline.detection.sight`.
    """

    scene: str
    since_ns: int
    now_ns: int
    reasons: Mapping[str, str]


@dataclass(slots=True)
class _Scene:
    """One scene; `told` of its timers have been due, or are passed over, since it was heard."""

    own: SilenceSettings
    heard_ns: int = 0
    since_ns: int = 0
    told: int = 0
    over: bool = False
    infos: dict[str, StreamInfo] = field(default_factory=dict)
    waits_ns: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.waits_ns = self.own.waits_ns

    def open(self, info: StreamInfo) -> None:
        """A stream is announced."""
        self.infos[info.name] = info
        known = [one for one in self.infos.values() if regular(one, self.own.window_ns)]
        longest = [_silence_ns(one) for one in known]
        usual = {max(wait, min(longest, default=0)) for wait in self.own.waits_ns}
        self.waits_ns = tuple(sorted(usual.union(one for one in longest if one > min(usual))))

    def due_ns(self) -> int:
        """When the next timer is due."""
        if self.over or self.told >= len(self.waits_ns):
            return NEVER
        return self.heard_ns + self.waits_ns[self.told]

    def reason(self, stream: str) -> str:
        """Why a stream cannot be seen when the next timer is due."""
        info = self.infos.get(stream)
        if info is None:
            return ABSENT
        if not regular(info, self.own.window_ns):
            return QUIET
        return ABSENT if _silence_ns(info) <= self.waits_ns[self.told] else QUIET


class Silence:
    """Watches scenes for silence.

    Args:
        scenes: Those that are watched.
    """

    def __init__(self, scenes: Mapping[str, SilenceSettings]) -> None:
        self._scenes = {name: _Scene(own) for name, own in scenes.items()}
        self._users: dict[str, list[_Scene]] = {}
        self._of_node: dict[str, set[str]] = {}  # streams that a node opened
        for scene in self._scenes.values():
            for stream in scene.own.streams:
                self._users.setdefault(stream, []).append(scene)
        self._ended: set[str] = set()
        self._started = False
        self._next_ns = NEVER  # no timer is due before

    @property
    def next_ns(self) -> int | None:
        """No timer is due before; None: none at all."""
        return None if self._next_ns == NEVER else self._next_ns

    def begin(self, arrival: Arrival) -> None:
        """Count anew if the fusion node begins with this arrival, it is the first, or samples wait.

        Timers run up to an arrival after this and before it is taken.
        """
        if isinstance(arrival, SamplesWait):
            for stream in self._of_node.get(arrival.node, ()):
                for scene in self._users.get(stream, ()):
                    self._heard(scene, arrival.until_ns)
        report = isinstance(arrival, LedgerReport)
        if not self._started or (report and arrival == fusion_began(arrival.arrival_ns)):
            self._started = True
            for scene in self._scenes.values():
                self._heard(scene, arrival.arrival_ns)
                scene.told = bisect_left(scene.waits_ns, max(scene.own.waits_ns))
            self._next_ns = min((s.due_ns() for s in self._scenes.values()), default=NEVER)

    def take(self, arrival: Arrival) -> None:
        """Take in one arrival."""
        match arrival:
            case SampleArrived(sample=sample):
                for scene in self._users.get(sample.stream, ()):
                    self._heard(scene, arrival.arrival_ns)
            case StreamOpened(info=info):
                self._ended.discard(info.name)
                self._of_node.setdefault(arrival.node, set()).add(info.name)
                for scene in self._users.get(info.name, ()):
                    scene.open(info)
                    self._heard(scene, arrival.arrival_ns)
            case StreamEnded(stream=stream):
                self._ended.add(stream)
                for scene in self._users.get(stream, ()):
                    scene.over = self._ended.issuperset(scene.own.streams)

    def due(self, now_ns: int) -> Silent | None:
        """The first timer that is due at `now_ns`, which is then over; None: there is none."""
        if now_ns < self._next_ns:
            return None
        due = [(scene.due_ns(), name) for name, scene in self._scenes.items()]
        time_ns, name = min(due, default=(NEVER, ""))
        self._next_ns = time_ns
        if time_ns > now_ns or time_ns == NEVER:
            return None
        scene = self._scenes[name]
        reasons = {stream: scene.reason(stream) for stream in scene.own.streams}
        since_ns, scene.since_ns = scene.since_ns, time_ns
        scene.told += 1
        return Silent(name, since_ns, time_ns, reasons)

    def _heard(self, scene: _Scene, now_ns: int) -> None:
        scene.heard_ns = scene.since_ns = max(now_ns, scene.heard_ns)
        scene.told, scene.over = 0, False
        self._next_ns = min(self._next_ns, now_ns + scene.waits_ns[0])


def _silence_ns(info: StreamInfo) -> int:
    """How long a regular stream that is well is silent at most."""
    return round(_PERIODS * SECOND_NS / info.rate_hz) if info.rate_hz else 0
