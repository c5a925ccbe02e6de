"""Where scenes stand: what is committed of each, and what the next run goes on from."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.detection.engine_scene import Scene
from pipeline.detection.evidence import EvidenceKeeper
from pipeline.detection.outcome import SceneState
from pipeline.detection.scorer import Scorer
from pipeline.detection.sight_health import SightHealth


class SceneStates:
    """Puts a scene's state together from those who remember something of it, and back.

    Args:
        scorer: Scores the windows of scenes that have an alarm; None: nobody does.
        sight: Knows which streams cannot see.
        evidence: Keeps pictures and sound around events; None: nobody does.
    """

    def __init__(
        self, scorer: Scorer | None, sight: SightHealth, evidence: EvidenceKeeper | None
    ) -> None:
        self._scorer = scorer
        self._sight = sight
        self._evidence = evidence

    def of(self, scenes: Iterable[Scene]) -> dict[str, SceneState]:
        """Where scenes stand, by name; without those that had no window yet."""
        states = ((scene.name, self._of(scene)) for scene in scenes)
        return {name: state for name, state in states if state is not None}

    def restore(self, scene: Scene, state: SceneState) -> None:
        """Put a scene where it stood, in time: its windows may be numbered by another hop now.

        Raises:
            StoreError: It is not the state of this scene.
        """
        index = state.next_window_at(scene.aligner.hop_ns)
        scene.aligner.resume_at(index)
        if scene.alarm is not None and state.alarm:
            scene.alarm.restore(state.alarm)
            if index != state.next_window:
                scene.alarm.renumber(index)
        if self._scorer is not None and scene.alarm is not None and state.scoring:
            self._scorer.restore(scene.name, state.scoring)
        self._sight.resume(scene.name, state.sight)
        if self._evidence is not None:
            self._evidence.restore(scene.name, state.evidence)

    def _of(self, scene: Scene) -> SceneState | None:
        index = scene.aligner.next_index
        if index is None:
            return None
        alarm = scene.alarm.state() if scene.alarm is not None else b""
        sight = self._sight.state(scene.name)
        evidence = self._evidence.state(scene.name) if self._evidence is not None else b""
        hop_ns = scene.aligner.hop_ns
        return SceneState(index, alarm, self._scoring(scene), sight, evidence, hop_ns)

    def _scoring(self, scene: Scene) -> bytes:
        if self._scorer is None or scene.alarm is None:
            return b""
        return self._scorer.state(scene.name)
