"""Unseen sounds in real backgrounds: ambience, and office, street and household sounds in it.

A scene is made of one recording (`sound_scenes`): half of it, drawn out to 20 minutes, is
learnt; of the other half 20 minutes of fresh normal tell the false alarms, and 10 minutes with
an event every 20 s the rest, at each SNR. The limit is the threshold of the model's own
calibration for `BUDGET`, alarms are those of the real alarm; peers get theirs likewise. Some
scenes have usual sounds (typing, knocks), in what is learnt and, by other recordings, in what
is judged. Options were chosen on the backgrounds and kinds of sounds of the first half of the
table; for a verdict, take the other half.

AUROC tells windows that hold any of an event, be it its last hundredth of a second, from all
others of the same part. The means are over scenes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.calibration import Calibration
from pipeline.detection.score import WindowScore
from pipeline.detection.scorer import Scorer
from pipeline.models.tails import SMALLEST_P
from pipeline.training.commissioning import commission
from pipeline.training.event_metrics import alarms_of, levels_of, match_alarms
from pipeline.training.labels import Label
from pipeline.training.metrics import Floats, auroc
from tests.benchmarks.real.row_figures import line
from tests.benchmarks.real.sound_files import Sound, clips_by_kind
from tests.benchmarks.real.sound_peers import PEERS, peer_levels
from tests.benchmarks.real.sound_scenes import (
    HOP_NS,
    HOPS,
    SCENE,
    SNRS_DB,
    Lengths,
    Place,
    Scene,
    make_scene,
    touched,
    windows,
)

BUDGET = "12/hour"
HEAD = ("AUROC +6", "0 dB", "-6 dB", "found +6", "0 dB", "-6 dB", "false/h")
TARGET = ("", "≥ .940", "≥ .870", "≥ .900", "", "", "≤ 12")
_AMBIENCE = "ambience_blanket"
_STREET = "scaper_samples/audio/background/street/150993__saphe__street-scene-1.wav"
_STREET_NEVER = ("car horn", "human voice", "speech")


@dataclass(frozen=True, slots=True)
class Half:
    """Scenes and the kinds of sounds that are events there."""

    what: str
    places: tuple[Place, ...]
    kinds: tuple[str, ...]


def _ambience(name: str, *usual: str, never: tuple[str, ...] = (), goes_on: bool = False) -> Place:
    title = " with ".join([name, " and ".join(usual)]) if usual else name
    title += " going on" if goes_on else ""
    return Place(title, f"{_AMBIENCE}/{name}.ogg", usual, never, goes_on)


HALVES = (
    Half(
        "scenes that options were chosen on",
        (
            _ambience("birds"),
            _ambience("boat"),
            _ambience("city"),
            _ambience("coffee-shop", never=("cough", "laughter")),
            _ambience("rain"),
            _ambience("wind"),
            _ambience("birds", "doorslam"),
            _ambience("rain", "keyboard", "knock"),
            _ambience("coffee-shop", "keyboard", never=("cough", "laughter")),
            _ambience("birds", goes_on=True),
            _ambience("boat", goes_on=True),
        ),
        ("cough", "doorslam", "keyboard", "keysDrop", "laughter", "phone"),
    ),
    Half(
        "scenes looked at once",
        (
            _ambience("fireplace"),
            _ambience("storm", never=("thunder",)),
            _ambience("summer-night"),
            _ambience("waves"),
            Place("street", _STREET, never=_STREET_NEVER),
            _ambience("waves", "drawer", "knock"),
            _ambience("summer-night", "pageturn", "clearthroat"),
            _ambience("waves", goes_on=True),
            Place("street going on", _STREET, (), _STREET_NEVER, True),
        ),
        (
            *("applause", "car horn", "clearthroat", "drawer", "human voice", "knock"),
            *("pageturn", "snoring", "speech", "thunder"),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Heard:
    """Scores of one detector in one scene, with what is to be heard there.

    Attributes:
        threshold: On ``-log10 p``, by the detector's own calibration.
        fresh: Scores of the fresh normal.
        tests: Per SNR scores and events.
    """

    threshold: float
    fresh: Sequence[WindowScore]
    tests: dict[int, tuple[Sequence[WindowScore], tuple[Label, ...]]]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one detector finds in one scene.

    Attributes:
        auroc: Per SNR, in the order of `SNRS_DB`.
        found: Share of events found, likewise.
        false_per_hour: False alarms on the fresh normal.
    """

    auroc: tuple[float, ...]
    found: tuple[float, ...]
    false_per_hour: float

    def cells(self) -> list[str]:
        """As the columns of `HEAD`."""
        shares = [f"{value:.3f}".removeprefix("0") for value in (*self.auroc, *self.found)]
        return [*shares, f"{self.false_per_hour:.1f}"]


def measure(scene: Scene, seed: int = 0) -> dict[str, Figures]:
    """Figures of the detector and its peers in a scene."""
    found = {"fusewatch": figures_of(_by_detector(scene))}
    for name in (*PEERS, "random", "all ones"):
        found[name] = figures_of(_by_peer(name, scene, seed))
    return found


def figures_of(heard: Heard) -> Figures:
    """Levels and alarms against what was really there."""
    rules, levels, found = AlarmSettings(budget=BUDGET), [], []
    for scores, labels in heard.tests.values():
        levels.append(auroc(touched(labels, len(scores)), levels_of(scores)))
        raised = alarms_of(scores, rules, heard.threshold, HOP_NS, _start_ns(scores))
        matched = match_alarms(labels, raised, rules.clear_after_s).found
        found.append(float(np.mean([alarm is not None for _, alarm in matched])))
    false = alarms_of(heard.fresh, rules, heard.threshold, HOP_NS)
    hours = len(heard.fresh) * HOP_NS / 3.6e12
    return Figures(tuple(levels), tuple(found), len(false) / hours)


def mean_of(each: Sequence[Figures]) -> Figures:
    """Mean over scenes."""
    levels = np.mean([one.auroc for one in each], axis=0)
    found = np.mean([one.found for one in each], axis=0)
    false = float(np.mean([one.false_per_hour for one in each]))
    return Figures(tuple(levels.tolist()), tuple(found.tolist()), false)


def run(data: Path, lengths: Lengths | None = None) -> None:
    """Print the figures of either half."""
    clips = clips_by_kind(data)
    for number, half in enumerate(HALVES):
        print(line(f"Unseen sounds, {half.what}", []))
        rows: list[dict[str, Figures]] = []
        print(line("", HEAD))
        for place in half.places:
            seed = 100 * number + len(rows)
            scene = make_scene(place, data, clips, half.kinds, lengths or Lengths(), seed)
            rows.append(measure(scene, seed))
            title = f"{place.name} ({scene.own_s:.0f} s)"
            print(line(title, rows[-1]["fusewatch"].cells()), flush=True)
        print(line("target", TARGET))
        for name in rows[0]:
            print(line(f"mean: {name}", mean_of([row[name] for row in rows]).cells()), flush=True)
        print()


def _by_detector(scene: Scene) -> Heard:
    """Through the real path: windows, `commission`, `Scorer`."""
    model, _ = commission(SCENE, windows(scene.learnt, 1))
    scorer = Scorer({SCENE: model}, "cpu")
    threshold = scorer.budget(SCENE, AlarmSettings(budget=BUDGET)).threshold

    def score(track: Sound) -> list[WindowScore]:
        return [one for window in windows(track, 1) for one in scorer.score([window])]

    return _heard(scene, threshold, score(scene.fresh), [score(s) for s, _ in _tests(scene)])


def _by_peer(name: str, scene: Scene, seed: int) -> Heard:
    """The same calibration and the same alarm over a peer's scores."""
    parts = [scene.fresh, *(sound for sound, _ in _tests(scene))]
    levels = peer_levels(name, scene.learnt, parts, seed)
    held = levels[0].held
    end_ns = (np.arange(1, len(held) + 1) + HOPS) * HOP_NS
    calibration = Calibration(["peer:microphone/score"], held[:, None], end_ns, HOP_NS)
    rules = AlarmSettings(budget=BUDGET)
    budget = calibration.budget(
        rules.false_alarms_hz, min_duration_s=rules.min_duration_s, merge_s=rules.clear_after_s
    )
    fresh, *tests = [_window_scores(calibration, one.fresh) for one in levels]
    return _heard(scene, budget.threshold, fresh, tests)


def _window_scores(calibration: Calibration, levels: Floats) -> list[WindowScore]:
    found = []
    for index, level in enumerate(levels):
        p = max(calibration.judge(np.array([level])).p, SMALLEST_P)
        span = index * HOP_NS, (index + HOPS) * HOP_NS
        found.append(WindowScore(SCENE, index, *span, p))
    return found


def _tests(scene: Scene) -> Sequence[tuple[Sound, tuple[Label, ...]]]:
    return [scene.tests[snr_db] for snr_db in SNRS_DB]


def _start_ns(scores: Sequence[WindowScore]) -> int:
    return scores[0].start_ns


def _heard(
    scene: Scene,
    threshold: float,
    fresh: Sequence[WindowScore],
    tests: Sequence[Sequence[WindowScore]],
) -> Heard:
    pairs = zip(SNRS_DB, tests, _tests(scene), strict=True)
    return Heard(threshold, fresh, {snr: (scores, labels) for snr, scores, (_, labels) in pairs})
