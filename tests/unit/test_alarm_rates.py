"""The live rate of alarms in the command line and in the metrics of the fusion node."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from nodes.alarm_rates import LOOK_EVERY_NS, AlarmRates
from nodes.cli import run
from nodes.fusion_metrics import FusionMetrics
from pipeline.core.event import HEALTH_PREFIX, Phase
from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.kept_scoring import STATE_VERSION, ScoringState
from pipeline.detection.live_rate import Watched
from pipeline.detection.scoring_state import SceneScoring
from pipeline.models.past import Past, ScenePast
from pipeline.store import (
    Action,
    Answer,
    AnswerStore,
    Commit,
    FusionStore,
    SceneCheckpoint,
    Verdict,
)
from tests.event_samples import event

CONFIG = """\
name: site
data: data
nodes:
  edge:
    sources:
      - {type: scene}
scenes:
  hall:
    streams: [site-camera]
    model: hall.model
    alarm: {budget: 6/hour}
  yard:
    streams: [site-microphone]
"""
HOURS = 10
SECOND_NS = 10**9


@pytest.fixture
def site(tmp_path: Path) -> Path:
    spans = [(0, HOURS * 3600 * SECOND_NS)]
    scoring = msgspec.msgpack.encode(ScoringState(STATE_VERSION, "hall", "", spans))
    raised = [event(second) for second in (100, 20_000, 34_000, 35_000)]
    with closing(FusionStore(tmp_path / "data" / "fusion.db")) as store:
        scenes = {"hall": SceneCheckpoint(9, b"", scoring)}
        store.commit(Commit(scenes=scenes, events=[*raised, event(100, 1)]))
    config = tmp_path / "site.yaml"
    config.write_text(CONFIG, "utf-8")
    return config


def test_events_rate_tells_what_was_raised_beside_the_budget(site: Path, capsys) -> None:
    assert run(["events", "rate", str(site), "--json"]) == 0
    (hall,) = json.loads(capsys.readouterr().out)
    assert (hall["scene"], hall["budget"]) == ("hall", "6/hour")
    hour, day, week = hall["rates"]
    assert (hour["raised"], day["raised"], week["raised"]) == (2, 4, 4)
    assert hour["ratio"] == pytest.approx(2 / 6)
    assert day["budgeted"] == pytest.approx(6 * HOURS)
    assert hour["low"] < hour["ratio"] < hour["high"]


def test_people_get_a_table_of_rates_or_are_told_what_is_wrong(site: Path, capsys) -> None:
    assert run(["events", "rate", str(site)]) == 0
    assert "0.33" in capsys.readouterr().out
    assert run(["events", "rate", str(site), "--scene", "yard"]) == 78
    assert "--scene hall" in capsys.readouterr().err


def test_before_the_first_window_nothing_was_watched(site: Path, capsys) -> None:
    with closing(FusionStore(site.parent / "data" / "fusion.db")) as store:
        store.commit(Commit(scenes={"hall": SceneCheckpoint(0, b"")}))
    assert run(["events", "rate", str(site), "--json"]) == 0
    hour = json.loads(capsys.readouterr().out)[0]["rates"][0]
    assert (hour["watched_s"], hour["ratio"]) == (0.0, None)


def judge(site: Path, second: int, verdict: Verdict) -> int:
    """Somebody says what an event was; the answer's position."""
    with closing(AnswerStore(site.parent / "data" / "answers.db")) as answers:
        given = (event(second).id, "hall", Action.VERDICT, verdict.value, "", "Ada", 1)
        return answers.add(Answer(*given))


def test_an_alarm_that_was_real_spends_no_budget_until_that_is_taken_back(
    site: Path, capsys
) -> None:
    position = judge(site, 34_000, Verdict.REAL)
    judge(site, 35_000, Verdict.NORMAL)
    assert run(["events", "rate", str(site)]) == 0
    assert "hall: 1 of 6 an hour, within the budget; 1 more were real" in capsys.readouterr().out
    with closing(AnswerStore(site.parent / "data" / "answers.db")) as answers:
        answers.withdraw(position, "Ada", 2)
    assert run(["events", "rate", str(site), "--json"]) == 0
    (hall,) = json.loads(capsys.readouterr().out)
    assert (hall["spent"]["spent"], hall["spent"]["real"]) == (2, 0)
    assert hall["rates"][0]["raised"] == 2


def test_a_running_node_counts_on_from_what_was_raised_before(site: Path) -> None:
    live = SceneScoring("hall", "", SECOND_NS, ScenePast(Past(1, ())))
    live.watched = Watched([(0, HOURS * 3600 * SECOND_NS)])
    hall = {"hall": AlarmSettings(budget="3/hour")}
    registry = CollectorRegistry()
    metrics = FusionMetrics(registry)
    with (
        closing(FusionStore(site.parent / "data" / "fusion.db")) as store,
        closing(AnswerStore(site.parent / "data" / "answers.db")) as answers,
    ):
        rates = AlarmRates(hall, store, answers)
        broken = event(35_700, id=f"{HEALTH_PREFIX}1")
        rates.take(
            [
                event(35_500),
                event(35_500, 1, phase=Phase.UPDATED),
                event(35_600, scene="yard"),
                broken,
            ]
        )
        rates.look(0)
        metrics.scoring("hall", live, rates.of("hall", live.watched))

        def told(name: str, **labels: str) -> float:
            value = registry.get_sample_value(f"fusewatch_{name}", {"scene": "hall", **labels})
            assert value is not None
            return value

        assert told("alarms_raised", period="hour") == told("alarm_budget_spent") == 3
        assert told("alarms_budgeted", period="hour") == pytest.approx(3)
        assert told("alarm_budget_ratio", period="hour") == pytest.approx(1)
        assert told("alarm_budget_ratio_low", period="hour") < 1
        assert rates.of("yard", live.watched) is None
        judge(site, 35_500, Verdict.REAL)
        rates.look(LOOK_EVERY_NS - 1)
        assert rates.of("hall", live.watched).spent.spent == 3
        rates.look(LOOK_EVERY_NS)
        metrics.scoring("hall", live, rates.of("hall", live.watched))
        assert told("alarm_budget_spent") == told("alarms_raised", period="hour") == 2
        assert rates.of("hall", live.watched).spent.real == 1
