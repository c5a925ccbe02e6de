"""Learns a scene while it is recorded: windows, checks, and looks at growing lengths.

What was learnt at one length goes on to score the windows that follow, window by window as it
would live, until as much again was recorded; the look at that length then compares, see
`pipeline.training.learning_curve`. Features are made once, when a window comes; a look learns from
a copy of them. Looks leave out the fusion network (`Evidence.ODD`): it takes longer to learn than
all else, and new normal that it has not learnt shows in the streams first. The model that is kept
at the end has it, and is learnt by the same steps as by ``fusewatch commission --recording`` from
the file.

A stream that changes its form while it is recorded, such as its list of channels, is learnt in the
form in which it came first, as the model will know it live; `LiveChecks` tells of the change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import structlog
import torch

from nodes.assembly import aligner_of
from nodes.commissioning.checks import LiveChecks
from nodes.doctor import Finding, Level
from nodes.replay import drive
from nodes.sync import MILLISECOND_NS, SyncFinding, SyncGathering
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import Arrival, StreamEnded, StreamOpened
from pipeline.core.errors import AlignmentError, ModelError
from pipeline.core.sample import Sample, StreamInfo
from pipeline.core.window import Window
from pipeline.detection.engine import Engine
from pipeline.detection.engine_scene import Scene
from pipeline.detection.score import WindowScore
from pipeline.detection.scorer import Scorer, calibration_of
from pipeline.models.picture import prepare_picture
from pipeline.models.scene_model import SceneModel
from pipeline.models.settings import DetectorSettings, Evidence
from pipeline.models.stream_likeness import differences
from pipeline.training.commissioning import learn
from pipeline.training.commissioning_report import CommissioningReport
from pipeline.training.cross_fit import Progress
from pipeline.training.enough import EnoughSettings, Look
from pipeline.training.learning_curve import Gain, gain_of, threshold_interval
from pipeline.training.normal_rows import NormalRows
from pipeline.training.stream_data import Indices

log = structlog.get_logger(__name__)

_SYNC_NS = 300_000_000_000  # streams are compared by what the last five minutes showed
_SYNC_SPAN_S = 1.0
_MUCH_NS = 100_000_000  # later than this is told; less is what cameras usually are


@dataclass(slots=True)
class _Earlier:
    """What was learnt at one length, and what it says of what came since."""

    windows: int
    threshold: float
    scorer: Scorer
    scores: list[WindowScore] = field(default_factory=list)


class LiveLearner:
    """Takes the arrivals of a recording in their order.

    Args:
        deployment: The deployment.
        scene: Which of its scenes.
        settings: Options of the detector.
        enough: Lengths at which to look.
        now_s: A clock that never goes back, to tell how long a look took.
    """

    def __init__(
        self,
        deployment: Deployment,
        scene: str,
        settings: DetectorSettings,
        enough: EnoughSettings,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        torch.set_num_threads(deployment.fusion.threads)  # as `commission_scene`
        self._deployment = deployment
        self._scene = scene
        self._settings = settings
        evidence = tuple(one for one in settings.evidence if one is not Evidence.ODD)
        self._quick = settings.model_copy(update={"evidence": evidence})
        self._enough = enough
        self._now_s = now_s
        options = deployment.scenes[scene]
        streams = tuple(options.streams)
        self._alarm = options.alarm
        self._hop_ns = round(options.hop_s * 1e9)
        self.rows = NormalRows(scene, settings)
        holds_s = {name: deployment.stream(name).max_gap_s for name in streams}
        self.checks = LiveChecks(streams, options.window_s, options.hop_s, holds_s)
        self._sync = SyncGathering(streams, _SYNC_NS)
        self._infos: dict[str, StreamInfo] = {}
        self._standing: dict[str, str] = {}
        self._earlier: list[_Earlier] = []
        self._due_s = enough.next_s(0.0)
        self._ends: list[int] = []
        scenes = [Scene(scene, aligner_of(deployment, scene))]
        self._engine = Engine(scenes, {scene: streams}, scorer=None, prepare=self._prepare)

    @property
    def normal_s(self) -> float:
        """Normal taken in so far, seconds."""
        return self.rows.taken * self._hop_ns / 1e9

    @property
    def end_ns(self) -> Indices:
        """End of each window so far, site time, ``(n,)``."""
        return np.array(self._ends, np.int64)

    @property
    def due(self) -> bool:
        """Whether it is time for a look."""
        return self.normal_s >= self._due_s

    def take(self, arrival: Arrival) -> None:
        """Take in what arrived."""
        if isinstance(arrival, StreamOpened):
            self._standing[arrival.info.name] = arrival.node
            self._open(arrival.info)
        elif isinstance(arrival, StreamEnded):
            self._standing.pop(arrival.stream, None)
        self._sync.take(arrival)
        for window in drive(self._engine, arrival).windows:
            self._take(window)

    def finish(self, last_ns: int) -> None:
        """Take in what was still waiting at the end of the recording, at its last arrival."""
        for stream, node in list(self._standing.items()):
            self.take(StreamEnded(last_ns, node, stream))

    def look(self, progress: Progress | None = None) -> Look:
        """Learn all that there is, and compare it with what half of it taught.

        Raises:
            ModelError: There is too little to learn from.
        """
        begun_s = self._now_s()
        self._due_s = self._enough.next_s(self.normal_s)
        model, report = learn(self.rows.copy(), self._quick, alarm=self._alarm, progress=progress)
        levels = calibration_of(model).held_scores
        low, high = threshold_interval(levels, model.held.end_ns, self._hop_ns, self._alarm)
        chosen = report.preview.chosen
        gain = self._gain(model)
        self._remember(model, chosen.threshold)
        return Look(
            normal_s=self.normal_s,
            threshold=chosen.threshold,
            low=low,
            high=high,
            supported=chosen.supported,
            needed_s=chosen.needed_s,
            gain=gain,
            took_s=self._now_s() - begun_s,
        )

    def learn(self, progress: Progress | None = None) -> tuple[SceneModel, CommissioningReport]:
        """The model of all that there is; nothing can be taken in afterwards.

        Raises:
            ModelError: There is too little to learn from.
        """
        return learn(self.rows, self._settings, alarm=self._alarm, progress=progress)

    def sync(self) -> list[Finding]:
        """How well the streams agree on the time, by the last minutes."""
        try:
            found = self._sync.finding(self._deployment, self._scene, span_s=_SYNC_SPAN_S)
        except AlignmentError:
            return []  # fewer than two streams: there is nothing to agree on
        return list(_sync_findings(found))

    def _prepare(self, sample: Sample) -> Sample:
        return prepare_picture(sample, self._settings.picture_cells)

    def _open(self, info: StreamInfo) -> None:
        if info.name not in self._deployment.scenes[self._scene].streams:
            return
        self.checks.open(info)
        self._infos[info.name] = info
        wanted = self._deployment.scenes[self._scene].streams
        self.rows.open([self._infos[name] for name in wanted if name in self._infos])

    def _take(self, window: Window) -> None:
        self.rows.add(self._in_first_form(window))
        self._ends.append(window.end_ns)
        self.checks.take(window)
        for earlier in self._earlier:
            if len(earlier.scores) < earlier.windows:
                self._score(earlier, window)

    def _in_first_form(self, window: Window) -> Window:
        """The window without streams that are in another form than when they were first seen."""
        first = {data.info.name: data.info for data in self.rows.streams}
        parts = {
            name: part
            for name, part in window.slices.items()
            if not differences(first.get(name, part.info), part.info, self._settings)
        }
        return window if len(parts) == len(window.slices) else replace(window, slices=parts)

    def _score(self, earlier: _Earlier, window: Window) -> None:
        try:
            earlier.scores.extend(earlier.scorer.score([window]))
        except ModelError as error:
            # A stream that came or changed since: what was learnt before cannot judge it.
            log.warning("what was learnt earlier is let go", scene=self._scene, reason=str(error))
            self._earlier.remove(earlier)

    def _remember(self, model: SceneModel, threshold: float) -> None:
        """Let a model judge what follows; of those before, only what was not told is kept."""
        self._earlier = [e for e in self._earlier if len(e.scores) < e.windows]
        scorer = Scorer({self._scene: model}, "cpu")
        self._earlier.append(_Earlier(self.rows.taken, threshold, scorer))

    def _gain(self, model: SceneModel) -> Gain | None:
        """What came after the longest of at most half the length, by both detectors."""
        half = [e for e in self._earlier if 2 * e.windows <= self.rows.taken]
        if not half:
            return None
        earlier = half[-1]
        held = dict(zip(model.held.end_ns.tolist(), calibration_of(model).held_scores, strict=True))
        scores = [score for score in earlier.scores if score.end_ns in held]
        return gain_of(
            scores,
            np.array([held[score.end_ns] for score in scores]),
            alarm=self._alarm,
            threshold=earlier.threshold,
            hop_ns=self._hop_ns,
            learnt_s=earlier.windows * self._hop_ns / 1e9,
        )


def _told(late_ms: Mapping[str, float]) -> str:
    return ", ".join(f"{name}: {ms:g}" for name, ms in late_ms.items())


def _sync_findings(found: SyncFinding) -> Iterator[Finding]:
    for one in found.offsets:
        if not one.certain:
            continue
        off_ns, unsure_ns = one.offset_ns, one.uncertainty_ns
        said = (
            f"shows things {off_ns / MILLISECOND_NS:+.0f} ± {unsure_ns / MILLISECOND_NS:.0f} ms "
            f"later than {found.reference}"
        )
        if abs(off_ns) - unsure_ns <= _MUCH_NS:
            yield Finding(one.second, Level.OK, said)
            continue
        set_ms, own_ms = _told(found.latencies_ms), _told(found.late_ms)
        fix = "make sure by 'fusewatch sync test'"
        fix += f", then set latency_ms ({set_ms}) and record anew" if set_ms else ""
        fix += f", then mend the times of what writes its own ({own_ms} ms)" if own_ms else ""
        yield Finding(one.second, Level.PROBLEM, said, fix)
    if found.offsets and not any(one.certain for one in found.offsets):
        yield Finding(
            "sync", Level.NOTE,
            "nothing sharp that several streams noticed, so whether they agree on the time is "
            "not known",
            "clap, switch a lamp or knock ten times, unevenly, or run 'fusewatch sync test'",
        )  # fmt: skip
