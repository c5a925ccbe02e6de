"""What is told once somebody has answered *normal here* for as long as the fresh normal lasts.

Each alarm of the fresh normal that is told is answered; what is like an answered one is held back,
by the rules of the product (`nodes.withholding`). Afterwards nothing more is answered: what is told
of the part with anomalies is what the answers leave. An event that is held back at first counts
from when it is told.
"""

from __future__ import annotations

from collections.abc import Sequence

from nodes.exemptions import Exemption, called_normal
from nodes.withholding import Rules
from pipeline.core.event import Event, Phase
from pipeline.detection.alarm import Alarm
from pipeline.detection.events import event_of
from pipeline.detection.score import WindowScore
from pipeline.training.event_metrics import SECOND_NS, RaisedAlarm, match_alarms
from pipeline.training.labels import Label
from pipeline.training.watched import watch
from tests.benchmarks.real.composite_figures import RULES, Alarms
from tests.benchmarks.synthetic_sites import HOP_NS, SCENE, START_NS

Life = Sequence[tuple[Event, WindowScore]]
"""The phases of an event, each with the window in which it was told."""


def answered(
    normal: Sequence[WindowScore],
    wrong: Sequence[WindowScore],
    labels: Sequence[Label],
    threshold: float,
) -> tuple[Alarms, int]:
    """What is told of the part with anomalies, and how many answers were given before.

    Args:
        normal: Scores of the fresh normal.
        wrong: Scores of the part with anomalies.
        labels: What is wrong in it.
        threshold: On ``-log10 p``.
    """
    known: list[Exemption] = []
    for life in _lives(normal, threshold):
        called = called_normal([phase for phase, _ in life])
        if _told(life, known) is not None and called is not None:
            known.append(called)
    told = [one for life in _lives(wrong, threshold) if (one := _told(life, known)) is not None]
    watched = watch(wrong, labels, HOP_NS, START_NS)
    match = match_alarms(watched.labels, told, RULES.clear_after_s)
    return Alarms(match.found, len(match.false), watched.normal_s(), 0, 0.0), len(known)


def _lives(scores: Sequence[WindowScore], threshold: float) -> list[Life]:
    alarm = Alarm(RULES, SCENE, threshold, HOP_NS)
    made = [(t, score) for score in scores for t in alarm.update(score)]
    made += [(t, scores[-1]) for t in alarm.finish()]
    lives: dict[str, list[tuple[Event, WindowScore]]] = {}
    for transition, score in made:
        lives.setdefault(transition.id, []).append((event_of(transition, {}), score))
    return list(lives.values())


def _told(life: Life, known: Sequence[Exemption]) -> RaisedAlarm | None:
    """The alarm as the sinks hear of it; None: it is held back to its end."""
    rules = Rules(normal=known)
    phases = [phase for phase, _ in life]
    for number, (event, score) in enumerate(life):
        if event.phase is not Phase.CLEARED and rules.of(phases[: number + 1]) is None:
            last = phases[-1]
            return RaisedAlarm(
                (last.start_ns - START_NS) / SECOND_NS,
                (score.end_ns - START_NS) / SECOND_NS,
                (last.end_ns - START_NS) / SECOND_NS,
                last.score,
                score,
            )
    return None
