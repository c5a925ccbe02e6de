"""Whether a fusion node keeps up: what its work costs, who waits, and how wide hops become.

It measures the node's own time and so decides what no replay could. What it decides is committed
with the scene first, and then said to the engine and the recording (`HopSet`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from nodes.arrival_turns import TURN_S
from nodes.flows import flows_of
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import Arrival, HopSet, SampleArrived
from pipeline.core.clock import Clock
from pipeline.detection.engine import Engine
from pipeline.detection.outcome import Outcome, SceneState
from pipeline.detection.overload import Overload
from pipeline.detection.workload import Workload

SECOND_NS = 1_000_000_000
LOOK_NS = SECOND_NS // 2
UNKNOWN_S = TURN_S / 16
"""What an arrival of a queue of which nothing came yet is taken to cost."""


class KeepingUp:
    """See the module.

    Args:
        deployment: Its scenes, and what is done when there are too many.
        engine: The engine, as it was restored.
        clock: Node time.
    """

    def __init__(self, deployment: Deployment, engine: Engine, clock: Clock) -> None:
        self.flows = flows_of(deployment)
        self._engine = engine
        self._clock = clock
        self._users: dict[str, list[str]] = {}
        for scene, settings in deployment.scenes.items():
            for stream in settings.streams:
                self._users.setdefault(stream, []).append(scene)
        self._work = Workload({n: s.hop_s for n, s in deployment.scenes.items()})
        widest = {name: hop.widest for name, hop in engine.hops().items()}
        self._overload = Overload(deployment.fusion.overload, self._work, widest)
        self._began_ns = self._arrivals_ns = self._looked_ns = 0
        self._spent_s = dict(engine.spent_s)
        self.lags_ns: dict[str, int] = {}
        self.news = False
        """Whether it looked in this turn."""

    @property
    def times(self) -> dict[str, int]:
        """How many times as wide as set the hop of each scene is."""
        return {name: hop.times for name, hop in self._engine.hops().items()}

    @property
    def needed(self) -> dict[str, float]:
        """Share of the node's time that each scene with a model needs."""
        return self._overload.needed(self.times)

    def cost(self, flow: str) -> float:
        """What an arrival of a queue costs with all that comes of it, seconds."""
        scenes = self.flows.scenes.get(flow, ())
        cost_s = self._work.of_arrival(scenes) if scenes else 0.0
        return UNKNOWN_S if cost_s is None else cost_s

    def begin(self) -> None:
        """A turn of work begins."""
        self._began_ns, self._arrivals_ns = self._clock.now_ns(), 0

    def arrived(self, arrival: Arrival, began_ns: int) -> int:
        """An arrival was taken, which was begun then; the time now."""
        now_ns = self._clock.now_ns()
        if isinstance(arrival, SampleArrived):
            scenes = self._users.get(arrival.sample.stream, ())
            self._work.arrived(scenes, (now_ns - began_ns) / SECOND_NS)
        self._arrivals_ns += now_ns - began_ns
        return now_ns

    def decide(self, lags_ns: Callable[[], Mapping[str, int]]) -> dict[str, SceneState]:
        """See now and then who waits; states of scenes to be committed whose hop is to change.

        Args:
            lags_ns: Tells how long the first that waits has waited, by queue.
        """
        now_ns = self._clock.now_ns()
        self.news = now_ns - self._looked_ns >= LOOK_NS
        if not self.news:
            return {}
        self._looked_ns, of_flow = now_ns, lags_ns()
        of_scene = self.flows.of_scene
        self.lags_ns = {name: of_flow.get(flow, 0) for name, flow in of_scene.items()}
        chosen = self._overload.look(now_ns, self.lags_ns, self.times)
        return self._engine.decide(chosen, self.lags_ns) if chosen else {}

    def said(self, decided: Iterable[str], at_ns: int) -> Iterator[HopSet]:
        """What was decided of scenes and is committed, for the recording and the engine."""
        hops = self._engine.hops() if decided else {}
        for scene in decided:
            yield from hops[scene].said(at_ns)

    def standing(self, at_ns: int) -> Iterator[HopSet]:
        """What holds when the node begins."""
        for hop in self._engine.hops().values():
            yield from hop.said(at_ns)

    def end(self, outcome: Outcome) -> None:
        """The turn is over."""
        now_ns = self._clock.now_ns()
        cut = Counter(window.scene for window in outcome.windows)
        scored = Counter(score.scene for score in outcome.scores)
        spent_s = {name: self._engine.spent_s.get(name, 0.0) for name in scored}
        scoring_s = {n: all_s - self._spent_s.get(n, 0.0) for n, all_s in spent_s.items()}
        self._spent_s |= spent_s
        rest_s = (now_ns - self._began_ns - self._arrivals_ns) / SECOND_NS - sum(scoring_s.values())
        self._work.turned(cut, scored, scoring_s, max(rest_s, 0.0), now_ns)
