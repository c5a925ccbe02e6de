"""What the scoring of one scene remembers from window to window, and how it survives a crash.

It is committed with the alarm's state, see `pipeline.detection.kept_scoring`, so that after a
crash both stand at the same window.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
import structlog
import torch

from pipeline.core.window import Window
from pipeline.detection.calibration import Verdict
from pipeline.detection.kept_scoring import STATE_VERSION, ScoringState, read_state
from pipeline.detection.lasting import ALONE, Lasting
from pipeline.detection.live_rate import Watched
from pipeline.detection.recalibration import Recalibrator
from pipeline.detection.verdict_row import VerdictRow
from pipeline.models.features import StreamFeatures
from pipeline.models.past import ScenePast
from pipeline.models.quality import Quality
from pipeline.models.running_level import RunningLevels
from pipeline.models.scene_model import Features
from pipeline.models.scene_standing import SceneStanding

log = structlog.get_logger(__name__)


class SceneScoring:
    """Memory of the scoring of one scene.

    Args:
        scene: Name of the scene.
        model: Digest of its model.
        hop_ns: Step from one window to the next.
        past: Empty memory of what the latest windows showed.
        running: Levels of the last hours as learning left them; None: no stream has any.
        standing: What stands still before the cameras: nothing yet; None: no stream is a camera.
        lasting: What scores in a row say together; None: each speaks alone.
    """

    def __init__(
        self,
        scene: str,
        model: str,
        hop_ns: int,
        past: ScenePast,
        running: RunningLevels | None = None,
        standing: SceneStanding | None = None,
        lasting: Lasting | None = None,
    ) -> None:
        self.past = past
        self.running = running or RunningLevels({})
        self.standing = standing or SceneStanding({})
        self.recalibrator: Recalibrator | None = None
        self.watched = Watched()
        self._scene = scene
        self._model = model
        self._hop_ns = hop_ns
        self._lasting = lasting or ALONE
        self._row = VerdictRow(self._lasting)

    def follow(
        self, features: Features, window: Window, quality: Mapping[str, Quality]
    ) -> dict[str, StreamFeatures]:
        """The features of the next window with what was taken in of those before it.

        Args:
            features: By stream.
            window: The window.
            quality: How well each stream saw in it.
        """
        hidden = self.standing.hiding
        degraded = {name for name, seen in quality.items() if seen.reason}
        followed = self.running.follow(features)
        followed = self.standing.follow(followed, window.start_ns, degraded)
        for name in self.standing.hiding - hidden:
            log.info("what stands still is background now", scene=self._scene, stream=name)
        for name in hidden - self.standing.hiding:
            log.info("what stood still is gone and forgotten", scene=self._scene, stream=name)
        return followed

    def judge(self, verdict: Verdict, window: Window, doubtful: Collection[str] = ()) -> Verdict:
        """The verdict on the next window as it is now to be told.

        Args:
            verdict: By the commissioned calibration and what the window itself shows.
            window: The window.
            doubtful: Detectors that cannot see well just now.
        """
        if verdict.detectors:
            self.watched.add(window.end_ns - window.hops * self._hop_ns, window.end_ns)
        if self.recalibrator is None:
            return self._row.told(verdict, window.index)
        return self.recalibrator.judge(
            verdict, window.index, window.end_ns, doubtful, learning=window.hops == 1
        )

    def state(self) -> bytes:
        """Everything remembered, as MessagePack."""
        learnt = None if self.recalibrator is None else self.recalibrator.state()
        return msgspec.msgpack.encode(
            ScoringState(
                STATE_VERSION,
                self._scene,
                self._model,
                self.watched.spans,
                learnt,
                self.past.state(),
                self.running.state(),
                self.standing.state(),
                self._row.levels,
            )
        )

    def restore(self, data: bytes, device: torch.device) -> None:
        """Go on from `state`'s bytes, on the device of the model.

        What was learnt is let go, with a line in the log, when the scene has another model
        now; while recalibration is off it is ignored.

        Raises:
            StoreError: The bytes are not the scoring state of this scene.
        """
        state = read_state(self._scene, data)
        self.watched = Watched(state.watched)
        if state.model != self._model:
            log.info("scoring begins anew: another model", scene=self._scene)
            return
        if state.past:
            self.past.restore(state.past, device)
        if state.running:
            self.running.restore(state.running)
        if state.standing:
            self.standing.restore(state.standing)
        self._row = VerdictRow(self._lasting, state.row)
        if state.recalibration is not None and self.recalibrator is not None:
            self.recalibrator.restore(state.recalibration)
