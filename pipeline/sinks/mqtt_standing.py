"""What a broker holds as the states of scenes, from before this process began.

Asked on a connection of its own, which reads and ends: a broker that ends the connection of whoever
subscribes to what it may not leaves the one that events go by alone. A broker sends what it
retains before it answers what was asked next, so its answer to *unsubscribe* says that all
has come.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TypeAlias

import msgspec
import paho.mqtt.client as paho
import structlog

from pipeline.core.errors import SinkUnavailable
from pipeline.sinks.mqtt_link import MqttLinkSettings, make_client

log = structlog.get_logger(__name__)

LONGEST_S = 5.0
"""Longest time to wait for the broker, seconds."""

Mark: TypeAlias = tuple[int, int]
"""When an event began, UTC nanoseconds, and the revision: of two phases, the later is greater."""


class _Standing(msgspec.Struct):
    start_ns: int
    revision: int


_DECODER = msgspec.json.Decoder(_Standing)


def standing_marks(
    settings: MqttLinkSettings, client_id: str, topics: Iterable[tuple[str, str]], wait_s: float
) -> dict[str, Mark]:
    """The phase that each scene's state was made of; scenes without a state are left out.

    A broker that does not say so is no error: its states are then as if there were none.

    Args:
        settings: Which broker, and how.
        client_id: Name of the connection.
        topics: Scenes, and where their states are.
        wait_s: Longest time to wait, seconds.
    """
    scenes = {topic: scene for scene, topic in topics}
    found: dict[str, Mark] = {}
    told = threading.Event()

    def ask(*_: object) -> None:
        client.subscribe([(topic, 0) for topic in scenes])

    def ask_no_more(*_: object) -> None:
        client.unsubscribe(list(scenes))

    def take(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        mark = _mark(bytes(message.payload))
        if mark is not None:
            found[scenes[message.topic]] = mark

    try:
        client = make_client(settings, client_id, wait_s)
        client.on_connect = ask
        client.on_subscribe = ask_no_more
        client.on_unsubscribe = lambda *_: told.set()
        client.on_message = take
        client.connect(settings.host, settings.port)
    except (OSError, ValueError, SinkUnavailable) as error:
        log.info("states at the broker are not known", where=settings.where, error=str(error))
        return {}
    client.loop_start()
    if not told.wait(wait_s):
        log.info("states at the broker are not known", where=settings.where, error="no answer")
    client.disconnect()
    client.loop_stop()
    return dict(found)


def _mark(payload: bytes) -> Mark | None:
    """The phase that a state was made of; None of what we did not publish."""
    try:
        standing = _DECODER.decode(payload)
    except msgspec.DecodeError:
        return None
    return standing.start_ns, standing.revision
