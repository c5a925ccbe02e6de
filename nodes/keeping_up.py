"""Whether a fusion node keeps up: what its work costs, who waits, and how wide hops become.

It measures the node's own time and so decides what no replay could. What it decides is committed
with the scene first, and then said to the engine and the recording (`HopSet`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

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
        self._began_ns = self._arrivals_ns = 0
        self._spent_s = engine.spent_s()
        self.lags_ns: dict[str, int] = {}

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

    def decide(self, outcome: Outcome, lags_ns: Mapping[str, int]) -> dict[str, SceneState]:
        """See who waits; states of scenes to be committed whose hop is to change.

        Args:
            outcome: Of this turn.
            lags_ns: How long the first that waits has waited, by queue.
        """
        of_scene = self.flows.of_scene
        self.lags_ns = {name: lags_ns.get(flow, 0) for name, flow in of_scene.items()}
        chosen = self._overload.look(self._clock.now_ns(), self.lags_ns, self.times)
        return self._engine.decide(chosen, self.lags_ns) if chosen else {}

    def said(self, at_ns: int) -> Iterator[HopSet]:
        """What was decided and is committed, to be recorded and said to the engine."""
        for hop in self._engine.hops().values():
            if hop.state.decided is not None:
                yield from hop.said(at_ns)

    def standing(self, at_ns: int) -> Iterator[HopSet]:
        """What holds when the node begins."""
        for hop in self._engine.hops().values():
            yield from hop.said(at_ns)

    def end(self, outcome: Outcome) -> None:
        """The turn is over."""
        now_ns = self._clock.now_ns()
        cut = Counter(window.scene for window in outcome.windows)
        scored = Counter(score.scene for score in outcome.scores)
        before, self._spent_s = self._spent_s, self._engine.spent_s()
        scoring_s = {n: all_s - before.get(n, 0.0) for n, all_s in self._spent_s.items()}
        rest_s = (now_ns - self._began_ns - self._arrivals_ns) / SECOND_NS - sum(scoring_s.values())
        self._work.turned(cut, scored, scoring_s, max(rest_s, 0.0), now_ns)
