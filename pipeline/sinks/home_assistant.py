"""What Home Assistant wants to know over MQTT: one device per deployment, five entities a scene.

By device-based discovery (home-assistant.io/integrations/mqtt, "Device discovery payload"; since
2024.12): one retained message tells of the device, of who sends this, and of all its entities,
so Home Assistant finds them whenever it starts. Per scene:

- a *problem* that is on while an event stands, with the whole state as attributes,
- its *severity* and its *summary*, to show and to react to,
- an *event* entity that fires with each phase of each event, for automations,
- the *picture* of the event that was raised last.

All are unavailable while we are not connected: the broker says so (last will).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

import pipeline
from pipeline.core.event import HEALTH_PREFIX, Event, Phase, Severity

ONLINE, OFFLINE = "online", "offline"
NO_SEVERITY = "none"

_LONGEST_STATE = 255  # letters that Home Assistant takes as a state
_TOLD = ("severity", "alarm", "summary", "id", "score")


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
    deployment: str,
    scenes: Iterable[str],
    *,
    prefix: str,
    topic: Callable[[str, str], str],
    availability_topic: str,
    page: str = "",
) -> tuple[str, bytes]:
    """Topic and payload of the message that announces the deployment.

    Args:
        deployment: Name of the deployment: the device.
        scenes: Names of its scenes.
        prefix: Home Assistant's discovery prefix.
        topic: Where a scene's ``state``, ``event`` and ``snapshot`` are published.
        availability_topic: Where `ONLINE` and `OFFLINE` are published.
        page: Address of the dashboard; empty: none.
    """
    device = f"fusewatch_{deployment}"
    about = {
        "identifiers": [device],
        "name": f"Fusewatch {deployment}",
        "manufacturer": "fusewatch",
        "sw_version": pipeline.__version__,
    }
    components = {
        f"{scene}_{kind}": entity | {"unique_id": f"{device}_{scene}_{kind}"}
        for scene in scenes
        for kind, entity in _entities(scene, topic).items()
    }
    payload = {
        "device": about | ({"configuration_url": page} if page else {}),
        "origin": {"name": "fusewatch", "sw_version": pipeline.__version__},
        "availability_topic": availability_topic,
        "payload_available": ONLINE,
        "payload_not_available": OFFLINE,
        "components": components,
    }
    return f"{prefix}/device/{device}/config", msgspec.json.encode(payload, order="sorted")


def _entities(scene: str, topic: Callable[[str, str], str]) -> dict[str, dict[str, Any]]:
    standing = topic(scene, "state")
    return {
        "problem": {
            "platform": "binary_sensor",
            "name": f"{scene} anomaly",
            "device_class": "problem",
            "state_topic": standing,
            "value_template": "{{ value_json.state }}",
            "payload_on": "ON",
            "payload_off": "OFF",
            "json_attributes_topic": standing,
        },
        "severity": {
            "platform": "sensor",
            "name": f"{scene} severity",
            "device_class": "enum",
            "options": [NO_SEVERITY, *(step.value for step in Severity)],
            "state_topic": standing,
            "value_template": "{{ value_json.severity }}",
        },
        "summary": {
            "platform": "sensor",
            "name": f"{scene} summary",
            "state_topic": standing,
            "value_template": f"{{{{ value_json.summary[:{_LONGEST_STATE}] }}}}",
        },
        "event": {
            "platform": "event",
            "name": f"{scene} event",
            "event_types": [phase.value for phase in Phase],
            "state_topic": topic(scene, "event"),
            "value_template": _happened(),
        },
        "snapshot": {
            "platform": "image",
            "name": f"{scene} picture",
            "image_topic": topic(scene, "snapshot"),
            "content_type": "image/jpeg",
        },
    }


def _happened() -> str:
    """A template that makes of an event's JSON what an event entity wants."""
    told = ", ".join(f"'{name}': value_json.{name}" for name in _TOLD)
    equipment = f"'equipment': value_json.id.startswith('{HEALTH_PREFIX}')"
    return f"{{{{ {{'event_type': value_json.phase, {told}, {equipment}}} | tojson }}}}"
