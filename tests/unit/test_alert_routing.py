from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from nodes.alert_routing import AlertRouting, why_not
from pipeline.core.event import Phase, Severity
from pipeline.sinks.base import SinkSettings
from pipeline.store import OutboxStore
from tests.event_samples import event


def sink(name: str, **settings: object) -> SinkSettings:
    return SinkSettings.model_validate({"type": "jsonl", "name": name} | settings)


@pytest.mark.parametrize(
    ("settings", "changes", "reason"),
    [
        ({}, {}, ""),
        ({"scenes": ["hall"]}, {}, ""),
        ({"scenes": ["yard"]}, {}, "scene"),
        ({"at_least": "high"}, {}, ""),
        ({"at_least": "critical"}, {}, "severity"),
        ({"equipment": False}, {}, ""),
        ({"equipment": False}, {"id": "health-1"}, "equipment"),
        ({"at_least": "critical"}, {"id": "health-1"}, ""),
        ({}, {"withheld": "snoozed"}, "withheld"),
        ({}, {"withheld": "node gate is gone", "cause": "health-1"}, "cause"),
    ],
)
def test_a_sink_says_of_what_it_is_told(settings, changes, reason: str) -> None:
    assert why_not(event(**changes), sink("a", **settings)) == reason


def test_an_event_goes_to_a_sink_once_it_is_severe_enough_and_then_to_its_end(
    tmp_path: Path,
) -> None:
    grows = [
        event(0, 0, severity=Severity.LOW),
        event(0, 1, severity=Severity.CRITICAL),
        event(0, 2, phase=Phase.CLEARED, severity=Severity.LOW, withheld="like another"),
    ]
    with closing(OutboxStore(tmp_path / "alert.db")) as store:
        routing = AlertRouting([sink("all"), sink("loud", at_least="high")], store.told)
        sent = []
        for phase in grows:
            sent.append(routing.of(phase))
            store.accept(phase, sent[-1])
    assert sent == [["all"], ["all", "loud"], ["all", "loud"]]
    assert routing.not_sent == {("loud", "severity"): 1}


def test_what_is_withheld_goes_to_nobody_and_is_counted(tmp_path: Path) -> None:
    routing = AlertRouting([sink("a"), sink("b")], lambda event_id: ())
    assert routing.of(event(withheld="snoozed")) == []
    assert routing.not_sent == {("a", "withheld"): 1, ("b", "withheld"): 1}
