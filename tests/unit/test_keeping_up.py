"""A whole fusion node beyond its capacity, in simulated time: each window costs some of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from nodes.assembly import Assembly
from nodes.fusion import FusionNode
from nodes.health import Health
from nodes.places import fusion_store
from nodes.replay import replay
from pipeline.alignment.aligner import AlignerSettings
from pipeline.config import load_deployment
from pipeline.core.clock import ManualClock
from pipeline.core.event import Event, Phase
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import Window
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.engine import Engine, Scene
from pipeline.detection.evidence import EvidenceKeeper
from pipeline.detection.score import WindowScore
from pipeline.detection.scoring_state import SceneScoring
from pipeline.models.past import Past, ScenePast
from tests.crash.kills import Kills
from tests.crash.link import CaptureNode
from tests.crash.world import World, plain

SECOND = 1_000_000_000
HOP = SECOND // 2
START = 1_700_000_000 * SECOND
HZ = 4
SCENES = ("hall", "yard")
DEPLOYMENT = """
name: two
nodes:
  n-hall: {sources: [{type: csv_file, stream: s-hall, path: a.csv}]}
  n-yard: {sources: [{type: csv_file, stream: s-yard, path: b.csv}]}
scenes:
  hall: {streams: [s-hall]}
  yard: {streams: [s-yard]}
fusion: {record: {folder: recordings}}
"""


class CostlyScorer:
    """A window takes some of the node's time; p falls with the highest value in it."""

    def __init__(self, clock: ManualClock, cost_s: Callable[[str], float]) -> None:
        self.spent_s: dict[str, float] = {}
        self.ages_s: dict[str, list[float]] = defaultdict(list)
        self._clock = clock
        self._cost_s = cost_s

    def prepare(self, sample: Sample) -> Sample:
        return sample

    def check(self, _scene: str, _infos: Sequence[StreamInfo]) -> None:
        return None

    def live(self, scene: str) -> SceneScoring:
        return SceneScoring(scene, "", HOP, ScenePast(Past(1, ())))

    def state(self, _scene: str) -> bytes:
        return b""

    def restore(self, _scene: str, _state: bytes) -> None:
        return None

    def score(self, windows: Sequence[Window]) -> list[WindowScore]:
        return [self._one(window) for window in windows]

    def _one(self, window: Window) -> WindowScore:
        scene, cost_s = window.scene, self._cost_s(window.scene)
        self._clock.advance(round(cost_s * SECOND))
        self.spent_s[scene] = self.spent_s.get(scene, 0.0) + cost_s
        self.ages_s[scene].append((self._clock.now_ns() - window.end_ns) / SECOND)
        (part,) = window.slices.values()
        p = 10.0 ** -float(np.nan_to_num(part.values).max())  # type: ignore[union-attr]
        span = (window.index, window.start_ns, window.end_ns)
        return WindowScore(scene, *span, p, {"sensor": p}, hops=window.hops)


class Site:
    """Two scenes on a node each, and the fusion node that watches both."""

    def __init__(self, folder: Path, cost_s: Callable[[str], float]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "d.yaml").write_text(DEPLOYMENT)
        nodes = {f"n-{s}": CaptureNode(f"n-{s}", [_info(s)]) for s in SCENES}
        self.world = World(load_deployment(folder / "d.yaml"), nodes, self.build)
        self.clock = self.world.clock
        self.clock.move_to(START)
        self.scorer = CostlyScorer(self.clock, cost_s)
        self.registry = CollectorRegistry()
        self.node = self._start()
        self._given = dict.fromkeys(SCENES, 0)

    def build(self, _deployment: object, *, writer: Any = None, **_rest: Any) -> Assembly:
        scenes, streams = [], {scene: (f"s-{scene}",) for scene in SCENES}
        for scene in SCENES:
            aligner = AlignerSettings(scene=scene, streams=streams[scene]).build()
            settings = AlarmSettings(clear_after_s=1.0)
            scenes.append(Scene(scene, aligner, Alarm(settings, scene, 3.0, HOP, widest=4)))
        keeper = EvidenceKeeper(1.0, writer, streams)
        return Assembly(Engine(scenes, streams, self.scorer, keeper), {})  # type: ignore[arg-type]

    def run(self, seconds: float) -> None:
        """Let the site live for so long; where the node has nothing to do time goes by."""
        end_ns = self.clock.now_ns() + round(seconds * SECOND)
        while self.clock.now_ns() < end_ns:
            for scene in SCENES:
                self.give(scene, (self.clock.now_ns() - START) / SECOND)
            before_ns = self.clock.now_ns()
            self.node.step(0.0)
            if self.clock.now_ns() == before_ns:
                self.clock.advance(SECOND // 50)

    def give(self, scene: str, until_s: float, lag_s: float = 0.0) -> None:
        """What a scene shows until a time, stamped so much earlier."""
        for number in range(self._given[scene], int(until_s * HZ)):
            at_s = number / HZ
            level = 5.0 if 40.0 <= at_s < 46.0 else 0.1
            stamp_ns = START + round((at_s - lag_s) * SECOND)
            sample = Sample(f"s-{scene}", 0, stamp_ns, np.array([level]), Encoding.FLOAT)
            self.world.nodes[f"n-{scene}"].give(sample)
            self._given[scene] = number + 1

    def told(self, metric: str, scene: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"fusewatch_{metric}", {"scene": scene, **labels})

    def events(self) -> list[Event]:
        """What the store has, after the node ended."""
        for capture in self.world.nodes.values():
            capture.end()
        for _ in range(20):
            self.node.step(0.0)
            self.clock.advance(SECOND // 10)
        self.node.drain(0.0)
        self.node.close()
        store = fusion_store(self.world.deployment, create=False)
        events = store.events(all_phases=True)
        store.close()
        return list(events)

    def _start(self) -> FusionNode:
        node = self.world._start(Kills())
        node.register(Health(), self.registry)
        return node


def _info(scene: str) -> StreamInfo:
    return StreamInfo(f"s-{scene}", Modality.SENSOR, float(HZ), (1,), "float64", stamp="exact")


def test_a_backlog_of_one_scene_neither_delays_the_other_nor_widens_any_hop(
    tmp_path: Path,
) -> None:
    calm, flooded = (Site(tmp_path / name, lambda _: 0.03) for name in ("calm", "flooded"))
    calm.run(40)
    flooded.give("hall", 600.0, lag_s=600.0)
    flooded.run(40)
    undisturbed, disturbed = (max(s.scorer.ages_s["yard"]) for s in (calm, flooded))
    assert disturbed < undisturbed + 0.7
    assert len(flooded.scorer.ages_s["hall"]) > 900, "what is left is the backlog's"
    assert flooded.told("hop_times", "hall") == flooded.told("hop_times", "yard") == 1
    assert not [e for e in flooded.events() if e.alarm == "overload"]
    calm.node.close()


@pytest.fixture(scope="module")
def overloaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, list[Event]]:
    """The hall's windows cost more than there is, for the first minute and a half."""
    costs = {"hall": 0.6, "yard": 0.05}
    site = Site(tmp_path_factory.mktemp("site"), lambda scene: costs[scene])
    site.run(90)
    site.wide = site.told("hop_times", "hall"), site.told("hop_times", "yard")  # type: ignore[attr-defined]
    site.late = len(site.scorer.ages_s["hall"])  # type: ignore[attr-defined]
    costs["hall"] = 0.05
    site.run(120)
    return site, site.events()


def test_a_scene_beyond_capacity_is_widened_and_catches_up_and_the_other_is_left_alone(
    overloaded: tuple[Site, list[Event]],
) -> None:
    site, _ = overloaded
    assert site.wide == (2, 1)  # type: ignore[attr-defined]
    ages = site.scorer.ages_s
    assert max(ages["hall"]) > 3.0
    assert max(ages["hall"][site.late - 10 : site.late]) < 2.0, "it has caught up"  # type: ignore[attr-defined]
    assert max(ages["yard"]) < 1.8, "which is one window of the other scene and a turn"
    assert site.told("hop_times", "hall") == 1, "narrow again when there is time"
    left_out = site.told("windows_left_out_total", "hall", reason="hop_widened")
    assert left_out is not None
    assert left_out > 50
    cut = site.told("windows_total", "hall", complete="true")
    assert cut == left_out + len(ages["hall"]), "every window is scored or counted"
    assert site.told("windows_left_out_total", "yard", reason="hop_widened") is None


def test_what_it_means_is_told_as_events_before_anything_is_dropped(
    overloaded: tuple[Site, list[Event]],
) -> None:
    site, events = overloaded
    told = [e for e in events if e.alarm == "overload"]
    assert [(e.scene, e.phase) for e in told] == [("hall", Phase.RAISED), ("hall", Phase.CLEARED)]
    assert "every 1 s and not every 0.5 s" in told[0].summary
    alarms = {e.scene: e for e in events if not e.health and e.phase is Phase.RAISED}
    assert alarms["hall"].widened == 2
    assert alarms["yard"].widened == 1
    for node in site.world.nodes.values():
        for account in node.ledger.snapshot().values():
            assert account.captured == account.delivered


def test_its_recording_replays_to_the_same_events(overloaded: tuple[Site, list[Event]]) -> None:
    site, events = overloaded
    files = sorted((site.world.deployment.data.parent / "recordings").glob("*.mcap"))
    files = files or sorted(Path.cwd().glob("recordings/*.mcap"))
    with patch("nodes.replay.build_engine", site.build):
        again = replay(files, site.world.deployment)
    assert [plain(event) for event in again.events] == [plain(event) for event in events]
