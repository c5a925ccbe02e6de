"""What Home Assistant wants to know over MQTT: one device per deployment, two entities a scene.

Discovery messages are retained, so Home Assistant finds the entities whenever it starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

import pipeline
from pipeline.core.event import Event, Phase, Severity

ONLINE, OFFLINE = "online", "offline"
NO_SEVERITY = "none"


def state(event: Event) -> bytes:
    """The retained state of the event's scene after this phase."""
    on = event.phase is not Phase.CLEARED
    return msgspec.json.encode(
        {
            "state": "ON" if on else "OFF",
            "severity": event.severity.value if on else NO_SEVERITY,
            "phase": event.phase.value,
            "key": event.key,
            "event": event.id,
            "revision": event.revision,
            "start_ns": event.start_ns,
            "end_ns": event.end_ns,
            "score": event.score,
            "summary": event.summary,
        },
        order="sorted",
    )


def discovery(
    deployment: str, scene: str, *, prefix: str, state_topic: str, availability_topic: str
) -> Iterator[tuple[str, bytes]]:
    """Topic and payload of each discovery message of a scene.

    Args:
        deployment: Name of the deployment: the device.
        scene: Name of the scene.
        prefix: Home Assistant's discovery prefix.
        state_topic: Where `state` is published.
        availability_topic: Where `ONLINE` and `OFFLINE` are published.
    """
    device = f"fusewatch_{deployment}"
    common = {
        "state_topic": state_topic,
        "availability_topic": availability_topic,
        "payload_available": ONLINE,
        "payload_not_available": OFFLINE,
        "json_attributes_topic": state_topic,
        "device": {
            "identifiers": [device],
            "name": f"Fusewatch {deployment}",
            "manufacturer": "fusewatch",
            "sw_version": pipeline.__version__,
        },
        "origin": {"name": "fusewatch", "sw_version": pipeline.__version__},
    }
    for component, kind, entity in (
        ("binary_sensor", "problem", _problem(scene)),
        ("sensor", "severity", _severity(scene)),
    ):
        unique = f"{device}_{scene}_{kind}"
        topic = f"{prefix}/{component}/{device}/{scene}_{kind}/config"
        yield topic, msgspec.json.encode(common | entity | {"unique_id": unique}, order="sorted")


def _problem(scene: str) -> dict[str, Any]:
    return {
        "name": f"{scene} anomaly",
        "device_class": "problem",
        "value_template": "{{ value_json.state }}",
        "payload_on": "ON",
        "payload_off": "OFF",
    }


def _severity(scene: str) -> dict[str, Any]:
    return {
        "name": f"{scene} severity",
        "device_class": "enum",
        "options": [NO_SEVERITY, *(step.value for step in Severity)],
        "value_template": "{{ value_json.severity }}",
    }
