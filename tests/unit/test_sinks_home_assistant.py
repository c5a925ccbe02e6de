from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from pipeline.core.event import Phase
from pipeline.sinks.home_assistant import discovery, state
from pipeline.sinks.mqtt import MqttSettings
from tests.event_samples import event, life


def messages() -> dict[str, dict[str, object]]:
    made = discovery(
        "site", "hall", prefix="homeassistant", state_topic="s", availability_topic="a"
    )
    return {topic: json.loads(payload) for topic, payload in made}


def test_a_scene_is_a_problem_sensor_and_a_severity_sensor_of_one_device() -> None:
    problem, severity = messages().values()
    assert set(messages()) == {
        "homeassistant/binary_sensor/fusewatch_site/hall_problem/config",
        "homeassistant/sensor/fusewatch_site/hall_severity/config",
    }
    assert problem["device_class"] == "problem"
    assert severity["options"] == ["none", "low", "medium", "high", "critical"]
    assert problem["unique_id"] != severity["unique_id"]
    assert problem["device"] == severity["device"]
    for entity in (problem, severity):
        assert (entity["state_topic"], entity["availability_topic"]) == ("s", "a")


def test_the_state_is_on_from_raised_to_cleared() -> None:
    states = [json.loads(state(each)) for each in life()]
    assert [s["state"] for s in states] == ["ON", "ON", "OFF"]
    assert [s["severity"] for s in states] == ["high", "high", "none"]
    assert json.loads(state(event(phase=Phase.RAISED)))["event"] == event().id


@pytest.mark.parametrize("prefix", ["a/#", "+/a", "/a", "a/", "a\0"])
def test_prefixes_that_are_no_topics_are_refused(prefix: str) -> None:
    with pytest.raises(ValidationError, match="prefix"):
        MqttSettings(prefix=prefix)
