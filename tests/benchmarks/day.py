"""Does what was learnt hold for the rest of the day? ``python -m tests.benchmarks.day``.

Run by hand; ``make bench`` leaves it out. The same amount of normal is learnt twice: in one
piece, as somebody in a hurry would record it, and in as many short pieces as there are hours
named by ``--learn``, spread over the day. Both models then watch fresh normal and anomalies at
the hours of ``--judge``, of the same day and of the next. Told are false alarms at the thresholds
of the model's own calibration, the share of windows over them, which detector spoke when it was,
and what was found.

Each piece is rendered once and kept, see `tests.benchmarks.synthetic_sites`; five minutes at
sixteen times of day are about ten CPU minutes a site.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import platformdirs
import structlog
import torch

from pipeline.core.window import Window
from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.score import WindowScore
from pipeline.detection.scorer import Scorer
from pipeline.models.scene_model import SceneModel
from pipeline.training.commissioning import commission
from pipeline.training.event_metrics import alarms_of, match_alarms
from pipeline.training.watched import watch
from tests.benchmarks.synthetic_sites import HOP_NS, SCENE, START_NS, Part, Site, recorded

MORNING_H = 10  # hour of scene second 0
RULES = AlarmSettings(budget="6/hour")


@dataclass(frozen=True, slots=True)
class Watched:
    """What a model said at one time of day.

    Attributes:
        false_per_h: False alarms on fresh normal, an hour.
        over: Share of its windows over the threshold.
        loudest: Detector that spoke loudest in most of those; empty when there are none.
        found: Anomalies found.
        labels: Anomalies there were.
    """

    false_per_h: float
    over: float
    loudest: str
    found: int
    labels: int


def learn(pieces: Sequence[Site], cache: Path) -> SceneModel:
    """Commission a scene on the normal of some pieces, in time order."""
    model, _ = commission(SCENE, _windows(pieces, cache))
    return model


def _windows(pieces: Sequence[Site], cache: Path) -> Iterator[Window]:
    for piece in pieces:
        yield from recorded(piece, Part.TRAIN, cache, _tell).windows()


def judge(model: SceneModel, piece: Site, cache: Path) -> Watched:
    """Let a model watch one piece of the day."""
    scorer = Scorer({SCENE: model}, "cpu")
    threshold = scorer.budget(SCENE, RULES).threshold
    normal = _scores(scorer, piece, Part.NORMAL, cache)
    wrong = _scores(scorer, piece, Part.WRONG, cache)
    over = [one for one in normal if -np.log10(one.p) > threshold]
    loudest = Counter(min(one.detectors, key=lambda name: one.detectors[name]) for one in over)
    labels = recorded(piece, Part.WRONG, cache, _tell).labels
    watched = watch(wrong, labels, HOP_NS, START_NS)
    raised = alarms_of(watched.scores, RULES, threshold, HOP_NS, START_NS)
    match = match_alarms(watched.labels, raised, RULES.clear_after_s)
    false = alarms_of(normal, RULES, threshold, HOP_NS, START_NS)
    return Watched(
        false_per_h=len(false) / (len(normal) * HOP_NS / 3.6e12),
        over=len(over) / len(normal),
        loudest=loudest.most_common(1)[0][0] if loudest else "",
        found=sum(alarm is not None for _, alarm in match.found),
        labels=len(match.found),
    )


def _scores(scorer: Scorer, piece: Site, part: Part, cache: Path) -> list[WindowScore]:
    return [
        score
        for window in recorded(piece, part, cache, _tell).windows()
        for score in scorer.score([window])
    ]


def run(
    place: int, seed: int, learnt: Sequence[float], judged: Sequence[float], cache: Path
) -> None:
    """Learn in one piece and in many, watch, and print a line for each time of day."""

    def at(hour: float) -> Site:
        return Site(place, seed, 300, start_s=round((hour - MORNING_H) * 3600))

    spread = [at(hour) for hour in learnt]
    at_once = [Site(place, seed, 300 * len(learnt), start_s=spread[0].start_s)]
    for name, pieces in (("in one piece", at_once), ("over the day", spread)):
        model = learn(pieces, cache)
        print(f"p{place}s{seed}, {5 * len(learnt)} minutes learnt {name}")
        print(f"{'hour':>6}{'false/h':>9}{'over':>7}{'found':>9}  loudest")
        for hour in judged:
            got = judge(model, at(hour), cache)
            print(
                f"{hour:6.1f}{got.false_per_h:9.1f}{got.over:7.1%}{got.found:6}/{got.labels:<2}"
                f"  {got.loudest}",
                flush=True,
            )


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _hours(text: str) -> list[float]:
    return [float(hour) for hour in text.split(",")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the site that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--site", default="3,11", metavar="PLACE,SEED", help="which site")
    parser.add_argument(
        "--learn",
        type=_hours,
        default=[10, 13, 16, 19, 22, 25, 28, 31],
        metavar="H,H,...",
        help="hours at which five minutes are learnt; over 24: the day after",
    )
    parser.add_argument(
        "--judge",
        type=_hours,
        default=[11.5, 17.5, 23.5, 29.5, 34.2, 37.2, 43.2, 52.2],
        metavar="H,H,...",
        help="hours at which five minutes are judged",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(platformdirs.user_cache_dir("fusewatch")) / "sites",
        help="folder of rendered sites",
    )
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    place, seed = map(int, asked.site.split(","))
    run(place, seed, asked.learn, asked.judge, asked.cache)


if __name__ == "__main__":
    main()
