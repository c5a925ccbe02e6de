"""What each phase of training a scene's network is worth: the phases left out one at a time.

Run by hand: ``python -m tests.benchmarks.phases``; ``make bench`` leaves it out, as a variant
takes CPU minutes. The network is that of ``configs/models/scene-network.yaml``. It learns the
last minutes of a synthetic site's normal, the same time is commissioned with it, and the first
minutes of the part with anomalies are judged. ``--share`` shortens the phases.

Columns: how often a held-out window's own moment is first among those of another stream (mean of
all pairs; by chance about 1 in their number); how many held-out swaps are named rightly (mean over
none and each stream; one of four by chance) and the AUROC of a swap; then the mean AUROC over the
kinds of anomaly, of what the network says and of the detector as a whole. The row ``no network``
is the detector as it is without ``--network``. On 25 November 2026, 2 busy cores, place 5, seed 21,
``--minutes 12``, so that 242 windows were new to the network and calibrated it:

========================  =========  ===========  ==========  =============  ======  =======
left out                  own first  swaps named  swap AUROC  network alone  merged  train s
========================  =========  ===========  ==========  =============  ======  =======
(no network)                                                                   .848
nothing                        8.7%        49.8%        .745           .491    .711       50
self_supervision               6.3%        48.9%        .736           .552    .832       38
alignment                      1.0%        39.0%        .764           .499    .758       36
normality                      8.7%                                                       36
========================  =========  ===========  ==========  =============  ======  =======

So no phase made a network that helps alarms, which is why it is off unless it is asked for. A
part of the loss is that so few windows calibrate: at place 3, seed 11, they brought the detector
without any network from .889 down to between .848 and .873.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import platformdirs
import structlog
import torch

from nodes.shipped import shipped_config
from nodes.train_scene import saved_network
from pipeline.config import load_settings
from pipeline.core.window import Window
from pipeline.detection.score import WindowScore
from pipeline.detection.scorer import calibration_of
from pipeline.models.network_verdict import NETWORK, verdict_of
from pipeline.models.scene_model import SceneModel
from pipeline.training.commissioning import commission
from pipeline.training.judging import judged, kinds_of
from pipeline.training.labels import Label
from pipeline.training.metrics import auroc
from pipeline.training.network_rows import NetworkRows, with_network
from pipeline.training.phases.base import PhaseSettings
from pipeline.training.prepared import PreparedScene, prepare_scene
from pipeline.training.scene_training import (
    SceneTraining,
    SceneTrainingSettings,
    build_network,
    train_scene,
)
from pipeline.training.watched import watch
from tests.benchmarks.synthetic_sites import (
    HOP_NS,
    SCENE,
    START_NS,
    Part,
    Recorded,
    Site,
    recorded,
)

_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Time:
    """The time that the benchmark looks at.

    Attributes:
        normal: Part to learn from.
        wrong: Part with anomalies.
        seconds: How much of each.
    """

    normal: Recorded
    wrong: Recorded
    seconds: float

    def learnt(self) -> list[Window]:
        """Windows to learn from."""
        return list(self.normal.windows(last_s=self.seconds))

    def judged(self) -> list[Window]:
        """Windows with anomalies."""
        return list(islice(self.wrong.windows(), int(self.seconds * 1e9) // HOP_NS))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row.

    Attributes:
        name: What was left out.
        first: Share of windows whose own moment comes first, mean over pairs.
        named: Share of swaps named rightly; NaN: not learnt.
        swap: AUROC of swaps; likewise.
        alone: Mean AUROC over kinds of what the network says; likewise.
        merged: And of the detector as a whole.
        cpu_s: CPU time of training, seconds.
        window_ms: CPU time of scoring a window, milliseconds.
    """

    name: str
    first: float
    named: float
    swap: float
    alone: float
    merged: float
    cpu_s: float
    window_ms: float


def variants(settings: SceneTrainingSettings) -> dict[str, tuple[PhaseSettings, ...]]:
    """The phases that need no labels, and without each of them."""
    phases = tuple(phase for phase in settings.phases if not phase.needs_labels)
    found = {"all phases": phases}
    for left_out in phases:
        rest = tuple(phase for phase in phases if phase is not left_out)
        found[f"without {left_out.type}"] = rest
    return found


def run(
    settings: SceneTrainingSettings, chosen: Time, tell: Callable[[str], None]
) -> list[Outcome]:
    """Train and judge every variant."""
    tell("commissioning without a network")
    model, _ = commission(SCENE, chosen.learnt())
    began = time.process_time()
    scores = levels(model, chosen.judged())
    spent = time.process_time() - began
    merged = mean_auroc(scores, chosen.wrong.labels)
    none = float("nan")
    found = [Outcome("no network", none, none, none, none, merged, 0.0, _ms(spent, scores))]
    streams = [stream.info for stream in model.streams]
    normal = prepare_scene(build_network(settings, streams), chosen.learnt(), settings.data)
    for name, phases in variants(settings).items():
        tell(name)
        part = settings.model_copy(update={"phases": phases})
        found.append(_outcome(name, part, model, normal, chosen))
    return found


def _outcome(
    name: str,
    settings: SceneTrainingSettings,
    model: SceneModel,
    normal: PreparedScene,
    chosen: Time,
) -> Outcome:
    streams = [stream.info for stream in model.streams]
    began = time.process_time()
    network = build_network(settings, streams)
    trained = train_scene(network, streams, normal, settings, progress=lambda *_: None)
    cpu_s = time.process_time() - began
    first = float(np.mean([pair.recall_1 for pair in trained.retrieval]))
    if trained.looks_back is None:
        return Outcome(name, first, *[float("nan")] * 4, cpu_s, float("nan"))
    return _judged(name, first, trained, model, chosen, cpu_s)


def _judged(
    name: str, first: float, trained: SceneTraining, model: SceneModel, chosen: Time, cpu_s: float
) -> Outcome:
    heard = _with(model, trained, chosen)
    began = time.process_time()
    scores = levels(heard, chosen.judged())
    spent = time.process_time() - began
    alone = [_only(score) for score in scores]
    figures = trained.phases[-1].figures
    labels = chosen.wrong.labels
    return Outcome(
        name,
        first,
        figures["swaps named rightly"],
        figures["swap AUROC"],
        mean_auroc(alone, labels),
        mean_auroc(scores, labels),
        cpu_s,
        _ms(spent, scores),
    )


def _with(model: SceneModel, trained: SceneTraining, chosen: Time) -> SceneModel:
    """The model in which the trained network speaks too, as commissioned with it."""
    rows = NetworkRows(verdict_of(saved_network(trained, SCENE)), model.settings)
    for window in chosen.learnt():
        rows.add(window, model.features(window))
    return with_network(model, rows)


def levels(model: SceneModel, windows: Sequence[Window]) -> list[WindowScore]:
    """Verdicts on windows in a row, without words."""
    calibration, past = calibration_of(model), model.past()
    found = []
    for window in windows:
        table, *_ = model.score([model.features(window)], [window.index], past, _CPU)
        verdict = calibration.judge(table[0])
        span = window.start_ns, window.end_ns
        found.append(WindowScore(SCENE, window.index, *span, verdict.p, verdict.detectors))
    return found


def _only(score: WindowScore) -> WindowScore:
    """As if nothing but the network spoke."""
    p = score.detectors.get(NETWORK, 1.0)
    return WindowScore(score.scene, score.index, score.start_ns, score.end_ns, p)


def mean_auroc(scores: Sequence[WindowScore], labels: Sequence[Label]) -> float:
    """Mean over kinds of the AUROC against windows that show no anomaly."""
    watched = watch(scores, labels, HOP_NS, START_NS)
    found = []
    for numbers in kinds_of(watched).values():
        values, truth = judged(watched, numbers)
        found.append(auroc(truth, values))
    return float(np.mean(found))


def _ms(spent: float, scores: Sequence[WindowScore]) -> float:
    return spent / len(scores) * 1e3


def table(outcomes: Sequence[Outcome]) -> str:
    """The figures as text."""
    lines = [
        f"{'':26} own first  swaps named  swap AUROC  network alone  merged  train s  window ms"
    ]
    for one in outcomes:
        lines.append(
            f"{one.name:26}{one.first:10.1%}{one.named:13.1%}{one.swap:12.3f}"
            f"{one.alone:15.3f}{one.merged:8.3f}{one.cpu_s:9.0f}{one.window_ms:11.1f}"
        )
    return "\n".join(lines).replace("nan%", "   -").replace("nan", "  -")


def shortened(settings: SceneTrainingSettings, share: float) -> SceneTrainingSettings:
    """The same with a share of the steps."""
    phases = []
    for phase in settings.phases:
        steps = max(1, round(phase.loop.steps * share))
        loop = phase.loop.model_copy(update={"steps": steps})
        phases.append(phase.model_copy(update={"loop": loop}))
    return settings.model_copy(update={"phases": tuple(phases)})


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for and print it."""
    asked = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    place, seed = map(int, asked.site.split(","))
    site = Site(place, seed)
    parts = [recorded(site, part, asked.cache, _tell) for part in (Part.TRAIN, Part.WRONG)]
    settings = load_settings(asked.training, SceneTrainingSettings)
    chosen = Time(parts[0], parts[1], asked.minutes * 60)
    print(f"{site.name}, {asked.minutes:g} minutes of each part\n")
    print(table(run(shortened(settings, asked.share), chosen, _tell)), flush=True)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.benchmarks.phases", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    shipped = shipped_config("models/scene-network.yaml")
    cache = platformdirs.user_cache_path("fusewatch") / "sites"
    add = parser.add_argument
    add("--site", default="3,11", help="PLACE,SEED")
    add("--minutes", type=float, default=15.0, help="of each part that is used")
    add("--share", type=float, default=1.0, help="of the steps of each phase")
    add("--training", type=Path, default=shipped, help="as for `fusewatch train`")
    add("--cache", type=Path, default=cache, help="folder of rendered sites")
    return parser


if __name__ == "__main__":
    main()
