from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.calibration import Budget
from pipeline.detection.score import WindowScore
from pipeline.training.evaluation import evaluate
from pipeline.training.evaluation_report import render, write_report
from pipeline.training.evaluation_result import Evaluation, Limit
from pipeline.training.labels import Label
from pipeline.training.report_words import clock, number, share, short
from pipeline.training.watched import Watched, watch

HOP_NS = 500_000_000
ALARM = AlarmSettings(budget="6/hour")
LIMIT = Limit.calibrated("6/hour", Budget(3.0, 6 / 3600, 3 / 3600, 12 / 3600, 1200.0, True))
LABELS = (
    Label(100.0, 104.0, "V", ("video",), "a <b>box</b> & a ball"),
    Label(200.0, 205.0, "V", ("video",)),
    Label(300.0, 303.0, "X1", ("video", "audio"), "a step that nobody took"),
    Label(5000.0, 5001.0, "A", ("audio",)),
)


def scores() -> list[WindowScore]:
    """Twenty minutes: the first label is found by video, the third by both, the second missed.

    A false alarm stands at 700 s.
    """
    rng = np.random.default_rng(3)
    made = []
    for n in range(2400):
        end_s = 2 + n / 2
        video, joint = rng.uniform(0.01, 1, 2)
        if 100 < end_s <= 105 or 700 < end_s <= 703:
            video = 1e-6
        if 301 < end_s <= 304:
            joint = 1e-5
        p = min(1.0, 2 * min(video, joint))
        notes = {"video:cam": "something <i>new</i>"} if video < 0.01 else {}
        detectors = {"video:cam": video, "joint": joint}
        start_ns = n * HOP_NS
        made.append(WindowScore("hall", n, start_ns, start_ns + 4 * HOP_NS, p, detectors, notes))
    return made


@lru_cache(maxsize=1)
def judged() -> tuple[Evaluation, Watched]:
    watched = watch(scores(), LABELS, HOP_NS)
    motion = np.where(watched.truth([2]), 5.0, 1.0)
    motion[:100] = np.nan
    limits = [Limit.calibrated("60/hour", Budget(1.9, 1 / 60, 1 / 80, 1 / 50, 1200.0, False))]
    return evaluate(watched, LIMIT, ALARM, limits=limits, levels={"motion:cam": motion}), watched


def test_the_headline_is_what_the_threshold_set_before_gives() -> None:
    events = judged()[0].headline.events
    assert (events.threshold, events.alarms, events.false_alarms) == (3.0, 3, 1)
    assert (events.recall.found, events.recall.labels) == (2, 3)
    assert events.precision == events.f1 == pytest.approx(2 / 3)
    hours = judged()[0].normal_s / 3600
    assert events.per_hour == pytest.approx(1 / hours)
    assert hours == pytest.approx((1200 - 12 - 3 * 4) / 3600, abs=2 / 3600)


def test_another_recording_of_scores_does_not_move_the_threshold() -> None:
    """Twice the scores: other curve, same limit."""
    louder = [replace(s, p=s.p**3) for s in scores()]
    found = evaluate(watch(louder, LABELS, HOP_NS), LIMIT, ALARM)
    assert found.headline.limit == judged()[0].headline.limit
    assert found.headline.events.threshold == 3.0
    assert found.headline.events.false_alarms > 1


def test_kinds_and_modality_sets_are_judged_by_themselves() -> None:
    found = judged()[0]
    kinds = {group.name: group.recall for group in found.kinds}
    assert {name: (r.found, r.labels) for name, r in kinds.items()} == {"V": (1, 2), "X1": (1, 1)}
    sets = {group.name: group.recall.found for group in found.modality_sets}
    assert sets == {"audio+video": 1, "video": 1}


def test_a_label_beyond_the_scores_is_told_and_not_missed() -> None:
    found = judged()[0]
    assert [label.kind for label in found.outside] == ["A"]
    assert "labels left out, as nothing was scored there: 1" in found.warnings


def test_misses_say_how_near_they_were_and_to_what() -> None:
    (miss,) = judged()[0].misses
    assert miss.label == LABELS[1]
    assert 200 < miss.at_s <= 207
    assert miss.detector in {"video:cam", "joint"}
    assert miss.detector_p <= miss.best_p


def test_false_alarms_say_what_was_said() -> None:
    (false,) = judged()[0].false_alarms
    assert 699 <= false.start_s <= 701
    assert false.summary.startswith("Something <i>new</i> (cam); about 1 in")


def test_the_table_holds_the_merged_score_each_detector_and_the_baselines() -> None:
    rows = {row.name: row for row in judged()[0].rows}
    assert list(rows) == ["merged", "joint", "video:cam", "motion:cam", "random", "all ones"]
    assert rows["all ones"].auroc == 0.5
    assert set(rows["all ones"].found.values()) == {0.0}
    assert rows["random"].auroc == pytest.approx(0.5, abs=0.15)
    assert rows["motion:cam"].kinds["X1"] > 0.95
    assert rows["merged"].found["6"] == pytest.approx(2 / 3)
    assert rows["video:cam"].found["6"] == pytest.approx(1 / 3)


def test_the_curve_is_of_falling_thresholds_and_holds_the_limits() -> None:
    found = judged()[0]
    thresholds = [point.threshold for point in found.curve]
    assert thresholds == sorted(thresholds, reverse=True)
    assert {3.0, 1.9} <= set(thresholds)
    by_rate = {at.rate_per_hour: at.events for at in found.at_rates}
    assert list(by_rate) == [1.0, 2.0, 6.0, 12.0, 60.0]
    for rate, events in by_rate.items():
        assert events.per_hour <= rate
    assert (found.curve[0].alarms, found.curve[0].recall.found) == (0, 0)


def test_json_holds_everything_and_no_nan() -> None:
    text = judged()[0].to_json()
    assert "NaN" not in text
    data = json.loads(text)
    assert data["headline"]["limit"]["budget"] == "6/hour"
    assert data["headline"]["events"]["recall"]["found"] == 2
    assert data["misses"][0]["label"]["kind"] == "V"
    assert data["curve_note"].startswith("The curve uses the labels")


def test_a_recording_without_labels_has_only_false_alarms() -> None:
    watched = watch(scores(), [], HOP_NS)
    found = evaluate(watched, LIMIT, ALARM)
    assert found.headline.events.false_alarms == 3
    assert math.isnan(found.windows.auroc)
    assert "no label lies in what was scored" in " ".join(found.warnings)
    assert json.loads(found.to_json())["windows"]["auroc"] is None
    assert "False alarms (3)" in render(found, watched)


def test_p_values_taken_at_their_word_allow_a_share_of_windows() -> None:
    limit = Limit.of_p_values(ALARM, hop_s=0.5)
    # 6 an hour, each holding two windows of half a second: a 600th of the time.
    assert limit.threshold == pytest.approx(math.log10(600))
    assert not limit.counted


class Page(HTMLParser):
    """What a page loads, and whether its elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [
            value or ""
            for name, value in attrs
            if name in {"src", "href", "xlink:href"} and not (value or "").startswith("#")
        ]
        if tag not in {"meta", "li", "path", "use", "rect", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"li", "path", "use", "rect", "p"}:
            while self.open[-1] == "p":
                self.open.pop()
            assert self.open.pop() == tag
        elif self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_report_is_one_page_that_loads_nothing(tmp_path: Path) -> None:
    file = write_report(tmp_path / "report", *judged())
    text = file.read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.loads == []
    assert "default-src 'none'" in text
    assert not re.search(r"url\((?!#)", text)
    assert text.count("<svg") == 6
    said = " ".join(page.text)
    for words in ("Timeline", "By kind", "Alarm budget", "Missed (1)", "False alarms (1)"):
        assert words in said
    assert "The curve uses the labels." in said
    assert "a <b>box</b> & a ball" not in text  # found: not listed
    assert "something <i>new</i>" in said.lower()  # as text, not as markup
    assert (tmp_path / "report" / "evaluation.json").read_text() == judged()[0].to_json()


def test_the_report_is_the_same_every_time_and_its_drawings_share_no_id() -> None:
    first, second = render(*judged()), render(*judged())
    assert first == second
    clips = re.findall(r'<clipPath id="(\w+)"', first)
    assert len(clips) == len(set(clips)) > 5


def test_drawings_take_the_ink_of_the_page() -> None:
    text = render(*judged())
    assert "var(--ink)" in text
    assert "#010203" not in text
    assert "prefers-color-scheme:dark" in text


def test_labels_that_were_not_judged_are_listed_up_to_a_number_that_is_told() -> None:
    late = tuple(Label(5000.0 + n, 5000.5 + n, "A", ("audio",)) for n in range(240))
    found = watch(scores(), LABELS + late, HOP_NS)
    text = render(evaluate(found, LIMIT, ALARM), found)
    assert "nothing was scored (241)" in text
    assert text.count("A at 1:2") == 200
    assert "And 41 more, see evaluation.json" in text


def test_figures_read_well() -> None:
    assert [clock(s) for s in (0, 59.6, 3725, -2)] == ["0:00", "1:00", "1:02:05", "-0:02"]
    assert [short(x) for x in (0.5, 0.996, 1.0, math.nan)] == [".50", "1.00", "1.00", "-"]
    assert [number(x) for x in (0.04, 3.25, 120.4, math.inf)] == ["0.0", "3.2", "120", "-"]
    assert share(2 / 3) == "67%"
