"""What budgets would have done on a recording, told before anything goes live."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from nodes.budget_words import budget_words, rate
from nodes.shipped import shipped_config
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.score import WindowScore
from pipeline.detection.scorer import calibration_of
from pipeline.models.scene_model import Held, SceneModel
from pipeline.models.settings import DetectorSettings
from pipeline.training.budget_preview import BUDGETS, KnownEvents, preview, without
from pipeline.training.commissioning import commission
from pipeline.training.labels import Label
from tests.command_line import fusewatch
from tests.toy_site import FIRST, HOP_NS, LENGTH_NS, SENSORS, Site
from tests.unit.test_evaluate_command import START, write_readings

QUICK = DetectorSettings(block_s=10.0, folds=3, place_memory=60, memory=100)
WINDOWS = 240
START_NS = FIRST * HOP_NS
HOURLY = AlarmSettings(budget="60/hour", min_duration_s=1.0)


@lru_cache(maxsize=1)
def learnt() -> SceneModel:
    return commission("hall", Site(streams=(SENSORS,)).windows(0, WINDOWS), QUICK)[0]


def with_held(levels: np.ndarray) -> SceneModel:
    """The same model, had its held-out normal had these raw scores."""
    scores = np.repeat(levels[:, None], len(learnt().names), axis=1)
    ends = START_NS + LENGTH_NS + np.arange(len(levels), dtype=np.int64) * HOP_NS
    return replace(learnt(), held=Held(scores, ends))


def heard(*loud: range) -> tuple[WindowScore, ...]:
    """Windows after those learnt, quiet but for some."""
    return tuple(
        WindowScore(
            "hall", FIRST + at, (FIRST + at) * HOP_NS, (FIRST + at) * HOP_NS + LENGTH_NS,
            1e-9 if any(at in span for span in loud) else 0.5,
        )
        for at in range(WINDOWS, WINDOWS + 100)
    )  # fmt: skip


def label(first: int, last: int) -> Label:
    """An event of some hops, whose windows are those that hold any of it."""
    return Label(first * HOP_NS / 1e9, last * HOP_NS / 1e9, "fall [a/b]")


def test_the_chosen_budget_stands_among_the_usual_ones_in_order_and_once():
    rows = preview(learnt(), AlarmSettings(budget="3/day")).rows
    assert [row.alarm.budget for row in rows] == [*BUDGETS[:3], "3/day", *BUDGETS[3:]]
    assert [row.alarm.budget for row in rows if row.chosen] == ["3/day"]
    thresholds = [row.threshold for row in rows]
    assert thresholds == sorted(thresholds, reverse=True)
    again = preview(learnt(), AlarmSettings(budget="24/day")).rows
    assert len(again) == len(BUDGETS) + 1
    assert len(preview(learnt(), AlarmSettings(budget="7/week")).rows) == len(BUDGETS)


def test_what_was_raised_is_what_the_real_alarm_raises_window_by_window():
    levels = np.random.default_rng(1).gumbel(size=2000)
    model = with_held(np.repeat(levels, 3))
    whole = preview(model, HOURLY)
    found = whole.chosen
    alarm = Alarm(found.alarm, "hall", found.threshold, HOP_NS)
    held = calibration_of(model).held_scores
    raised = 0
    for at, level in enumerate(held.tolist()):
        start_ns = (FIRST + at) * HOP_NS
        score = WindowScore("hall", FIRST + at, start_ns, start_ns + LENGTH_NS, 10.0**-level)
        raised += sum(t.phase == "raised" for t in alarm.update(score))
    assert found.raised == raised > 10
    assert whole.normal_s == len(held) * HOP_NS / 1e9


def test_normal_that_changes_shows_when_each_half_is_judged_by_the_other():
    same = np.repeat(np.random.default_rng(2).gumbel(size=800), 3)
    later = np.arange(len(same)) >= len(same) // 2
    steady, livelier = (
        preview(with_held(x), HOURLY).chosen for x in (same, np.where(later, 2 * same, same))
    )
    assert livelier.raised <= 1.3 * livelier.expected
    assert livelier.apart > 1.5 * livelier.expected
    assert steady.apart < 1.3 * steady.expected
    assert livelier.low_hz > HOURLY.false_alarms_hz > steady.low_hz


def test_an_alarm_that_would_stand_all_the_time_is_not_told_as_one_alarm():
    same = np.random.default_rng(2).gumbel(size=2400)
    moved = np.where(np.arange(2400) < 1200, same, same + 4)
    found = preview(with_held(moved), HOURLY)
    assert found.chosen.apart == 1
    assert found.chosen.stood > 0.4
    assert "would have stood" in " ".join(budget_words(found))


def test_a_budget_that_is_too_rare_for_the_recording_is_never_called_counted():
    found = preview(learnt(), AlarmSettings(budget="2/week"))
    length_s = WINDOWS * HOP_NS / 1e9
    chosen = found.chosen
    assert not chosen.supported
    assert chosen.expected == pytest.approx(length_s * 2 / 604800)
    assert chosen.needed_s == 302400
    # Nothing raised in two minutes says no more than that three in that time would be many.
    assert (chosen.apart, chosen.low_hz) == (0, 0)
    assert chosen.high_hz * length_s == pytest.approx(2.996, abs=0.01)
    assert rate(chosen) == "under 15098 a week"
    said = " ".join(budget_words(found))
    assert "3.5 days of normal would do" in said
    assert "extrapolated" in said


def test_without_known_events_it_says_so_and_how_to_label():
    said = " ".join(budget_words(preview(learnt(), AlarmSettings())))
    assert "what it would miss cannot be told" in said
    assert "--labels" in said
    assert "start_s" in said


def test_known_events_that_raise_no_alarm_are_missed_and_named():
    loud = range(WINDOWS + 20, WINDOWS + 30)
    known = KnownEvents(
        (label(WINDOWS + 20, WINDOWS + 30), label(WINDOWS + 60, WINDOWS + 70), label(9e3, 9e3 + 1)),
        START_NS,
        heard(loud),
    )
    found = preview(learnt(), AlarmSettings(budget="2/hour"), known)
    assert [len(found.events), len(found.outside)] == [2, 1]
    assert found.chosen.missed == (1,)
    assert found.found_from(0) == found.rows[0]
    assert found.found_from(1) is None
    assert {missed for _, missed in found.curve} == {1}
    said = "\n".join(budget_words(found))
    assert "1 of 2" in said
    assert "missed: 2:30 fall [a/b], highest score 0.30, found by none of these budgets" in said
    assert "no window shows them: 1" in said


def test_an_event_too_short_for_the_alarm_is_missed_however_loud():
    known = KnownEvents((label(WINDOWS + 20, WINDOWS + 21),), START_NS, heard(range(260, 261)))
    patient = AlarmSettings(budget="6/hour", min_duration_s=2.0)
    assert preview(learnt(), patient, known).chosen.missed == (0,)
    assert preview(learnt(), AlarmSettings(min_duration_s=0), known).chosen.missed == ()


def test_windows_near_a_known_event_are_not_learnt():
    known = KnownEvents((label(100, 104),), START_NS)
    windows = Site(streams=(SENSORS,)).windows(0, WINDOWS)
    kept = {window.index - FIRST for window in without(windows, known)}
    # Of 2 s, overlapping a span of 2 s that is 2 s longer at either end.
    assert sorted(set(range(WINDOWS)) - kept) == list(range(93, 108))
    scored = heard()
    early = KnownEvents((label(WINDOWS + 3, WINDOWS + 4), label(WINDOWS, WINDOWS + 10)), START_NS)
    assert [early.over(one) for one in scored].index(True) == 14
    assert not any(early.holds(one) for one in scored[14:])
    assert early.holds(scored[13])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("budgets")
    write_readings(folder / "machine.csv")
    labels = [{"start": "2024-05-01T08:03:20Z", "end_s": 206}]
    (folder / "labels.json").write_text(json.dumps(labels))
    where = ["--scene", "site", "--start", START, "-o", folder / "site.mcap"]
    assert fusewatch("import", *where, "--sensors", folder / "machine.csv") == 0
    return folder


def test_commission_prints_and_draws_the_budgets_with_known_events(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # of most terminals
    made = ["--recording", site / "site.mcap", "-o", site / "site.model"]
    options = ["--labels", site / "labels.json", "--report", site / "report", "--to", 230]
    assert fusewatch("commission", shipped_config("imported.yaml"), *made, *options) == 0
    said = capsys.readouterr().out
    for whole in ("> 6/hour ", "(chosen)", "  1/week ", "no: needs"):
        assert whole in said
    assert "…" not in said
    assert "Known events found: 1 of 1." in said
    picture = cv2.imread(str(site / "report" / "site-budget.png"))
    assert picture is not None
    assert picture.shape[0] > 400
    assert np.unique(picture.reshape(-1, 3), axis=0).shape[0] > 50


def test_wrong_labels_are_refused_before_anything_is_learnt(site: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('[{"start_s": 5}]')
    made = ["--recording", site / "site.mcap", "-o", tmp_path / "site.model"]
    code = fusewatch(
        "commission", shipped_config("imported.yaml"), *made, "--labels", tmp_path / "labels.json"
    )
    assert code == 78
    assert not (tmp_path / "site.model").exists()
