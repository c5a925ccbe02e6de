"""The alarm: a state machine over scores. Site time only, no clock, no torch.

A score is ``-log10 p``; the threshold lies on the same scale.

*Quiet.* The first score at or over the threshold opens a candidate. Its start is the window's
end minus one hop: the newest hop is what the window before did not hold. The candidate goes
on while scores stay over the threshold, window after window; one below, or a gap, ends it.
Once it has lasted ``min_duration_s`` it is raised, unless the alarm is cooling down: within
``cooldown_s`` of a clear only a candidate that is worse or different is raised: its peak is
higher than the last event's, or one of its windows shows where no window of that event did, in
another stream or at another place (`pipeline.core.elsewhere`). A candidate that outlasts the
cooldown is raised then.

*Standing.* Scores at or over ``clear_ratio`` of the threshold keep it standing and move its
end. Below, it waits for ``clear_after_s`` and clears; what comes sooner belongs to the same
event. Windows that never came count as time in which nothing was seen: longer than
``clear_after_s``, they clear the alarm too. An update is published at most every
``update_every_s``, and only when there is something new to say; ``clear_after_s`` after the last
phase already where another stream, or something between streams, speaks up by itself.

While the fusion node cannot keep up, windows between those that are scored are left out
(`pipeline.detection.hop`). They are no gap: what a window adds is then all since the last one, and
the threshold is the one that keeps the budget with windows so far apart. All rules but that are in
seconds.

Windows at or before the last one seen are ignored, so that a resumed engine may repeat some. An
event that stands when the alarm gets another name ends under the one it was raised by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import msgspec
from pydantic import Field, field_validator

from pipeline.core.elsewhere import elsewhere
from pipeline.core.event import Phase, event_id, subjects
from pipeline.core.settings import Settings
from pipeline.detection.alarm_state import STATE_VERSION, AlarmState, Span, read_state
from pipeline.detection.budget_text import PERIODS_S, budget_parts, readable_budget
from pipeline.detection.hop import Hop
from pipeline.detection.score import WindowScore
from pipeline.detection.transition import Transition, anomaly_score, severity


class AlarmSettings(Settings):
    """When scores become an event."""

    name: str = "anomaly"
    """Name of the alarm within its scene; part of the event id."""

    budget: str = "2/day"
    """False alarms that may be spent, as ``COUNT/PERIOD``; sets the threshold."""

    min_duration_s: float = Field(default=1.0, ge=0)
    """Raise only when scores stayed over the threshold for this long, seconds."""

    clear_ratio: float = Field(default=0.8, gt=0, le=1)
    """Hysteresis: the score must fall below this share of the threshold to end."""

    clear_after_s: float = Field(default=2.0, ge=0)
    """Clear after scores stayed below for this long; also the merge gap, seconds."""

    cooldown_s: float = Field(default=5.0, ge=0)
    """After a clear, raise anew only what is worse or shows elsewhere within this time, seconds."""

    update_every_s: float = Field(default=10.0, gt=0)
    """Publish an update of a standing alarm at most this often, seconds."""

    @field_validator("budget")
    @classmethod
    def _readable(cls, value: str) -> str:
        return readable_budget(value)

    @property
    def false_alarms_hz(self) -> float:
        """The budget as a rate, false alarms per second."""
        return self.allowed / PERIODS_S[self.period]

    @property
    def allowed(self) -> float:
        """False alarms that may be spent in one `period`."""
        return budget_parts(self.budget)[0]

    @property
    def period(self) -> str:
        """What the budget is told in: ``minute``, ``hour``, ``day`` or ``week``."""
        return budget_parts(self.budget)[1]


class Alarm:
    """The alarm of one scene.

    Args:
        settings: Its rules.
        scene: Name of the scene.
        threshold: Score from which on a window is anomalous.
        hop_ns: Step from one window to the next.
        wide: Threshold for windows so many times further apart; None: the same.
        widest: They become at most so many times further apart.

    Attributes:
        hop: Which windows of the scene are scored.
    """

    def __init__(
        self,
        settings: AlarmSettings,
        scene: str,
        threshold: float,
        hop_ns: int,
        wide: Callable[[int], float] | None = None,
        widest: int = 1,
    ) -> None:
        self.settings = settings
        self.threshold = threshold
        self.hop = Hop(scene, hop_ns, widest)
        self._wide = wide
        self._thresholds = {1: threshold}
        self._hop_ns = hop_ns
        self._state = AlarmState(STATE_VERSION, scene, settings.name, hop=self.hop.state)

    @property
    def standing(self) -> bool:
        """Whether an event is raised and not yet cleared."""
        return self._state.event is not None

    @property
    def last_index(self) -> int | None:
        """Index of the last window taken in."""
        return self._state.last_index

    def threshold_of(self, score: WindowScore) -> float:
        """The threshold for a window, by how many before it were left out."""
        times = 1 << (score.hops - 1).bit_length()
        if times not in self._thresholds:
            self._thresholds[times] = self._wide(times) if self._wide else self.threshold
        return self._thresholds[times]

    def update(self, score: WindowScore) -> list[Transition]:
        """Take in the score of the next window."""
        state = self._state
        if state.last_index is not None and score.index <= state.last_index:
            return []
        gap = state.last_index is not None and score.index != state.last_index + score.hops
        found = self._gap(score) if gap else []
        state.hops = score.hops
        level = anomaly_score(score.p)
        if state.event is not None:
            found += self._standing(state.event, score, level)
        else:
            found += self._quiet(score, level)
        state.last_index, state.last_end_ns = score.index, score.end_ns
        return found

    def finish(self) -> list[Transition]:
        """The scene has ended for good: clear what stands."""
        self._state.candidate = None
        return [] if self._state.event is None else [self._clear(self._state.event)]

    def state(self) -> bytes:
        """Everything remembered, as JSON."""
        return msgspec.json.encode(self._state)

    def restore(self, data: bytes) -> Self:
        """Go on from `state`'s bytes, under the settings and threshold of this alarm.

        Raises:
            StoreError: The bytes are not the state of this scene's alarm.
        """
        self._state = read_state(data, self._state.scene)
        if not self.standing:
            self._state.alarm = self.settings.name
        self.hop.state = self._state.hop
        return self

    def renumber(self, index: int) -> None:
        """Go on with window `index` as the next one, the hop being another than before."""
        self._state.last_index, self._state.hop.row = index - 1, 0

    def _gap(self, score: WindowScore) -> list[Transition]:
        state = self._state
        state.candidate = None
        if state.event is None:
            return []
        state.event.listening.pause()
        silent_ns = score.end_ns - score.hops * self._hop_ns - state.event.end_ns
        return [self._clear(state.event)] if silent_ns >= self._ns("clear_after_s") else []

    def _quiet(self, score: WindowScore, level: float) -> list[Transition]:
        state, threshold = self._state, self.threshold_of(score)
        if not level >= threshold:
            state.candidate = None
            return []
        if state.candidate is None:
            start_ns = score.end_ns - score.hops * self._hop_ns
            state.candidate = Span(start_ns, score.end_ns, score, level)
        span = state.candidate
        span.extend(score, level, threshold)
        self._listen(span, score, threshold)
        lasted = span.end_ns - span.start_ns >= self._ns("min_duration_s")
        if not lasted or self._cooling(score.end_ns, span):
            return []
        state.candidate, state.event, state.revision = None, span, 0
        return [self._publish(span, Phase.RAISED, score.end_ns)]

    def _cooling(self, now_ns: int, span: Span) -> bool:
        state = self._state
        if state.cleared_ns is None or now_ns - state.cleared_ns > self._ns("cooldown_s"):
            return False
        # Without explanations nothing but the score can tell two events apart.
        known = state.cleared_shown
        different = bool(known) and any(elsewhere(found, known) for found in span.shown)
        return span.score <= state.cleared_score and not different

    def _standing(self, span: Span, score: WindowScore, level: float) -> list[Transition]:
        state, threshold = self._state, self.threshold_of(score)
        self._listen(span, score, threshold)
        if level >= threshold * self.settings.clear_ratio:
            span.extend(score, level, threshold)
        elif score.end_ns - span.end_ns >= self._ns("clear_after_s"):
            return [self._clear(span, score.end_ns)]
        wait_ns = self._ns("update_every_s")
        if subjects(span.listening.heard) > subjects(state.told):
            wait_ns = min(wait_ns, self._ns("clear_after_s"))
        due = score.end_ns - state.published_ns >= wait_ns
        if not due or span.end_ns == state.published_end_ns:
            return []
        state.revision += 1
        return [self._publish(span, Phase.UPDATED, score.end_ns)]

    def _listen(self, span: Span, score: WindowScore, threshold: float) -> None:
        since_ns = score.end_ns - score.hops * self._hop_ns
        span.listening.take(score, threshold, since_ns, self._ns("min_duration_s"))

    def _clear(self, span: Span, now_ns: int | None = None) -> Transition:
        state = self._state
        state.revision += 1
        # After a gap nothing tells when it ended: the cooldown counts from when it was due.
        due_ns = span.end_ns + self._ns("clear_after_s")
        state.cleared_ns = due_ns if now_ns is None else now_ns
        state.cleared_score, state.cleared_shown = span.score, span.shown
        state.event = None
        told = self._publish(span, Phase.CLEARED, state.cleared_ns)
        state.alarm = self.settings.name
        return told

    def _publish(self, span: Span, phase: Phase, now_ns: int) -> Transition:
        state = self._state
        state.published_ns, state.published_end_ns = now_ns, span.end_ns
        state.told = sorted(span.listening.heard)
        return Transition(
            id=event_id(state.scene, state.alarm, span.start_ns),
            revision=state.revision,
            scene=state.scene,
            alarm=state.alarm,
            phase=phase,
            severity=severity(
                span.score - self.threshold_of(span.peak), span.end_ns - span.start_ns
            ),
            start_ns=span.start_ns,
            end_ns=span.end_ns,
            p=span.peak.p,
            score=span.score,
            peak=span.peak,
            heard=dict(sorted(span.listening.heard.items())),
            widened=state.hops,
        )

    def _ns(self, setting: str) -> int:
        return round(float(getattr(self.settings, setting)) * 1e9)
