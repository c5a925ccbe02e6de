"""Whoever asks a running fusion node how well its streams agree gets an answer, and only then."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from nodes.alarm_rates import AlarmRates
from nodes.assembly import build_engine
from nodes.cli import run
from nodes.commands.sync import news
from nodes.equipment_metrics import EquipmentMetrics
from nodes.sync_request import STALE_S, SyncRequest
from nodes.sync_watching import LOOK_EVERY, SyncWatching
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import Arrival
from pipeline.core.event import HEALTH_PREFIX, Event, Phase, Severity
from pipeline.detection.alarm import AlarmSettings
from pipeline.detection.live_rate import Watched
from pipeline.store import AnswerStore, Commit, FusionStore
from tests.unit.test_sync_watch import DEPLOYMENT, SECOND, START_NS, arrivals

LATE_S = 0.25


def late_s(second: float) -> float:
    return LATE_S


@pytest.fixture(scope="module")
def steps() -> list[Arrival]:
    return [a for a in arrivals(late_s) if a.arrival_ns < START_NS + 50 * SECOND]


@pytest.fixture(params=[False, True])
def deployment(request, tmp_path: Path) -> Deployment:
    """One scene, which the engine watches or not."""
    text = DEPLOYMENT if request.param else DEPLOYMENT.replace("enabled: true", "enabled: false")
    (tmp_path / "d.yaml").write_text(text)
    return load_deployment(tmp_path / "d.yaml")


def follow(watching: SyncWatching, engine, steps: list[Arrival]) -> None:
    for arrival in steps:
        engine.take(arrival)
        watching.take(arrival)
        watching.look(arrival.arrival_ns)
    engine.collect()


def test_an_answer_tells_the_offset_and_how_sure_it_is(
    deployment: Deployment, steps: list[Arrival]
) -> None:
    engine = build_engine(deployment).engine
    watching = SyncWatching(deployment, engine.health.sync.watches)
    request = SyncRequest(deployment.data)
    request.ask(30)
    follow(watching, engine, steps)
    found = request.read()["hall"]
    assert found["reference"] == "mic"
    offset = found["streams"]["cam"]
    assert offset["certain"]
    assert abs(offset["offset_ms"] - 1000 * LATE_S) <= offset["uncertainty_ms"] < 100
    told: dict[str, str] = {}
    lines = list(news(request.read(), told, as_json=False))
    assert len(lines) == 1
    assert f"hall against mic: cam {offset['offset_ms']:+.0f} ± " in lines[0]
    assert list(news(request.read(), told, as_json=False)) == []
    assert json.loads(next(news(request.read(), {}, as_json=True)))["scene"] == "hall"

    metrics = EquipmentMetrics(registry := CollectorRegistry())
    metrics.syncs(watching.watches)
    labels = {"scene": "hall", "stream": "cam"}
    gauge = registry.get_sample_value("fusewatch_sync_offset_seconds", labels)
    assert gauge == pytest.approx(LATE_S, abs=offset["uncertainty_ms"] / 1000)
    request.withdraw()
    assert request.read() == {}


def test_a_stream_with_nothing_in_common_is_said_to_have_none_and_when_it_last_had() -> None:
    seen = {"offset_ms": 12.4, "uncertainty_ms": 8.2, "certain": False}
    found = {
        "looked": "later",
        "reference": "mic",
        "streams": {"cam": seen, "knock": seen},
        "certain_last": {"cam": {"at": "before", **seen}},
        "unusable": {"log": "silent"},
    }
    line = next(news({"hall": found, "yard": {"looked": None}}, {}, as_json=False))
    assert line == (
        "later hall against mic: cam nothing in common, +12 ± 8 ms at before; "
        "knock nothing in common; log: silent"
    )


def test_nothing_is_compared_for_nobody(tmp_path: Path, steps: list[Arrival]) -> None:
    (tmp_path / "d.yaml").write_text(DEPLOYMENT.replace("enabled: true", "enabled: false"))
    deployment = load_deployment(tmp_path / "d.yaml")
    engine = build_engine(deployment).engine
    watching = SyncWatching(deployment, engine.health.sync.watches)
    request = SyncRequest(deployment.data)
    follow(watching, engine, steps[:LOOK_EVERY])
    assert not watching.watches
    request.ask(30)
    follow(watching, engine, steps[:LOOK_EVERY])
    assert list(watching.watches) == ["hall"]
    wish = deployment.data / "run" / "sync-request.json"
    old_s = wish.stat().st_mtime - STALE_S - 1
    os.utime(wish, (old_s, old_s))  # whoever asked is gone without a word
    follow(watching, engine, steps[:LOOK_EVERY])
    assert not watching.watches


def test_asking_where_nothing_runs_is_a_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "d.yaml").write_text(DEPLOYMENT)
    assert run(["sync", "watch", str(tmp_path / "d.yaml"), "--seconds", "1"]) != 0
    assert "its fusion node is not running here" in capsys.readouterr().err


def test_events_of_the_equipment_count_against_no_budget(tmp_path: Path) -> None:
    def event(name: str) -> Event:
        return Event(
            id=name, revision=0, scene="hall", alarm="a", phase=Phase.RAISED,
            severity=Severity.LOW, start_ns=5, end_ns=6, p=1.0, score=0.0, summary="",
        )  # fmt: skip

    store = FusionStore(tmp_path / "fusion.db")
    both = (event("abc"), event(f"{HEALTH_PREFIX}abc"))
    store.commit(Commit(events=both))
    assert store.raised("hall", 0) == {"abc": 5}
    assert [found.id for found in store.phases(HEALTH_PREFIX)] == [f"{HEALTH_PREFIX}abc"]
    answers = AnswerStore(tmp_path / "answers.db")
    rates = AlarmRates({"hall": AlarmSettings()}, store, answers)
    rates.take(both)
    found = rates.of("hall", Watched([(0, 10)]))
    assert found is not None
    assert found.spent.spent == 1
    answers.close()
    store.close()
