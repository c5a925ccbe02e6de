"""Explanations on synthetic sites, beside the targets of issue B: who it was, and where.

Run by hand: ``python -m tests.benchmarks.explanations``; it takes about two CPU minutes a
site, and needs the sites of `tests.benchmarks.fusion` (the same ``--cache``). A site is
learnt, and every labelled anomaly that the alarm finds is looked at: the explanation is that
of the highest window of the alarm that shows the label.

*The right modality.* For an object, a sound or a fault (V, A, S), the stream that contributes
most is of the label's modality. For what is between streams (X1 to X4) the pair that is named
lies within the label's modalities, with the odd one in it where the label tells which it is
(X3, X4); an explanation that names one stream has to name the odd one, or for X1 and X2 one of
the two. ``loose`` also counts as right when what contributes most is among the label's
modalities.

*The right place.* The middle of the box lies within the true box (where the object or the
person is during the window), widened by one cell of the map on each side. Only V and X1 are at
a place. ``box`` and ``true`` are the shares of the picture that both take, at the median. For
faults of an instrument (S), ``placed`` is how often the first channel told is the faulty one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import platformdirs
import structlog
import torch

from pipeline.core.explanation import Basis, Box, Explanation
from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.score import WindowScore
from pipeline.detection.scorer import Scorer
from pipeline.sources.synthetic.anomalies import Anomaly
from pipeline.sources.synthetic.anomalies import Box as Span
from pipeline.sources.synthetic.reel import Reel
from pipeline.sources.synthetic.sensors import CHANNELS
from pipeline.sources.synthetic.whereabouts import Whereabouts
from pipeline.training.commissioning import commission
from pipeline.training.event_metrics import RaisedAlarm, alarms_of, match_alarms
from pipeline.training.labels import Label
from pipeline.training.watched import Watched, watch
from tests.benchmarks.synthetic_sites import HOP_NS, SCENE, START_NS, Part, Site, recorded

SITES = ((3, 11), (5, 21), (8, 31))
NAMED_TARGET, PLACED_TARGET = 0.90, 0.80
_TOLD = frozenset({"X3", "X4"})  # kinds whose odd modality is known
_AT_A_PLACE = frozenset({"V", "X1"})


@dataclass(frozen=True, slots=True)
class Judged:
    """The explanation of one found label.

    Attributes:
        label: What was there.
        explanation: What was said; None when nothing was.
        named: Whether the right modality was named.
        loose: Whether it was, or what contributes most is among the label's modalities.
        true_box: Where it was, None when nowhere.
        placed: Whether the box is near it.
        channel: Whether the first channel told is the faulty one; None when none is faulty.
    """

    label: Label
    explanation: Explanation | None
    named: bool
    loose: bool
    true_box: Span | None
    placed: bool
    channel: bool | None = None


def judge_site(site: Site, cache: Path, budget: str) -> tuple[list[Judged], float, float]:
    """Explanations of all labels found, and the CPU milliseconds of scoring a window.

    Args:
        site: The site.
        cache: Folder of rendered sites.
        budget: Of the alarm, ``COUNT/PERIOD``.

    Returns:
        The explanations, the cost of windows that are explained and that of all others.
    """
    model, _ = commission(SCENE, recorded(site, Part.TRAIN, cache, _tell).windows())
    part, scorer = recorded(site, Part.WRONG, cache, _tell), Scorer({SCENE: model}, "cpu")
    scores: list[WindowScore] = []
    spent: list[float] = []
    for window in part.windows():
        began = time.process_time()
        scores += scorer.score([window])
        spent.append((time.process_time() - began) * 1e3)
    explained = np.array([score.explanation is not None for score in scores])
    costs = np.array(spent)
    watched = watch(scores, part.labels, HOP_NS, START_NS)
    rules = AlarmSettings(budget=budget)
    threshold = scorer.budget(SCENE, rules).threshold
    raised = alarms_of(scores, rules, threshold, HOP_NS, START_NS)
    found = match_alarms(watched.labels, raised, rules.clear_after_s).found
    settings = site.settings(Part.WRONG)
    where = Whereabouts(settings)
    wrong = Reel(settings).plan.between(part.begin_s, part.begin_s + site.part_s)
    modalities = {info.name: info.modality.value for info in part.streams}
    judged = [
        judged_label(watched, label, alarm, _anomaly(label, wrong), where, modalities)
        for label, alarm in found
        if alarm is not None
    ]
    return judged, float(np.median(costs[explained])), float(np.median(costs[~explained]))


def _anomaly(label: Label, wrong: Sequence[Anomaly]) -> Anomaly:
    same = [a for a in wrong if str(a.kind) == label.kind]
    return min(same, key=lambda a: abs(a.start_s - label.start_s))


def judged_label(
    watched: Watched,
    label: Label,
    alarm: RaisedAlarm,
    anomaly: Anomaly,
    whereabouts: Whereabouts,
    modalities: Mapping[str, str],
) -> Judged:
    """Judge the explanation of one found label.

    Args:
        watched: The part with anomalies.
        label: The label.
        alarm: That found it.
        anomaly: What it labels.
        whereabouts: Of the site.
        modalities: Of each stream.
    """
    shows = watched.shows[watched.labels.index(label)]
    inside = [
        row for row in shows if alarm.start_s < watched.ends_s[row] <= alarm.end_s + HOP_NS / 2e9
    ]
    if not inside:
        return Judged(label, None, False, False, None, False)
    best = max(inside, key=lambda row: watched.levels[row])
    said = watched.scores[best].explanation
    span_s = watched.starts_s[best], watched.ends_s[best]
    true_box = whereabouts.between(anomaly, *span_s) if label.kind in _AT_A_PLACE else None
    if said is None:
        return Judged(label, None, False, False, true_box, False)
    return Judged(
        label,
        said,
        named := is_named(label, said, modalities),
        named or modalities[_most(said)] in label.modalities,
        true_box,
        true_box is not None and is_near(said, true_box),
        _channel(said, anomaly),
    )


def _channel(said: Explanation, anomaly: Anomaly) -> bool | None:
    if anomaly.fault is None:
        return None
    return bool(said.channels) and said.channels[0].name == CHANNELS[anomaly.fault.channel]


def is_named(label: Label, said: Explanation, modalities: Mapping[str, str]) -> bool:
    """Whether the right modality was named, see the module."""
    odd, most = label.modalities[0], modalities[_most(said)]
    if not label.kind.startswith("X"):
        return most == odd
    if said.kind is Basis.SINGLE:
        return most == odd or (label.kind not in _TOLD and most in label.modalities)
    pair = {modalities[name] for name in said.pair}
    return pair <= set(label.modalities) and (label.kind not in _TOLD or odd in pair)


def _most(said: Explanation) -> str:
    return max(said.contributions, key=said.contributions.__getitem__)


def is_near(said: Explanation, true_box: Span) -> bool:
    """Whether the middle of a box lies within the true one, a cell more on each side."""
    if not said.boxes:
        return False
    box, grid = said.boxes[0], said.maps[0]
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    x0, y0, x1, y1 = true_box
    across, down = 1 / grid.cols, 1 / grid.rows
    return x0 - across <= x <= x1 + across and y0 - down <= y <= y1 + down


def table(judged: Sequence[Judged]) -> str:
    """Shares per kind and of all."""
    lines = [f"{'':6}{'found':>6}{'named':>8}{'loose':>8}{'between':>9}{'placed':>9}"]
    lines[0] += f"{'box':>7}{'true':>7}"
    for kind in sorted({one.label.kind for one in judged}):
        lines.append(_line(kind, [one for one in judged if one.label.kind == kind]))
    lines.append(_line("all", judged))
    lines.append(f"{'target':6}{'':6}{NAMED_TARGET:8.0%}{'':17}{PLACED_TARGET:9.0%}")
    return "\n".join(lines)


def _line(name: str, some: Sequence[Judged]) -> str:
    between = [o.explanation is not None and o.explanation.kind is Basis.BETWEEN for o in some]
    shares = (np.mean([o.named for o in some]), np.mean([o.loose for o in some]))
    line = f"{name:6}{len(some):6}{shares[0]:8.1%}{shares[1]:8.1%}{np.mean(between):9.0%}"
    if faults := [o.channel for o in some if o.channel is not None and o.label.kind == name]:
        return f"{line}{f'{sum(faults)}/{len(faults)}':>9}"
    at_a_place = [o for o in some if o.true_box is not None]
    if not at_a_place:
        return line
    said = [o.explanation for o in at_a_place]
    told = [_share_of(one.boxes[0]) for one in said if one is not None and one.boxes]
    true = [(b[2] - b[0]) * (b[3] - b[1]) for o in at_a_place if (b := o.true_box) is not None]
    placed = sum(o.placed for o in at_a_place)
    line += f"{f'{placed}/{len(at_a_place)}':>9}"
    return f"{line}{np.median(told) if told else 0:7.2f}{np.median(true):7.2f}"


def _share_of(box: Box) -> float:
    return (box.right - box.left) * (box.bottom - box.top)


def _wrong(one: Judged) -> str:
    said = one.explanation
    told = "nothing" if said is None else f"{said.kind} {'+'.join(said.pair)} {said.contributions}"
    return f"  {one.label.kind} {one.label.description}: {told}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for and print it."""
    asked = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    every: list[Judged] = []
    for place, seed in asked.sites:
        site = Site(place, seed, round(asked.minutes * 60), asked.size)
        judged, with_ms, without_ms = judge_site(site, asked.cache, asked.budget)
        print(f"== {site.name}\n\n{table(judged)}\n" if judged else f"== {site.name}: none found")
        print(f"scoring a window, ms: explained {with_ms:.1f}, others {without_ms:.1f}")
        if wrong := [_wrong(one) for one in judged if not one.named]:
            print("\n".join(["not named:", *wrong]))
        print(flush=True)
        every += judged
    if len(asked.sites) > 1 and every:
        print(f"== all sites\n\n{table(every)}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.benchmarks.explanations", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    cache = platformdirs.user_cache_path("fusewatch") / "sites"
    add = parser.add_argument
    add("--sites", type=_numbers(","), nargs="+", default=SITES, help="PLACE,SEED ...")
    add("--cache", type=Path, default=cache, help="folder of rendered sites")
    add("--budget", default="6/hour", help="of the alarm, COUNT/PERIOD")
    add("--minutes", type=float, default=30.0, help="length of each part")
    add("--size", type=_numbers("x"), default=(640, 360), help="WIDTHxHEIGHT of the camera")
    return parser


def _numbers(between: str) -> Callable[[str], tuple[int, int]]:
    def read(text: str) -> tuple[int, int]:
        first, second = map(int, text.split(between))
        return first, second

    return read


if __name__ == "__main__":
    main()
