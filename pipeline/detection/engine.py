"""The engine: arrivals in, events out, with no socket and no wall clock in it.

The live fusion node, the replay of a recording and the golden tests drive the same object.
The rules that make a replay give the events of the live run:

- Before an arrival is taken, every timer due by its ``arrival_ns`` fires; after it, windows
  that it completed are cut with that same time. Calls of `advance` in between change nothing.
- What an event quotes of the world around it (the ledger, the pictures) is fixed when its
  window is cut or its scene is over, not when it happens to be scored.
- What is told of the equipment (`Equipment`) has its place among the windows: streams that drift
  apart, a scene fallen silent and one that is over after those cut up to then, streams that cannot
  see in a window right after what its score gave.
- A window's score does not depend on what is scored with it, see `Scorer`.
- Which windows are scored when there are too many is an arrival too (`HopSet`), which says
  from which window on it holds.

After a crash, `restore` puts each scene where its last commit left it. The capture nodes then
send again what was not committed; until they are back, the timers stand still, and so they do
while the fusion node was away, see `pipeline.detection.resume_hold`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import structlog

from pipeline.core.arrival import (
    Arrival,
    HopSet,
    LedgerReport,
    SampleArrived,
    StreamEnded,
    StreamOpened,
    fusion_began,
)
from pipeline.core.event import Event
from pipeline.core.sample import Sample
from pipeline.core.window import Window
from pipeline.detection.accounts import Accounts
from pipeline.detection.cut import Cut
from pipeline.detection.due_scenes import DueScenes
from pipeline.detection.engine_scene import Scene
from pipeline.detection.equipment import Equipment, SceneOver
from pipeline.detection.events import event_of
from pipeline.detection.evidence import EvidenceKeeper
from pipeline.detection.hop import Hop
from pipeline.detection.incidents import Incidents
from pipeline.detection.intake import Intake
from pipeline.detection.outcome import Outcome, SceneState
from pipeline.detection.resume_hold import ResumeHold
from pipeline.detection.scene_states import SceneStates
from pipeline.detection.score import WindowScore
from pipeline.detection.scorer import Scorer
from pipeline.detection.scoring_state import SceneScoring
from pipeline.detection.transition import Transition

log = structlog.get_logger(__name__)


class Engine:
    """Aligns, scores and alarms all scenes of one fusion process.

    Args:
        scenes: The scenes with their aligners and alarms.
        streams: Streams of each scene, by scene name.
        scorer: Scores windows of all scenes that have a model; None: align only.
        evidence: Keeps pictures and sound around events; None: events carry none.
        prepare: Makes a sample ready for the model when it arrives; None: the scorer's own.
        health: Watches the equipment; None: nobody does.
        incidents: Finds which events belong together; None: by its default settings.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        streams: Mapping[str, Sequence[str]],
        scorer: Scorer | None,
        evidence: EvidenceKeeper | None = None,
        prepare: Callable[[Sample], Sample] | None = None,
        health: Equipment | None = None,
        incidents: Incidents | None = None,
    ) -> None:
        self._scenes = {scene.name: scene for scene in scenes}
        self._scorer = scorer
        self._evidence = evidence
        self.health = health or Equipment()
        self.incidents = incidents or Incidents()
        self._states = SceneStates(scorer, self.health.sight, evidence)
        self._accounts = Accounts(streams)
        self._cuts: list[Cut] = []
        self._due = DueScenes(scenes)
        prepare = prepare or (scorer.prepare if scorer is not None else None)
        self._intake = Intake(self._due, streams, scorer, prepare, self.health, evidence)
        self._timers = ResumeHold(self._intake.users)
        self._taken_ns: int | None = None

    @property
    def corrupt(self) -> Mapping[str, int]:
        """Samples that could not be read, by stream."""
        return self._intake.corrupt

    @property
    def unfit(self) -> Mapping[tuple[str, str], str]:
        """Why a scene goes on without a stream, as ``(scene, stream)``."""
        return self._intake.unfit

    def restore(self, states: Mapping[str, SceneState], now_ns: int) -> None:
        """Go on where the last commit left off; timers wait for the streams to come back."""
        for name, state in states.items():
            scene = self._scenes.get(name)
            if scene is not None:
                self._due.stir(scene)
                self._states.restore(scene, state)
                self._timers.hold(now_ns)

    def take(self, arrival: Arrival) -> None:
        """Take one arrival; windows that it completes wait for `collect`."""
        if arrival == fusion_began(arrival.arrival_ns) and self._taken_ns is not None:
            self._timers.away(arrival.arrival_ns - self._taken_ns)
        self._taken_ns = arrival.arrival_ns
        if isinstance(arrival, HopSet):
            self._set_hop(arrival)
        self.health.begin(arrival)
        self.advance(arrival.arrival_ns)
        self.health.hear(arrival)
        match arrival:
            case StreamOpened():
                self._intake.open(arrival)
                self._timers.opened(arrival.info.name)
            case SampleArrived():
                self._intake.push(arrival)
            case StreamEnded(stream=stream):
                self._intake.end(stream)
            case LedgerReport(accounts=accounts):
                self._accounts = self._accounts.after(accounts)
        self._cut(arrival.arrival_ns)
        self.health.look(arrival.arrival_ns, self._accounts, len(self._cuts))
        if isinstance(arrival, StreamEnded):
            for scene in self._intake.users.get(arrival.stream, ()):
                if scene.name in self._intake.over:
                    self.health.over(scene.name, self._accounts, len(self._cuts))

    def advance(self, now_ns: int) -> None:
        """Let timers run up to `now_ns`."""
        while (silent := self.health.silent(now_ns)) is not None:
            self._cut(silent.now_ns)
            self.health.keep(silent, self._accounts, len(self._cuts))
        deadline_ns = self._next_cut_ns()
        if self._timers.holding or (deadline_ns is not None and deadline_ns <= now_ns):
            self._cut(now_ns)

    def next_deadline_ns(self) -> int | None:
        """When `advance` may have something to do without any further arrival."""
        due = (self._next_cut_ns(), self.health.next_ns)
        return min((time_ns for time_ns in due if time_ns is not None), default=None)

    def collect(self) -> Outcome:
        """Score the windows that wait, run the alarms, and say what to commit."""
        cuts, self._cuts = self._cuts, []
        outcome = Outcome(windows=[cut.window for cut in cuts])
        scored = [cut for cut in cuts if self._is_scored(cut)]
        outcome.left_out = dict(Counter(cut.window.scene for cut in cuts if cut.left_out))
        if self._scorer is not None and scored:
            outcome.scores = self._scorer.score([cut.window for cut in scored])
        outcome.events = list(self._tell(cuts, iter(outcome.scores)))
        over = self._over()
        for name in over:
            outcome.events.extend(self._finish(name, self._accounts))
        outcome.events = [self.incidents.marked(event) for event in outcome.events]
        moved = [*(cut.window.scene for cut in cuts), *(e.scene for e in outcome.events), *over]
        outcome.states = self._states.of(self._scenes[name] for name in dict.fromkeys(moved))
        return outcome

    def hops(self) -> dict[str, Hop]:
        """The hop of each scene that has a model."""
        scenes = self._scenes.values()
        return {scene.name: scene.alarm.hop for scene in scenes if scene.alarm is not None}

    def decide(self, times: Mapping[str, int], lags_ns: Mapping[str, int]) -> dict[str, SceneState]:
        """Let the hop of scenes be so many times as wide from their next windows on.

        To be called after `collect`; what it gives must be committed before `Hop.said` is taken.
        """
        for name, wide in times.items():
            scene = self._scenes[name]
            index = scene.aligner.next_index
            if scene.alarm is not None and index is not None:
                scene.alarm.hop.decide(wide, index, lags_ns.get(name, 0))
        return self._states.of(self._scenes[name] for name in times)

    def newly_released(self) -> dict[str, int]:
        """Per stream the highest sequence that no window to come needs; call after `collect`.

        Of the streams of which it may be another than at the last call.
        """
        return self._intake.releases.new(self._intake.ended)

    @property
    def spent_s(self) -> Mapping[str, float]:
        """What scoring took so far of each scene, seconds; no part of what it says."""
        return {} if self._scorer is None else self._scorer.spent_s

    def live(self, scenes: Iterable[str] | None = None) -> dict[str, SceneScoring]:
        """What the scoring of each scene that has a model remembers; of these scenes, or all."""
        if self._scorer is None:
            return {}
        names = self._scenes if scenes is None else scenes
        scored = [name for name in names if self._scenes[name].alarm is not None]
        return {name: self._scorer.live(name) for name in scored}

    def discarded(self) -> dict[tuple[str, str, str], int]:
        """Samples that the aligners refused, by scene, stream and reason."""
        return {
            (name, stream, reason.value): count
            for name, scene in self._scenes.items()
            for stream, counts in scene.aligner.counts.items()
            for reason, count in counts.discarded.items()
        }

    def _over(self) -> list[str]:
        """Scenes that nothing more can come from, and of which an event still stands."""
        if not self._intake.over:
            return []
        return [name for name in self._scenes if name in self._intake.over and self._stands(name)]

    def _stands(self, name: str) -> bool:
        """Whether an event of a scene has not been cleared."""
        alarm = self._scenes[name].alarm
        return (alarm is not None and alarm.standing) or self.health.stands(name)

    def _finish(self, name: str, accounts: Accounts) -> Iterable[Event]:
        alarm = self._scenes[name].alarm
        for transition in alarm.finish() if alarm is not None else ():
            yield self._publish(transition, None, accounts)
        yield from self.health.finish(name, accounts)

    def _cut(self, now_ns: int) -> None:
        for window in self._due.cut(self._timers.now_ns(now_ns)):
            unfit = frozenset(s for name, s in self.unfit if name == window.scene)
            alarm = self._scenes[window.scene].alarm
            hops = 1 if alarm is None else alarm.hop.hops(window.index)
            shown = window if hops < 2 else replace(window, hops=hops)
            self._cuts.append(Cut(shown, self._accounts, unfit, left_out=not hops))

    def _next_cut_ns(self) -> int | None:
        first_ns = self._due.next_ns()
        return self._timers.next_ns([] if first_ns is None else [first_ns])

    def _tell(self, cuts: Sequence[Cut], scores: Iterator[WindowScore]) -> Iterator[Event]:
        """Events of these windows, and what is told of the equipment, in order."""
        for place, cut in enumerate(cuts):
            yield from self._of_equipment(self.health.told(place))
            if cut.left_out:
                continue
            score = next(scores) if self._is_scored(cut) else None
            if score is not None:
                yield from self._alarm(cut, score)
            yield from self.health.sight.see(cut, score)
        yield from self._of_equipment(self.health.told())

    def _is_scored(self, cut: Cut) -> bool:
        return self._scenes[cut.window.scene].alarm is not None and not cut.left_out

    def _set_hop(self, said: HopSet) -> None:
        scene = self._scenes.get(said.scene)
        if scene is None or scene.alarm is None:
            return
        hop = scene.alarm.hop
        if hop.take(said):
            self.health.hop.take(said, hop)

    def _of_equipment(self, told: Iterable[Event | SceneOver]) -> Iterator[Event]:
        for one in told:
            if isinstance(one, SceneOver):
                if self._stands(one.scene):
                    yield from self._finish(one.scene, one.accounts)
            else:
                yield one

    def _alarm(self, cut: Cut, score: WindowScore) -> Iterable[Event]:
        alarm = self._scenes[cut.window.scene].alarm
        if alarm is None:
            return
        if self._evidence is not None:
            self._evidence.scored(score, alarm.threshold_of(score))
        for transition in alarm.update(score):
            yield self._publish(transition, cut.window, cut.accounts)

    def _publish(self, transition: Transition, window: Window | None, accounts: Accounts) -> Event:
        event = event_of(transition, accounts.of(transition.scene))
        if self._evidence is None:
            return event
        return self._evidence.attach(event, window, transition.peak.start_ns)
