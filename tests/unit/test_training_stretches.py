"""Labelled stretches as wholes: clips, and what somebody looked at and called normal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.calibration import Budget
from pipeline.detection.score import WindowScore
from pipeline.training import metrics, stretches
from pipeline.training.evaluation import evaluate
from pipeline.training.evaluation_report import render
from pipeline.training.evaluation_result import Evaluation, Limit
from pipeline.training.labels import NORMAL, Label
from pipeline.training.stretches import judge_stretches
from pipeline.training.watched import Watched, watch

HOP_NS = 500_000_000
CLIP_S, STEP_S = 10.0, 15.0
LIMIT = Limit.calibrated("6/hour", Budget(3.0, 6 / 3600, 3 / 3600, 12 / 3600, 1200.0, True))


def clips(levels: Mapping[int, float], kinds: Mapping[int, str], count: int) -> Watched:
    """Clips with pauses between; the fifth second of some is as unusual as is said."""
    scores = []
    for n in range(int(count * STEP_S * 2)):
        start_ns = n * HOP_NS
        clip, at_s = divmod(n / 2, STEP_S)
        seen = at_s + 2 <= CLIP_S
        level = levels.get(int(clip), 0.1) if 4 <= at_s < 5.5 else 0.1
        p = 10.0**-level if seen else 1.0
        found = {"audio:m": p} if seen else {}
        scores.append(WindowScore("pump", n, start_ns, start_ns + 4 * HOP_NS, p, found))
    return watch(scores, [label(n, kind) for n, kind in kinds.items()], HOP_NS)


def label(clip: int, kind: str = NORMAL) -> Label:
    return Label(clip * STEP_S, clip * STEP_S + CLIP_S, kind, (), f"{kind}/{clip:02}")


def judge(watched: Watched, normal: list[Label]) -> Evaluation:
    return evaluate(watched, LIMIT, AlarmSettings(budget="6/hour"), normal=normal)


def test_a_clip_is_called_by_its_highest_score_and_by_its_mean_one() -> None:
    watched = clips({0: 4.0, 1: 2.0, 5: 1.0}, {0: "leak", 1: "leak", 2: "knock"}, 20)
    found = judge(watched, [label(n) for n in range(3, 20)]).stretches
    assert found is not None
    assert (found.normal, found.false, found.unseen) == (17, 0, 0)
    leak, knock = {group.name: group for group in found.kinds}["leak"], found.kinds[0]
    assert (leak.stretches, leak.alarms, leak.auroc, leak.partial) == (2, 1, 1.0, 1.0)
    assert (knock.name, knock.alarms) == ("knock", 0)
    assert knock.auroc == pytest.approx(16 / 17 / 2)  # ties with all but the louder normal one
    first = found.stretches[0]
    assert (first.label.description, first.highest, first.alarm) == ("leak/00", 4.0, True)
    assert first.mean == pytest.approx((14 * 0.1 + 3 * 4.0) / 17)


def test_a_clip_that_nothing_saw_is_left_out_and_counted() -> None:
    watched = clips({0: 4.0}, {0: "leak"}, 4)
    pause = Label(2 * STEP_S + CLIP_S + 0.1, 3 * STEP_S - 2.0, NORMAL)
    found = judge(watched, [label(2), label(3), pause]).stretches
    assert found is not None
    assert (found.normal, found.unseen) == (2, 1)


def test_without_both_sorts_there_is_nothing_to_tell() -> None:
    watched = clips({}, {0: "leak"}, 3)
    assert judge(watched, []).stretches is None
    assert judge(clips({}, {}, 3), [label(1)]).stretches is None
    assert "Stretch by stretch" not in render(judge(watched, []), watched)


def test_the_report_names_the_clips_that_are_hardest() -> None:
    watched = clips({0: 4.0, 1: 2.0, 5: 5.0}, {0: "leak", 1: "<leak>"}, 20)
    result = judge(watched, [label(n) for n in range(2, 20)])
    text = render(result, watched)
    assert "Stretch by stretch" in text
    calm, wrong = text.split("Normal ones that look least so")[1].split("look most normal")
    assert calm.index("normal/05") < calm.index("normal/02")
    assert wrong.index("&lt;leak&gt;/01") < wrong.index("leak/00")
    assert '"stretches": {' in result.to_json()


def test_a_part_of_the_curve_is_stretched_from_chance_to_perfect() -> None:
    truth = np.arange(40) < 20
    assert metrics.partial_auroc(truth, np.where(truth, 1.0, 0.0), 0.1) == 1.0
    assert metrics.partial_auroc(truth, np.zeros(40), 0.1) == pytest.approx(0.5)
    rng = np.random.default_rng(1)
    scores = rng.normal(truth.astype(float), 1.0)
    assert metrics.partial_auroc(truth, scores, 1.0) == pytest.approx(metrics.auroc(truth, scores))
    # One normal of twenty is over half of the others: half of them up to .05, then all.
    scores = np.concatenate([np.full(10, 3.0), np.full(10, 1.0), [2.0], np.zeros(19)])
    share = (0.05 * 0.5 + 0.05 * 1.0 - 0.005) / (0.1 - 0.005)
    assert metrics.partial_auroc(truth, scores, 0.1) == pytest.approx(0.5 + share / 2)
    assert np.isnan(metrics.partial_auroc(truth, scores, 0.04))


def test_of_one_sort_alone_nothing_is_said_and_no_label_is_gone_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand labels over a day were, at 20 s each time."""
    monkeypatch.setattr(stretches, "_stretch", lambda *_: pytest.fail("a label was gone through"))
    wrong = clips({0: 4.0}, {n: "leak" for n in range(5)}, 20)
    assert judge_stretches(wrong, [], []) is None
    assert judge_stretches(clips({}, {}, 20), [label(n) for n in range(5)], []) is None
    assert wrong.levels is wrong.levels  # not made anew for each label
