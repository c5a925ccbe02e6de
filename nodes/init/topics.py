"""Which numbers come over an MQTT broker: listened to for some seconds."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nodes.init.plan import Broker, Heard, Readings
from pipeline.core.errors import DependencyMissing, SourceUnavailable
from pipeline.core.extras import installing

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

MOST_CHANNELS = 32
DEEPEST = 3
CONNECT_S = 5.0
HOME_ASSISTANT = "homeassistant/"
NO_READINGS = (HOME_ASSISTANT, "fusewatch/", "zigbee2mqtt/bridge/")
"""Where descriptions of devices, our own events and the state of a gateway go."""

NOT_OF_THE_PLACE = frozenset({"linkquality", "lqi", "rssi", "battery", "uptime"})
"""What tells of radio and battery, which change with the weather: no reason to alarm."""


def heard(broker: Broker, topic: str, listen_s: float) -> Heard:
    """Topics on which numbers came, sorted, and whether Home Assistant is there.

    Args:
        broker: The broker.
        topic: What to subscribe to; wildcards as ever.
        listen_s: How long to listen.

    Raises:
        DependencyMissing: The MQTT library is not installed.
        SourceUnavailable: The broker does not answer or refuses us.
    """
    found: dict[str, tuple[str, ...]] = {}
    home_assistant = False
    for name, payload in _messages(broker, topic, listen_s):
        home_assistant |= name.startswith(HOME_ASSISTANT)
        paths = () if name.startswith(NO_READINGS) else numbers(payload)
        if len(paths) > len(found.get(name, ())):
            found[name] = paths
    return Heard(tuple(Readings(name, found[name]) for name in sorted(found)), home_assistant)


def numbers(payload: bytes) -> tuple[str, ...]:
    """Where numbers stand in a message; ``("",)`` when it is one; none in anything else."""
    try:
        document = json.loads(payload)
    except ValueError:
        return ()
    if _is_number(document):
        return ("",)
    return tuple(_paths(document, 1))[:MOST_CHANNELS] if isinstance(document, Mapping) else ()


def _paths(document: Mapping[str, Any], depth: int) -> Iterator[str]:
    for key, value in document.items():
        if not key or any(letter in key for letter in ".[]"):
            continue  # a path could not name it
        if key.lower() in NOT_OF_THE_PLACE:
            continue
        if _is_number(value):
            yield key
        elif isinstance(value, Mapping) and depth < DEEPEST:
            yield from (f"{key}.{rest}" for rest in _paths(value, depth + 1))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _messages(broker: Broker, topic: str, listen_s: float) -> Iterator[tuple[str, bytes]]:
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ModuleNotFoundError as error:
        raise DependencyMissing(
            "the MQTT library is not installed", fix=installing("mqtt")
        ) from error
    came: queue.Queue[tuple[str, bytes] | str] = queue.Queue()

    def connected(client: Any, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:  # noqa: ANN401
        if reason.is_failure:
            came.put(str(reason))
        else:
            client.subscribe(topic)
            came.put("")

    def message(_client: Any, _data: Any, one: MQTTMessage) -> None:  # noqa: ANN401
        came.put((one.topic, bytes(one.payload)))

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect, client.on_message = connected, message
    if broker.username:
        client.username_pw_set(broker.username, broker.password)
    where = f"mqtt broker {broker.host}:{broker.port}"
    try:
        client.connect(broker.host, broker.port)
        client.loop_start()
        if refused := came.get(timeout=CONNECT_S):
            raise SourceUnavailable(f"it refuses us: {refused}", where=where)
        yield from _until(came, time.monotonic() + listen_s)
    except (OSError, ValueError, queue.Empty) as error:
        raise SourceUnavailable(f"it does not answer: {error}", where=where) from error
    finally:
        client.loop_stop()
        client.disconnect()


def _until(
    came: queue.Queue[tuple[str, bytes] | str], until_s: float
) -> Iterator[tuple[str, bytes]]:
    while (left_s := until_s - time.monotonic()) > 0:
        try:
            one = came.get(timeout=left_s)
        except queue.Empty:
            return
        if isinstance(one, tuple):
            yield one
