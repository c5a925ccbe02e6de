"""An incident as one receiver is told of it: one life for what happens in several scenes.

To the receiver it looks like one event, with the id, scene and alarm of the first event it was
told of: raised once, updated, cleared once, its revision growing. The rules:

- An event that joins is told, whatever it is. So is one that becomes more severe than all that
  was told. What else goes on in an event that is known is not.
- It has the severity of the worst so far, begins with the first and ends with the last, and names
  the scenes so far; the words, pictures and reasons are of the event that is the news.
- It is cleared when all events in it are, as far as the receiver was told of them.
"""

from __future__ import annotations

import msgspec

from pipeline.core.event import Event, Phase, Severity

_SEVERITIES = tuple(Severity)


class ToldIncident(msgspec.Struct, frozen=True):
    """What a receiver knows of an incident.

    Attributes:
        head: Its first event, as the receiver was told of it.
        revision: Of what it was told last.
        severity: Worst that it was told.
        start_ns: When the first of it began.
        end_ns: When the last of it ended, as far as is known.
        p: Smallest p-value so far.
        score: Highest anomaly score so far.
        scenes: Its scenes, in the order in which it was told of them.
        events: Ids of its events.
        standing: Those of them that are not cleared.
    """

    head: tuple[str, str, str]
    revision: int
    severity: Severity
    start_ns: int
    end_ns: int
    p: float
    score: float
    scenes: tuple[str, ...]
    events: frozenset[str]
    standing: frozenset[str]

    @property
    def over(self) -> bool:
        """Whether all of it is cleared."""
        return not self.standing


def begin(event: Event) -> ToldIncident:
    """What a receiver knows that was told of an event as it is."""
    return ToldIncident(
        head=(event.id, event.scene, event.alarm),
        revision=event.revision,
        severity=event.severity,
        start_ns=event.start_ns,
        end_ns=event.end_ns,
        p=event.p,
        score=event.score,
        scenes=(event.scene,),
        events=frozenset({event.id}),
        standing=frozenset() if event.phase is Phase.CLEARED else frozenset({event.id}),
    )


def go_on(known: ToldIncident, event: Event) -> tuple[ToldIncident, Event | None]:
    """Take in the next phase of one of its events, or of one that joins.

    Args:
        known: What the receiver knows.
        event: The phase.

    Returns:
        What it knows then, and what it is told; None: nothing.
    """
    mine = {event.id}
    standing = known.standing - mine if event.phase is Phase.CLEARED else known.standing | mine
    worse = _rank(event) > _SEVERITIES.index(known.severity)
    news = worse or not standing or event.id not in known.events
    own = event.revision if event.id == known.head[0] else 0
    scenes = known.scenes if event.scene in known.scenes else (*known.scenes, event.scene)
    after = ToldIncident(
        head=known.head,
        revision=max(known.revision + 1, own) if news else known.revision,
        severity=event.severity if worse else known.severity,
        start_ns=min(known.start_ns, event.start_ns),
        end_ns=max(known.end_ns, event.end_ns),
        p=min(known.p, event.p),
        score=max(known.score, event.score),
        scenes=scenes,
        events=known.events | mine,
        standing=standing,
    )
    return after, _said(after, event) if news else None


def _said(told: ToldIncident, event: Event) -> Event:
    name, scene, alarm = told.head
    several = f"In {len(told.scenes)} scenes ({', '.join(told.scenes)}): "
    return msgspec.structs.replace(
        event,
        id=name,
        scene=scene,
        alarm=alarm,
        revision=told.revision,
        phase=Phase.CLEARED if told.over else Phase.UPDATED,
        severity=told.severity,
        start_ns=told.start_ns,
        end_ns=told.end_ns,
        p=told.p,
        score=told.score,
        summary=several * (len(told.scenes) > 1) + event.summary,
        scenes=told.scenes * (len(told.scenes) > 1),
    )


def _rank(event: Event) -> int:
    return _SEVERITIES.index(event.severity)
