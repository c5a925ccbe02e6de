"""Which events follow from another that was told, so that nobody need be told of them too.

A *cause* is an event of the equipment that stands and was sent: a node of which nothing comes, a
stream that cannot see. Three kinds of event follow from one:

- Of the equipment, about one stream that the event of a node names: it is absent or late, its clock
  is not trusted, samples of it are unaccounted for. So one alert tells of a node and not one for
  each stream.
- Of the equipment, about the same node in another scene, if it names no other stream there: of a
  node that is gone for one scene, streams of another may come. So one in a scene with some of
  its streams waits a moment for one that names more.
- Of a scene, when it comes *mainly from streams that cannot see*: at each of its peaks so far
  these were seen to be blind, and they have more than `MAIN_SHARE` of what adds to the score (its
  Shapley values). Not when the others would carry it: when one of them alone, or what they add
  together, reaches the scene's threshold. Not when it shows between two streams that both see.
  Nor when it is critical: who is told too often can snooze the scene, who is not told cannot know.

A camera that somebody covers is thus told at once, as an event of the scene (nothing stands yet),
and then as equipment; what the other streams show later is told as ever. Whatever sees a part or
sees wrongly is no blind stream: one that was moved, is too loud for its range, has a channel that
is stuck, or a clock that is off. Torchlight in a dark room is told, as the camera sees then.

A cause counts only where it is heard: whoever would be told of the event, and of equipment at all,
must be told of the cause. What nobody was told of, as it is held itself or was withheld because
of an answer, is no cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nodes.alert_routing import why_not
from nodes.exemptions import worst
from pipeline.config.deployment import Deployment
from pipeline.core.event import Event, Phase, Severity
from pipeline.core.explanation import Basis, Explanation
from pipeline.detection import ledger_health, sight
from pipeline.detection.equipment_alarm import alarm_name
from pipeline.detection.sight_health import NODE, STREAM
from pipeline.detection.transition import anomaly_score
from pipeline.store import Held

MAIN_SHARE = 0.5
_BLIND = frozenset(
    {
        *(sight.ABSENT, sight.LATE, sight.INCOMPLETE, sight.UNUSABLE),
        *("dark", "covered", "blurred", "frozen", "silent"),
    }
)
_OF_THE_NODE = frozenset({sight.ABSENT, sight.LATE, sight.INCOMPLETE, sight.CLOCK})


@dataclass(frozen=True, slots=True)
class _About:
    """What an alarm of the equipment is about.

    Attributes:
        node: A node.
        stream: One stream of it; empty: all of it.
        watched: Whether its end would be noticed.
    """

    node: str
    stream: str
    watched: bool

    @property
    def words(self) -> str:
        """What it tells, for people."""
        return f"{self.stream} cannot see" if self.stream else f"node {self.node} is gone"


class Inhibition:
    """The rules for one deployment.

    Args:
        deployment: The deployment.
        thresholds: Score from which on a window is anomalous, by scene.
    """

    def __init__(self, deployment: Deployment, thresholds: Mapping[str, float]) -> None:
        self._on = deployment.fusion.inhibition.enabled
        self._sinks = deployment.alert.sinks
        self._thresholds = thresholds
        self._streams = {
            node: frozenset(n for source in own.sources for n in source.stream_names())
            for node, own in deployment.nodes.items()
        }
        self._abouts = dict(self._all(deployment))
        self._gone_by: dict[str, set[frozenset[str]]] = {}  # streams of a node, in any scene
        for (scene, _), about in self._abouts.items():
            if about.watched and not about.stream:
                used = self._streams[about.node].intersection(deployment.scenes[scene].streams)
                self._gone_by.setdefault(about.node, set()).add(used)

    def cause_of(self, life: Sequence[Event], causes: Iterable[Event]) -> Held | None:
        """Why an event is not sent; None when it is.

        Args:
            life: Its phases so far, in order.
            causes: Events of the equipment that stand and were sent, at their last phase.
        """
        for cause in causes if self._on else ():
            about = self._abouts.get((cause.scene, cause.alarm))
            if about is None or not about.watched or cause.id == life[0].id:
                continue
            blind = self._blind(cause, about)
            if blind and self._follows(life, about, blind) and self._is_heard(cause, life[-1]):
                said = (
                    f"{about.stream} cannot see" if about.stream else f"node {about.node} is gone"
                )
                return Held(life[0].id, cause.id, f"{said}, see {cause.id}")
        return None

    def waits(self, event: Event) -> int:
        """How many times ``hold_s`` an event waits for one that it may follow from; 0: it does not.

        A node that is gone in one scene waits for the same in one that has more of its streams; a
        stream of which nothing comes for its node, which may turn out to be gone and wait itself.
        """
        about = self._abouts.get((event.scene, event.alarm)) if event.health else None
        if about is None or not self._on:
            return 0
        gone_by = self._gone_by.get(about.node, set())
        if not about.stream:
            return int(any(frozenset(event.incomplete) < more for more in gone_by))
        if not gone_by or not _of_its_node(event):
            return 0
        return 1 + any(some < more for some in gone_by for more in gone_by)

    def _all(self, deployment: Deployment) -> Iterator[tuple[tuple[str, str], _About]]:
        for scene, own in deployment.scenes.items():
            watched = own.sight.enabled
            for node, streams in self._streams.items():
                used = [stream for stream in own.streams if stream in streams]
                if len(used) > 1:
                    yield (scene, alarm_name(NODE, node)), _About(node, "", watched)
                for stream in used:
                    about = _About(node, stream, watched)
                    yield (scene, alarm_name(STREAM, stream)), about
                    books = _About(node, stream, watched=False)
                    yield (scene, alarm_name(ledger_health.ALARM, stream)), books

    def _blind(self, cause: Event, about: _About) -> frozenset[str]:
        """Streams that cannot see because of a cause.

        Of a node those that it names, which are its streams in one scene: others may come.
        """
        if not about.stream:
            return self._streams[about.node].intersection(cause.incomplete)
        return frozenset({about.stream}) if _cannot_see(cause, about.stream) else frozenset()

    def _follows(self, life: Sequence[Event], cause: _About, blind: frozenset[str]) -> bool:
        event = life[-1]
        if not event.health:
            return all(self._mainly_from(at, blind) for at in _worst_so_far(life))
        about = self._abouts.get((event.scene, event.alarm))
        if about is None or cause.stream or about.node != cause.node:
            return False
        if about.stream:
            return about.stream in blind and all(_of_its_node(phase) for phase in life)
        return all(blind.issuperset(phase.incomplete) for phase in life)

    def _mainly_from(self, event: Event, blind: frozenset[str]) -> bool:
        """Whether an event comes mainly from streams that cannot see."""
        why, threshold = event.explanation, self._thresholds.get(event.scene)
        if why is None or threshold is None or event.severity is Severity.CRITICAL:
            return False
        unseen = frozenset(stream for stream in blind if _cannot_see(event, stream))
        if why.kind is Basis.BETWEEN and not unseen & set(why.pair):
            return False
        return _share(why, unseen) > MAIN_SHARE and _others(event, why, unseen) < threshold

    def _is_heard(self, cause: Event, event: Event) -> bool:
        told = [sink for sink in self._sinks if not why_not(cause, sink)]
        need = [sink for sink in self._sinks if sink.equipment and not why_not(event, sink)]
        return bool(told) and all(sink in told for sink in need)


def stands(event: Event) -> bool:
    """Whether an event tells of the equipment and is not over at this phase."""
    return event.health and event.phase is not Phase.CLEARED


def _worst_so_far(life: Sequence[Event]) -> list[Event]:
    """An event at its worst, as it was known at each of its phases."""
    return [at for n in range(len(life)) if (at := worst(life[: n + 1])) is not None]


def _cannot_see(event: Event, stream: str) -> bool:
    return stream in event.incomplete or event.degraded.get(stream, "") in _BLIND


def _of_its_node(event: Event) -> bool:
    """Whether it tells of a stream what would be so were its node gone."""
    if event.alarm.startswith(ledger_health.ALARM) or event.phase is Phase.CLEARED:
        return True
    return bool(event.incomplete) or any(why in _OF_THE_NODE for why in event.degraded.values())


def _share(why: Explanation, streams: frozenset[str]) -> float:
    """Part of what adds to the score that streams have."""
    adds = {stream: part for stream, part in why.contributions.items() if part > 0}
    return sum(part for stream, part in adds.items() if stream in streams) / (
        sum(adds.values()) or 1.0
    )


def _others(event: Event, why: Explanation, unseen: frozenset[str]) -> float:
    """The most that streams which see could score, alone or together.

    A detector of one stream is named ``KIND:STREAM``. Two streams that show the same share what
    they add, so that what one would score alone is more than its part: both are looked at.
    """
    together = sum(part for stream, part in why.contributions.items() if stream not in unseen)
    alone = [
        anomaly_score(said.p)
        for name, said in event.modalities.items()
        if (stream := name.partition(":")[2]) and stream not in unseen
    ]
    return max([together, *alone])
