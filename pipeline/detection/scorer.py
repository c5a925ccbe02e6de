"""Windows in, calibrated scores out, for many scenes at once.

What is remembered from one window of a scene to the next (`SceneScoring`) depends on their order
alone, not on how they are shared out to calls, see `pipeline.detection.batching`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog
import torch

from pipeline.core.errors import ModelError
from pipeline.core.sample import Sample, StreamInfo
from pipeline.core.window import Window
from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.batching import Asked, Batching, in_a_row
from pipeline.detection.calibration import Budget, Calibration
from pipeline.detection.picture_cells import cells_of_cameras
from pipeline.detection.recalibration import Recalibrator
from pipeline.detection.recalibration_settings import RecalibrationSettings
from pipeline.detection.score import NOTE_BELOW_P, WindowScore
from pipeline.detection.scoring_state import SceneScoring
from pipeline.detection.telling import Looked, told
from pipeline.models.picture import prepare_picture
from pipeline.models.quality import Quality
from pipeline.models.scene_model import Array, Features, SceneModel
from pipeline.models.settings import DetectorSettings

log = structlog.get_logger(__name__)

_DEFAULT_CELLS = DetectorSettings().picture_cells


@dataclass(frozen=True, slots=True)
class Look:
    """What the model saw in a window that was scored.

    Attributes:
        window: The window.
        places: ``-log10 p`` of each place ``(P,)``, by stream that was seen.
        embeddings: Whitened principal components ``(E,)`` of these streams.
    """

    window: Window
    places: Mapping[str, Array]
    embeddings: Mapping[str, torch.Tensor]


Watch = Callable[[Look], None]


@dataclass(frozen=True, slots=True)
class _Scene:
    model: SceneModel
    calibration: Calibration
    live: SceneScoring


class Scorer:
    """Scores windows with the model of their scene.

    Args:
        models: Model per scene.
        device: ``cpu``, ``cuda`` or ``auto`` (CUDA where there is any).
        watch: Shown what the model saw in each window, in the order of the scores; None: nobody.
        together: Whether scenes go through the models together; None: on CUDA.

    Attributes:
        device: Where it scores.
        spent_s: What the windows of each scene took so far, seconds; those that went through
            together took as long each.

    Raises:
        ModelError: CUDA was asked for and is not there, or see `cells_of_cameras`.
    """

    def __init__(
        self,
        models: Mapping[str, SceneModel],
        device: str = "auto",
        watch: Watch | None = None,
        together: bool | None = None,
    ) -> None:
        self.device = _device(device)
        self.spent_s: dict[str, float] = {}
        self._watch = watch
        self._batching = Batching(models, self.device, together)
        self._scenes = {name: _begun(name, model) for name, model in self._batching.models.items()}
        self._cells = cells_of_cameras(models)
        self._checked: dict[tuple[str, str], StreamInfo] = {}
        self._explained: dict[str, float] = {}

    def prepare(self, sample: Sample) -> Sample:
        """A sample as the detector needs it; call once, when it arrives.

        A video frame becomes a small RAW picture; anything else stays as it is.

        Raises:
            BadReading: The frame cannot be decoded.
        """
        return prepare_picture(sample, self._cells.get(sample.stream, _DEFAULT_CELLS))

    def check(self, scene: str, streams: Iterable[StreamInfo]) -> None:
        """See that the streams of a scene are those its model has learnt.

        Raises:
            ModelError: They are not.
        """
        model = self._scene(scene).model
        for info in streams:
            if self._checked.get((scene, info.name)) != info:
                model.check(info)
                self._checked[scene, info.name] = info

    def budget(self, scene: str, alarm: AlarmSettings, every: int = 1) -> Budget:
        """Threshold of an alarm of a scene, and how sure it is, if every so many windows count."""
        return self._scene(scene).calibration.budget(
            alarm.false_alarms_hz,
            min_duration_s=alarm.min_duration_s,
            merge_s=alarm.clear_after_s,
            every=every,
        )

    def follow(self, scene: str, settings: RecalibrationSettings, alarm: AlarmSettings) -> None:
        """Let the scores of a scene follow slow changes from now on, if the settings say so."""
        found = self._scene(scene)
        found.live.recalibrator = None
        if settings.enabled:
            found.live.recalibrator = Recalibrator(
                settings,
                found.calibration,
                alarm,
                self.budget(scene, alarm).threshold,
                found.model.hop_ns,
                scene,
            )

    def explain(self, scene: str, threshold: float) -> None:
        """Explain every window of a scene that reaches a threshold from now on.

        Otherwise those are explained of which there is one in a hundred.

        Args:
            scene: Name of the scene.
            threshold: Of its alarm, with all windows looked at, ``-log10 p``.
        """
        self._explained[scene] = max(NOTE_BELOW_P, 10.0**-threshold)

    def live(self, scene: str) -> SceneScoring:
        """What is remembered of the windows of a scene."""
        return self._scene(scene).live

    def state(self, scene: str) -> bytes:
        """What is remembered of the windows of a scene, to be committed."""
        return self.live(scene).state()

    def restore(self, scene: str, state: bytes) -> None:
        """Go on from `state`'s bytes.

        Raises:
            StoreError: They are not the state of this scene.
        """
        self.live(scene).restore(state, self._batching.device_of(scene))

    def score(self, windows: Sequence[Window]) -> list[WindowScore]:
        """Score windows of any scenes, in their order.

        Raises:
            ModelError: A scene has no model, or a window does not fit it.
        """
        if self._batching.together:
            return self._timed(windows)
        # Scene by scene, so that what each of them takes is known.
        found: dict[int, WindowScore] = {}
        for rows in in_a_row(windows):
            found |= zip(rows, self._timed([windows[row] for row in rows]), strict=True)
        return [found[row] for row in range(len(windows))]

    def _timed(self, windows: Sequence[Window]) -> list[WindowScore]:
        began_s = time.perf_counter()
        scores = self._scored(windows)
        each_s = (time.perf_counter() - began_s) / max(len(windows), 1)
        for window in windows:
            self.spent_s[window.scene] = self.spent_s.get(window.scene, 0.0) + each_s
        return scores

    def raw_scores(self, windows: Sequence[Window]) -> list[Array]:
        """Scores of all sub-detectors ``(D,)`` of each window, as yet without a calibration.

        The windows are taken in as by `score`, of which this is the first part.

        Raises:
            ModelError: As `score`.
        """
        return [one.shown.scores for one in self._look(windows)]

    @torch.inference_mode()
    def _scored(self, windows: Sequence[Window]) -> list[WindowScore]:
        looks = self._look(windows)
        scenes = [self._scene(window.scene) for window in windows]
        scores = [
            told(
                scene.model,
                scene.calibration,
                scene.live,
                window,
                one,
                self._explained.get(window.scene, NOTE_BELOW_P),
            )
            for scene, window, one in zip(scenes, windows, looks, strict=True)
        ]
        if self._watch is not None:
            for window, one in zip(windows, looks, strict=True):
                self._watch(Look(window, one.shown.places, one.shown.embeddings))
        return scores

    @torch.inference_mode()
    def _look(self, windows: Sequence[Window]) -> list[Looked]:
        """What the models see in windows, in their order; takes them in."""
        for window in windows:
            self._check_window(window)
        features: list[Features] = []
        qualities: list[dict[str, Quality]] = []
        for window, seen in zip(windows, self._batching.features(windows), strict=True):
            scene = self._scene(window.scene)
            qualities.append(scene.model.quality(window, seen))
            features.append(scene.live.follow(seen, window, qualities[-1]))
        asked = [
            Asked(w.scene, seen, w.index, self._scene(w.scene).live.past)
            for w, seen in zip(windows, features, strict=True)
        ]
        shown = self._batching.score(asked)
        return list(map(Looked, features, qualities, shown))

    def _check_window(self, window: Window) -> None:
        self.check(window.scene, [part.info for part in window.slices.values()])
        model = self._scene(window.scene).model
        if window.end_ns - window.start_ns != model.length_ns:
            raise ModelError(
                f"windows of {(window.end_ns - window.start_ns) / 1e9} s, but the model learnt "
                f"windows of {model.length_ns / 1e9} s",
                where=window.scene,
                fix="set window_s as it was, or commission the scene again",
            )

    def _scene(self, name: str) -> _Scene:
        try:
            return self._scenes[name]
        except KeyError:
            raise ModelError(
                f"scene {name!r} has no model", where=name, fix="run `fusewatch commission`"
            ) from None


def calibration_of(model: SceneModel) -> Calibration:
    """The calibration that a model carries."""
    held, worth = model.held, model.settings.worth.model_dump()
    windows = model.lasting_windows
    return Calibration(model.names, held.scores, held.end_ns, model.hop_ns, worth, windows)


def _begun(name: str, model: SceneModel) -> _Scene:
    """A scene of which nothing is remembered yet."""
    calibration = calibration_of(model)
    live = SceneScoring(
        name,
        model.digest,
        model.hop_ns,
        model.past(),
        model.running(),
        model.standing(),
        calibration.lasting,
    )
    return _Scene(model, calibration, live)


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ModelError("no CUDA device", fix="set fusion.device to auto or cpu")
    return torch.device(wanted)
