"""What an answer changes, shown before it is given: alarms lost and gained by a dry run.

The events in the store are what a replay of the recordings gives, byte for byte, because nothing
that people answer reaches the engine. So the dry run puts each of them past the rules as they are
and as they would be. Saying that something is normal loses alarms, and gains none unless it takes
the place of an older such answer; taking it back, or calling the event real after all, gains them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from nodes.exemptions import called_normal, within
from nodes.withholding import Rules
from pipeline.config.feedback import FeedbackSettings
from pipeline.core.event import Event
from pipeline.store import Verdict

Phases = Callable[[str], Sequence[Event]]


@dataclass(frozen=True, slots=True)
class Effect:
    """What an answer would have changed, had it been given before.

    Attributes:
        sent: How many events are sent by the answers there are.
        lost: Those of them that would not be, the newest first.
        gained: Events that are not sent and would be, the newest first.
    """

    sent: int
    lost: tuple[Event, ...]
    gained: tuple[Event, ...]


def effect_of(
    event: Event, rules: Rules, then: Rules, events: Iterable[Event], phases: Phases
) -> Effect:
    """The effect of going by other rules.

    Args:
        event: The event that is answered; it has been told, and counts neither way.
        rules: What keeps events back by the answers there are.
        then: What would, see `rules_after`.
        events: Events of its scene, in order of time.
        phases: Gives all phases of an event, by its id.
    """
    sent, lost, gained = 0, [], []
    for one in events:
        if one.health or one.id == event.id:
            continue
        # What is held back is so in every phase: most are cleared by their last one alone.
        so_far = phases(one.id) if rules.of([one]) or then.of([one]) else [one]
        now, later = rules.of(so_far) is None, then.of(so_far) is None
        sent += now
        lost += [one] if now and not later else []
        gained += [one] if later and not now else []
    return Effect(sent, tuple(reversed(lost)), tuple(reversed(gained)))


def rules_after(
    verdict: Verdict | None,
    phases: Sequence[Event],
    rules: Rules,
    bounds: FeedbackSettings,
    now_ns: int,
) -> Rules:
    """What would keep events back after a verdict.

    Args:
        verdict: What would be said; None: what was said is taken back.
        phases: The event it is said of; at least one.
        rules: What keeps events back by the answers there are.
        bounds: How far answers may go.
        now_ns: When it would be said, UTC.
    """
    normal = [one for one in rules.normal if one.event.id != phases[0].id]
    called = called_normal(phases) if verdict is Verdict.NORMAL else None
    if called is not None:
        normal = within([*normal, replace(called, from_ns=now_ns)], bounds)
    return Rules(normal, rules.snoozes)
