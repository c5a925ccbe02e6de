"""Video, sound and sensors of one hidden cause, put together of real recordings.

``python -m tests.benchmarks.real composite``. A room is empty, or one person is in it and
reads, talks, types or uses a machine; see `composite_cause` for what the streams show of it,
`composite_script` for the anomalies, and `composite_files` for which recordings they are made
of. About half an hour of normal is learnt; a quarter of an hour of fresh normal and twenty
minutes with anomalies are judged, with a person, sounds, climate and stretches of the machine
that were not learnt. Parts are rendered once, into the user's cache folder.

The table ends with what is told once the alarms of the fresh normal were answered, see
`composite_answers`.

Peers in the same run: the detectors of single streams and their late fusion, one density of
all streams, loudness, motion, a random score and one that is always the same. They have the
calibration that every detector has. Options were chosen on the first sites; the others were
looked at once. *Calibrated apart* learns two thirds of the normal and calibrates by the last one,
in which another person, other sounds and another day's climate are (``commission --calibrate``).
*Everybody learnt* learns the fresh normal as well and is judged by the part with anomalies alone:
the person in it is known then, and so are the very clips, sounds and readings that he is shown by.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, dropwhile, takewhile
from pathlib import Path

import cv2
import numpy as np
import platformdirs

from pipeline.detection.score import WindowScore
from pipeline.detection.scorer import Scorer
from pipeline.detection.transition import anomaly_score
from pipeline.models.scene_model import SceneModel
from pipeline.models.settings import DetectorSettings, Evidence
from pipeline.training.commissioning import commission
from pipeline.training.levels import levels_of
from pipeline.training.metrics import Floats
from tests.benchmarks.real.composite_answers import answered
from tests.benchmarks.real.composite_figures import (
    BUDGET,
    RULES,
    Alarms,
    Levels,
    alarms,
    levels,
    mean_levels,
    pictured,
    pooled,
)
from tests.benchmarks.real.composite_files import Choice
from tests.benchmarks.real.composite_parts import LENGTH_S, Shown, Stretch, parts_of
from tests.benchmarks.real.composite_script import BETWEEN, Kind
from tests.benchmarks.synthetic_sites import SCENE, START_NS, Part, Recorded

SITES: Mapping[str, tuple[Choice, ...]] = {
    "options were chosen on": (
        Choice(
            seed=1,
            people=(0, 1, 2),
            rooms=(0, 1, 2),
            samples=0,
            floor="coffee-shop",
            unseen=("phone", "cough"),
            others=("car-horn",),
            sessions=(1, 30),
            pump="0",
        ),
        Choice(
            seed=2,
            people=(1, 0, 2),
            rooms=(1, 0, 2),
            samples=1,
            floor="rain",
            unseen=("phone", "keysDrop"),
            others=("applause",),
            sessions=(1, 30),
            pump="4",
        ),
    ),
    "looked at once": (
        Choice(
            seed=11,
            people=(0, 2, 1),
            rooms=(0, 2, 1),
            samples=4,
            floor="wind",
            unseen=("cough", "keysDrop"),
            others=("snoring",),
            sessions=(31, 60),
            pump="2",
        ),
        Choice(
            seed=12,
            people=(1, 2, 0),
            rooms=(1, 2, 0),
            samples=8,
            floor="city",
            unseen=("phone",),
            others=("thunder",),
            sessions=(31, 60),
            pump="6",
        ),
        Choice(
            seed=13,
            people=(2, 0, 1),
            rooms=(2, 0, 1),
            samples=6,
            floor="fireplace",
            unseen=("cough", "phone"),
            others=("applause", "car-horn"),
            sessions=(31, 60),
            pump="10",
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Variant:
    """A detector, and how it is commissioned.

    Attributes:
        settings: Its options.
        apart: Whether the material that is kept apart calibrates and is not learnt.
        everybody: Whether the fresh normal, and with it who is in the last part, is learnt too.
    """

    settings: DetectorSettings
    apart: bool = False
    everybody: bool = False


_LATE = DetectorSettings(evidence=())
VARIANTS: Mapping[str, Variant] = {
    "fusewatch": Variant(DetectorSettings()),
    "calibrated apart": Variant(DetectorSettings(), apart=True),
    "everybody learnt": Variant(DetectorSettings(), everybody=True),
    "single senses, late fusion": Variant(_LATE),
    "they, calibrated apart": Variant(_LATE, apart=True),
    "joint density": Variant(DetectorSettings(evidence=(Evidence.JOINT,))),
}
_NAME = 42
_SHORT = {kind.value: kind.value[:6] for kind in Kind}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured of one variant.

    Attributes:
        rows: Levels by name: the merged score first, as ``all``, then its detectors alone and
            what has learnt nothing.
        alarms: At the threshold of its own calibration.
        answered: Those that are left once the fresh normal was answered.
        answers: How many answers that took.
        commission_cpu_s: CPU time of learning, seconds.
        window_cpu_ms: CPU time of scoring a window, milliseconds.
    """

    rows: dict[str, Levels]
    alarms: Alarms
    answered: Alarms
    answers: int
    commission_cpu_s: float
    window_cpu_ms: float


def run(data: Path, sites: Mapping[str, Sequence[Choice]] = SITES) -> None:
    """Print the figures of either half of the sites."""
    cv2.setNumThreads(1)
    cache = platformdirs.user_cache_path("fusewatch") / "sites"
    for what, half in sites.items():
        found: dict[str, list[Outcome]] = {name: [] for name in VARIANTS}
        for choice in half:
            parts = parts_of(data, choice, cache, _tell)
            for name, variant in VARIANTS.items():
                _tell(f"site {choice.seed}: {name}")
                found[name].append(measure(parts, variant))
        seeds = ", ".join(str(choice.seed) for choice in half)
        print(f"composite, sites that {what}: {seeds}")
        print("\n".join(table(found)), flush=True)
        print()


def measure(parts: Mapping[Part, Shown], variant: Variant) -> Outcome:
    """Learn a site and judge what follows."""
    began = time.process_time()
    model = _commissioned({part: shown.part for part, shown in parts.items()}, variant)
    learnt_s = time.process_time() - began
    scorer = Scorer({SCENE: model}, "cpu")
    threshold = scorer.budget(SCENE, RULES).threshold
    scorer.explain(SCENE, threshold)
    scores: dict[Part, list[WindowScore]] = {Part.NORMAL: [], Part.WRONG: []}
    plain: list[dict[str, float]] = []
    spent = 0.0
    for part in (Part.WRONG,) if variant.everybody else (Part.NORMAL, Part.WRONG):
        for window in parts[part].part.windows():
            began = time.process_time()
            scores[part] += scorer.score([window])
            spent += time.process_time() - began
            plain.append(levels_of(window))
    labels = parts[Part.WRONG].part.labels
    told = (scores[Part.NORMAL], scores[Part.WRONG], labels, threshold)
    return Outcome(
        _rows(scores, plain, parts),
        alarms(*told),
        *answered(*told),
        learnt_s,
        spent / len(plain) * 1e3,
    )


def _commissioned(parts: Mapping[Part, Recorded], variant: Variant) -> SceneModel:
    normal = parts[Part.TRAIN]
    if variant.everybody:
        windows = chain(normal.windows(), parts[Part.NORMAL].windows())
        return commission(SCENE, windows, variant.settings)[0]
    if not variant.apart:
        return commission(SCENE, normal.windows(), variant.settings)[0]
    cut_ns = round((normal.begin_s + LENGTH_S[Stretch.LEARN]) * 1e9) + START_NS
    learnt = takewhile(lambda window: window.end_ns <= cut_ns, normal.windows())
    apart = dropwhile(lambda window: window.start_ns < cut_ns, normal.windows())
    return commission(SCENE, learnt, variant.settings, calibration=apart)[0]


def _rows(
    scores: Mapping[Part, list[WindowScore]],
    plain: Sequence[Mapping[str, float]],
    parts: Mapping[Part, Shown],
) -> dict[str, Levels]:
    normal, wrong = scores[Part.NORMAL], scores[Part.WRONG]
    both = [*normal, *wrong]
    shown = np.concatenate([pictured(parts[part].shown) for part in scores if scores[part]])
    series: dict[str, Floats] = {"all": np.array([anomaly_score(one.p) for one in both])}
    for name in sorted({name for one in both for name in one.detectors}):
        series[name] = np.array([anomaly_score(one.detectors.get(name, 1.0)) for one in both])
    for name in sorted({name for one in plain for name in one}):
        series[name] = _ranked(np.array([one.get(name, -np.inf) for one in plain]))
    series["random"] = _ranked(np.random.default_rng(0).random(len(both)))
    series["all ones"] = np.ones(len(both))
    labels = parts[Part.WRONG].part.labels
    return {name: levels(normal, wrong, labels, shown, level) for name, level in series.items()}


def _ranked(values: Floats) -> Floats:
    """Any level as ``-log10`` of its rank's share."""
    higher = len(values) - np.searchsorted(np.sort(values), values, side="left")
    return np.asarray(-np.log10(higher / (len(values) + 1)))


def table(found: Mapping[str, Sequence[Outcome]]) -> list[str]:
    """The lines of the table of some sites together."""
    heads = [*_SHORT.values(), "single", "cross", "best F1"]
    lines = [_line("AUROC, windows by kind", heads)]
    lines.append(_line("target", ["" for _ in Kind] + ["≥ .88", "≥ .80", ""]))
    for name, each in found.items():
        lines.append(_line(name, _cells([one.rows["all"] for one in each])))
    first = next(iter(found.values()))
    lines.append("its detectors alone, and what has learnt nothing:")
    for name in list(first[0].rows)[1:]:
        lines.append(_line(name, _cells([one.rows[name] for one in first if name in one.rows])))
    heads = [*_SHORT.values(), "F1", "cross", "false/h", "delay", "cross", "learn s", "ms"]
    lines.append(_line(f"found at {BUDGET}, own limit", heads))
    wanted = ["≥ .70", "≥ 70%", "≤ 6", "≤ 2", "≤ 4"]
    lines.append(_line("target", ["" for _ in Kind] + wanted))
    for name, each in found.items():
        lines.append(_line(name, _alarm_cells(each, [one.alarms for one in each])))
    lines.append("the same once every alarm of the fresh normal was answered 'normal here':")
    for name, each in found.items():
        if not each[0].alarms.normal_s:
            continue  # learnt, so there was nothing to answer
        answers = np.mean([one.answers for one in each])
        cells = _alarm_cells(each, [one.answered for one in each])
        lines.append(_line(f"{name}, {answers:.1f} answers", cells))
    return lines


def _cells(each: Sequence[Levels]) -> list[str]:
    mean = mean_levels(each)
    values = [*mean.kinds.values(), mean.single, mean.between, mean.f1]
    return [_two(value) for value in values]


def _alarm_cells(each: Sequence[Outcome], told: Sequence[Alarms]) -> list[str]:
    one = pooled(told)
    shares = [one.share(kind.value.__eq__) for kind in Kind]
    costs = [np.mean([o.commission_cpu_s for o in each]), np.mean([o.window_cpu_ms for o in each])]
    return [
        *(f"{share:.0%}" for share in shares),
        _two(one.f1),
        f"{one.share(BETWEEN.__contains__):.0%}",
        f"{one.per_hour:.1f}",
        *(f"{one.delay_s(between):.1f}" for between in (False, True)),
        *(f"{cost:.0f}" for cost in costs),
    ]


def _two(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}".removeprefix("0")


def _line(name: str, cells: Sequence[str]) -> str:
    return f"{name:{_NAME}}" + "".join(f"{cell:>8}" for cell in cells)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
