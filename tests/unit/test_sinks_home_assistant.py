from __future__ import annotations

import json
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from pipeline.core.event import HEALTH_PREFIX, Event, Phase, to_json
from pipeline.sinks.home_assistant import discovery, state
from pipeline.sinks.mqtt import MqttSettings
from tests.event_samples import event, life

TEXT = {"type": "string", "minLength": 1}
TOPIC = {"type": "string", "pattern": r"^[^+#\0/][^+#\0]*$"}


def entity(platform: str, needed: dict[str, Any], **optional: Any) -> dict[str, Any]:
    required = {"platform": {"const": platform}, "unique_id": TEXT} | needed
    return {
        "type": "object",
        "required": list(required),
        "properties": required | {"name": TEXT, "value_template": TEXT} | optional,
        "additionalProperties": False,
    }


# home-assistant.io/integrations/mqtt ("Device discovery payload"), binary_sensor.mqtt,
# sensor.mqtt, event.mqtt, image.mqtt: what is required, and of the rest what we use.
DEVICE_DISCOVERY = {
    "type": "object",
    "required": ["device", "origin", "components"],
    "additionalProperties": False,
    "properties": {
        "device": {
            "type": "object",
            "required": ["identifiers"],
            "additionalProperties": False,
            "properties": {
                "identifiers": {"type": "array", "minItems": 1, "items": TEXT},
                "configuration_url": {"type": "string", "pattern": "^(https?|homeassistant)://"},
                **dict.fromkeys(("name", "manufacturer", "sw_version"), TEXT),
            },
        },
        "origin": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": dict.fromkeys(("name", "sw_version", "support_url"), TEXT),
        },
        "availability_topic": TOPIC,
        "payload_available": TEXT,
        "payload_not_available": TEXT,
        "components": {
            "type": "object",
            "propertyNames": {"pattern": "^[a-zA-Z0-9_-]+$"},
            "additionalProperties": {
                "oneOf": [
                    entity(
                        "binary_sensor",
                        {"state_topic": TOPIC},
                        device_class={"const": "problem"},
                        payload_on=TEXT,
                        payload_off=TEXT,
                        json_attributes_topic=TOPIC,
                    ),
                    entity(
                        "sensor",
                        {"state_topic": TOPIC},
                        device_class={"const": "enum"},
                        options={"type": "array", "minItems": 1, "items": TEXT},
                    ),
                    entity(
                        "event",
                        {"state_topic": TOPIC, "event_types": {"type": "array", "items": TEXT}},
                    ),
                    entity("image", {"image_topic": TOPIC}, content_type={"const": "image/jpeg"}),
                ]
            },
        },
    },
}


def announced(*scenes: str, page: str = "") -> tuple[str, dict[str, Any]]:
    topic, payload = discovery(
        "site",
        scenes,
        prefix="homeassistant",
        topic=lambda scene, kind: f"fusewatch/site/{scene}/{kind}",
        availability_topic="fusewatch/site/status",
        page=page,
    )
    return topic, json.loads(payload)


def shown(component: str, said: bytes) -> str:
    """What Home Assistant makes of a message by a component's template."""
    template = announced("hall")[1]["components"][component]["value_template"]
    return ImmutableSandboxedEnvironment().from_string(template).render(value_json=json.loads(said))


def test_the_message_has_what_home_assistant_requires_and_nothing_it_does_not_know() -> None:
    for page in ("", "https://watch.test"):
        topic, payload = announced("hall", "back-yard_2", page=page)
        assert topic == "homeassistant/device/fusewatch_site/config"
        Draft202012Validator(DEVICE_DISCOVERY).validate(payload)
        assert payload["device"].get("configuration_url", "") == page


def test_each_scene_has_its_own_entities_of_one_device() -> None:
    components = announced("hall", "yard")[1]["components"]
    kinds = ("problem", "severity", "summary", "event", "snapshot")
    assert set(components) == {f"{scene}_{kind}" for scene in ("hall", "yard") for kind in kinds}
    assert len({one["unique_id"] for one in components.values()}) == 10
    assert components["hall_severity"]["options"] == ["none", "low", "medium", "high", "critical"]
    assert components["yard_snapshot"]["image_topic"] == "fusewatch/site/yard/snapshot"


def test_the_state_is_on_from_raised_to_cleared() -> None:
    states = [state(each) for each in life()]
    assert [shown("hall_problem", s) for s in states] == ["ON", "ON", "OFF"]
    assert [shown("hall_severity", s) for s in states] == ["high", "high", "none"]
    assert json.loads(state(event(phase=Phase.RAISED)))["event"] == event().id


def test_a_summary_is_no_longer_than_a_state_may_be() -> None:
    assert shown("hall_summary", state(event())) == "a sound without its cause"
    assert shown("hall_summary", state(event(summary="x" * 300))) == "x" * 255


@pytest.mark.parametrize(
    ("told", "equipment"),
    [
        (event(), False),
        (event(summary='<b>"quoted" & {{ 7*7 }}\n</b>'), False),
        (event(id=f"{HEALTH_PREFIX}1", phase=Phase.CLEARED), True),
    ],
)
def test_an_event_entity_fires_with_the_phase_and_says_what_it_was(
    told: Event, equipment: bool
) -> None:
    said = json.loads(shown("hall_event", to_json(told)))
    assert said["event_type"] in announced("hall")[1]["components"]["hall_event"]["event_types"]
    assert said == {
        "event_type": told.phase.value,
        "severity": "high",
        "alarm": "anomaly",
        "summary": told.summary,
        "id": told.id,
        "score": 5.0,
        "equipment": equipment,
    }


@pytest.mark.parametrize("prefix", ["a/#", "+/a", "/a", "a/", "a\0"])
def test_prefixes_that_are_no_topics_are_refused(prefix: str) -> None:
    with pytest.raises(ValidationError, match="prefix"):
        MqttSettings(prefix=prefix)


@pytest.mark.parametrize("page", ["watch.test", "https://", "ftp://watch.test"])
def test_a_page_that_home_assistant_would_not_take_is_refused(page: str) -> None:
    with pytest.raises(ValidationError, match="page"):
        MqttSettings(page=page)
