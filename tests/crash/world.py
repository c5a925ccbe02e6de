"""A whole run of a fusion node over a script of samples, killed where a test says so.

The node is the real one with its real store, engine, recorder and evidence; the links are those
of `tests.crash.link`, and time is moved by the script. What a run told is compared with what an
undisturbed one told: every event to the letter but for the loss ledger, whose figures say how
far the samples were when it was read, and every score.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from nodes.assembly import Assembly, build_engine
from nodes.fusion import FusionNode
from nodes.places import fusion_store
from nodes.recorder import Recorder
from pipeline.config import Deployment
from pipeline.core.clock import ManualClock
from pipeline.core.event import Event, to_json
from pipeline.core.ledger import missing
from pipeline.core.sample import Sample
from pipeline.detection.evidence_files import EvidenceFiles
from pipeline.detection.score import WindowScore
from tests.crash.kills import Killed, Kills
from tests.crash.link import AlertNode, CaptureNode, LoopEvents, LoopReceiver

LAST_TURNS = 8
Build = Callable[..., Assembly]


@dataclass(frozen=True)
class Turn:
    """One turn of the loop: the time, and what was captured until then, by node."""

    now_ns: int
    samples: Mapping[str, Sequence[Sample]]


@dataclass
class Told:
    """What a run told.

    Attributes:
        events: Every phase, as the store has it, ledgers aside.
        handed_on: Keys in the order in which the alert node first had them.
        scores: Of each window, by scene and index.
    """

    events: list[bytes]
    handed_on: list[str]
    scores: dict[tuple[str, int], WindowScore]


@dataclass
class World:
    """Everything around the fusion node, which outlives it.

    Attributes:
        deployment: As it was loaded.
        nodes: The capture nodes, by name.
        build: Makes the engine.
        lives: How often the fusion node was started.
        scores: Of each window that was scored.
        differing: Windows that were scored again with another result.
        steps: Points passed by the end of each turn.
    """

    deployment: Deployment
    nodes: Mapping[str, CaptureNode]
    build: Build = build_engine
    clock: ManualClock = field(default_factory=ManualClock)
    alert: AlertNode = field(default_factory=AlertNode)
    lives: int = 0
    scores: dict[tuple[str, int], WindowScore] = field(default_factory=dict)
    differing: list[tuple[str, int]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    _files: EvidenceFiles | None = None

    def run(
        self, turns: Sequence[Turn], kills: Kills, down_turns: int = 0, first_turn: int = 0
    ) -> Told:
        """Drive a fusion node through the script, and start it again whenever it was killed.

        Args:
            turns: The script.
            kills: Where it is killed.
            down_turns: How many turns pass without it after a kill.
            first_turn: The turn in which it begins.
        """
        with kills.inside_transactions():
            node = self._live(turns, kills, down_turns, first_turn)
        return self._end(node)

    def _live(
        self, turns: Sequence[Turn], kills: Kills, down_turns: int, away: int = 0
    ) -> FusionNode:
        """The last fusion node of the run, after it drained."""
        node: FusionNode | None = None
        for turn in [*turns, *_rest(turns)]:
            over = turn.now_ns > turns[-1].now_ns
            self._capture(turn, over=over)
            if away > 0 and not over:
                away -= 1
                continue
            try:
                node = node or self._start(kills)
                node.step(0.0)
            except Killed as killed:
                self._bury(killed)
                node, away = None, down_turns
            self.steps.append(len(kills.passed))
        try:
            node = node or self._start(kills)
            node.drain(0.0)
        except Killed as killed:
            self._bury(killed)
            return self._live(turns[-1:], kills, 0)
        return node

    def _capture(self, turn: Turn, *, over: bool) -> None:
        fresh = turn.now_ns > self.clock.now_ns()
        self.clock.move_to(turn.now_ns)
        for name, samples in turn.samples.items() if fresh else ():
            for sample in samples:
                self.nodes[name].give(sample)
        for node in self.nodes.values() if over else ():
            node.end()

    def _start(self, kills: Kills) -> FusionNode:
        self.lives += 1
        made = {
            "build_engine": lambda *a, **k: self._engine(kills, self.build(*a, **k)),
            "fusion_store": lambda d: kills.watch("store", fusion_store(d)),
            "EvidenceFiles": lambda folder, **_: kills.watch("evidence", self._evidence(folder)),
            "Recorder": lambda d: kills.watch("recorder", Recorder(d)),
            "event_sender": lambda *_: kills.watch("events", LoopEvents(self.alert)),
            "sample_receiver": lambda _d, clock, resume: kills.watch(
                "receiver", LoopReceiver(list(self.nodes.values()), clock, resume)
            ),
        }
        node = FusionNode(self.deployment, self.clock)
        with patch.multiple("nodes.fusion", **made):
            node.start()
        return node

    def _evidence(self, folder: Path) -> EvidenceFiles:
        self._files = EvidenceFiles(folder)
        return self._files

    def _bury(self, killed: Killed) -> None:
        """What the kernel does for a process that ends: its threads, files and locks are gone."""
        traceback.clear_frames(killed.__traceback__)
        if self._files is not None:
            self._files._report = lambda *_: None  # type: ignore[method-assign]
            for worker in (self._files._quick, self._files._slow):
                worker.shutdown(wait=True, cancel_futures=True)

    def _engine(self, kills: Kills, assembly: Assembly) -> Assembly:
        engine = kills.watch("engine", assembly.engine)
        collect = engine.collect

        def noted() -> Any:
            outcome = collect()
            for score in outcome.scores:
                place = (score.scene, score.index)
                if self.scores.setdefault(place, score) != score:
                    self.differing.append(place)
            return outcome

        engine.collect = noted
        return assembly

    def _end(self, node: FusionNode) -> Told:
        store = fusion_store(self.deployment, create=False)
        events = store.events(all_phases=True)
        left = store.unforwarded()
        store.close()
        node.close()
        if left:
            raise AssertionError(f"{len(left)} events were not handed on")
        for capture in self.nodes.values():
            accounts = capture.ledger.snapshot()
            lost = {n: a for n, a in accounts.items() if a.captured != a.delivered}
            if lost or missing(accounts):
                raise AssertionError(f"the ledger does not add up: {lost}")
        return Told([plain(event) for event in events], list(self.alert.bodies), self.scores)


def plain(event: Event) -> bytes:
    """An event to the letter, its ledger aside."""
    return to_json(replace(event, ledger={}))


def _rest(turns: Sequence[Turn]) -> list[Turn]:
    """Turns after the last sample, in which everything comes to its end."""
    step_ns = 100_000_000
    return [Turn(turns[-1].now_ns + (n + 1) * step_ns, {}) for n in range(LAST_TURNS)]
