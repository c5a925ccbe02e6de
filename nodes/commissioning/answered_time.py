"""What was answered to a scene's alarms, for learning from the time that they are of.

The recordings of a site that is watched hold what was wrong there, too. What was called *real* or
a *fault* is no normal, and what nobody said anything of may be either. What was called *normal*, or
is held back as it is like such, is what the site has yet to learn, and so is all that raised no
alarm.

What was wrong was there before its alarm was raised, as a rule, and often after it was over: some
seconds on either side are left out with it, if they were not called normal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing

from nodes.budget_words import alarm_count
from nodes.exemptions import worst
from nodes.places import answer_store, fusion_store
from nodes.withholding import Withholding
from pipeline.config.deployment import Deployment
from pipeline.core.event import Event
from pipeline.core.window import Window
from pipeline.store import Verdict, verdict_of
from pipeline.training.budget_preview import KnownEvents
from pipeline.training.labels import SECOND_NS, Label

_MINUTE_S = 60.0
_BESIDE_S = 10.0  # of an alarm, and a window at least
_WRONG = (Verdict.REAL, Verdict.FAULT)
_NOT_NORMAL = (*_WRONG, None)


def answered_time(deployment: Deployment, scene: str, start_ns: int) -> AnsweredTime:
    """Read what was answered to a scene's alarms.

    Args:
        deployment: The deployment.
        scene: Which of its scenes.
        start_ns: Site time of second 0 of the recordings.

    Raises:
        StoreError: The events or the answers cannot be read, or there are none.
    """
    with (
        closing(fusion_store(deployment, create=False)) as events,
        closing(answer_store(deployment, create=False)) as answers,
    ):
        held_back = Withholding(events, answers, deployment.feedback).rules()
        standing = answers.standing()
        found: dict[Verdict | None, list[Label]] = {}
        for one in events.events(scene, since_ns=start_ns):
            if one.health:
                continue
            phases = events.life(one.id)
            verdict = verdict_of(standing.get(one.id, ()))
            if verdict is None and (why := held_back.of(phases)) is not None and why.like:
                verdict = Verdict.NORMAL
            label = _label(worst(phases) or one, verdict, start_ns)
            found.setdefault(verdict, []).append(label)
    settings = deployment.scenes[scene]
    return AnsweredTime(found, start_ns, settings.window_s, settings.hop_s)


def _label(event: Event, verdict: Verdict | None, start_ns: int) -> Label:
    return Label(
        (event.start_ns - start_ns) / SECOND_NS,
        (event.end_ns - start_ns) / SECOND_NS,
        "" if verdict is None else verdict.value,
        description=event.summary,
    )


class AnsweredTime:
    """A scene's alarms by what was said of them, and how much of what is learnt they are.

    Args:
        alarms: When they were, by what they were called; under None those that nobody called
            anything.
        start_ns: Site time of second 0.
        window_s: Length of a window, seconds.
        hop_s: Step from one window to the next, seconds.
    """

    def __init__(
        self,
        alarms: Mapping[Verdict | None, Sequence[Label]],
        start_ns: int,
        window_s: float,
        hop_s: float,
    ) -> None:
        self._margin_s = max(_BESIDE_S, window_s)
        self._alarms = {
            verdict: KnownEvents(tuple(labels), start_ns) for verdict, labels in alarms.items()
        }
        self._hop_s = hop_s
        self._seen: dict[Verdict | None, set[Label]] = {verdict: set() for verdict in alarms}
        self._left_out = 0

    @property
    def wrong(self) -> tuple[Label, ...]:
        """What was called real or a fault."""
        known = (self._alarms.get(verdict, KnownEvents()) for verdict in _WRONG)
        return tuple(label for one in known for label in one.labels)

    def counted(self, windows: Iterable[Window], all_of_them: bool) -> Iterator[Window]:
        """The windows, counted by what was said of the alarms near them.

        Args:
            windows: Of the recordings, in order.
            all_of_them: Also those near an alarm that was called real or a fault, or nothing.
        """
        for window in windows:
            near = {verdict: known.near(window) for verdict, known in self._alarms.items()}
            for verdict, labels in near.items():
                self._seen[verdict].update(labels)
            if all_of_them or self._normal(window, near):
                yield window
            else:
                self._left_out += 1

    def _normal(self, window: Window, near: Mapping[Verdict | None, Sequence[Label]]) -> bool:
        """Whether a window lies near nothing but what was called normal."""
        if any(near.get(verdict) for verdict in _NOT_NORMAL):
            return False
        if near.get(Verdict.NORMAL):
            return True
        known = (self._alarms.get(verdict, KnownEvents()) for verdict in _NOT_NORMAL)
        return not any(one.near(window, self._margin_s) for one in known)

    def words(self) -> str:
        """How many alarms of these windows were called what."""
        called = {verdict.value: len(self._seen.get(verdict, ())) for verdict in Verdict}
        return ", ".join(f"{count} {name}" for name, count in called.items())

    def learnt_though_wrong(self) -> Iterator[str]:
        """A warning where alarms that were no normal are learnt as such."""
        seen = {verdict: len(self._seen.get(verdict, ())) for verdict in _WRONG}
        if any(seen.values()):
            called = " and ".join(f"{count} {v.value}" for v, count in seen.items() if count)
            yield (
                f"alarms of this time were called {called}, and are learnt as normal; --answers "
                "leaves them out, and tells whether they would be found"
            )

    def left_out(self) -> Iterator[str]:
        """A warning where alarms that nobody called anything are not learnt."""
        if unknown := len(self._seen.get(None, ())):
            minutes = self._left_out * self._hop_s / _MINUTE_S
            yield (
                f"nobody answered {alarm_count(unknown)} of this time: they are not learnt "
                f"({minutes:.1f} minutes with all that was called real or a fault), and what was "
                "normal of them is told again; answer on the page or by `fusewatch feedback "
                "answer`, and commission once more"
            )
