"""Events to an MQTT broker, with Home Assistant discovery.

Topics, under ``<prefix>`` (``fusewatch/<deployment>`` unless set):

- ``<prefix>/status``: ``online`` or ``offline``, retained; the broker itself says
  ``offline`` when the connection breaks (last will).
- ``<prefix>/<scene>/event``: each phase as JSON (`pipeline.core.event.to_json`), QoS 1.
- ``<prefix>/<scene>/digest``: what came and went while the broker was away, as JSON
  (`pipeline.core.digest.digest_body`), QoS 1.
- ``<prefix>/<scene>/state``: the scene's standing, retained, QoS 1; see
  `pipeline.sinks.home_assistant`.

An event counts as delivered when the broker has confirmed (PUBACK) event and state. A repeat
carries the same ``key``. Of a digest the state gets only what came last. An older phase that
comes late, a revived one say, is published as an event but does not turn the state back, and
one that tells of the equipment and not of the scene leaves the scene's state alone.

One connection is right here: a broker takes thousands of messages a second of one, keeps their
order only within one, and the last will of another would say ``offline`` of a node that is not.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import Field, SecretStr, field_validator

from pipeline.core.digest import Digest, digest_body
from pipeline.core.errors import SinkError, SinkRejected, SinkUnavailable
from pipeline.core.event import Event, to_json
from pipeline.sinks.base import DigestSettings, SinkContext
from pipeline.sinks.home_assistant import OFFLINE, ONLINE, discovery, state

KEEPALIVE_S = 30
CLOSING_S = 2.0
"""Longest time to say goodbye to the broker, seconds."""

_PROTOCOLS = {"3.1.1": paho.MQTTv311, "5": paho.MQTTv5}


class MqttSettings(DigestSettings):
    """Publish events to an MQTT broker."""

    type: Literal["mqtt"] = "mqtt"
    """Kind of sink."""

    host: str = "127.0.0.1"
    """Broker's name or address."""

    port: int = Field(default=1883, ge=1, le=65535)
    """Broker's port; 8883 is usual with TLS."""

    username: str | None = None
    """Name to log in with; none: anonymous."""

    password: SecretStr | None = None
    """Password to log in with; ``password_file`` reads it from a file."""

    tls: bool = False
    """Encrypt the connection."""

    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""

    client_cert: Path | None = None
    """Certificate to identify with, where the broker asks for one."""

    client_key: Path | None = None
    """Key of `client_cert`."""

    insecure: bool = False
    """Do not check the broker's certificate. For trials only."""

    protocol: Literal["3.1.1", "5"] = "5"
    """MQTT version; a 3.1.1 broker cannot say that it refuses a message."""

    client_id: str = ""
    """Name of the connection; empty: ``fusewatch-<deployment>-<sink>``."""

    prefix: str = ""
    """First part of every topic; empty: ``fusewatch/<deployment>``."""

    home_assistant: bool = True
    """Announce the scenes to Home Assistant."""

    discovery_prefix: str = "homeassistant"
    """Home Assistant's own discovery prefix."""

    @field_validator("prefix", "discovery_prefix")
    @classmethod
    def _topic(cls, value: str) -> str:
        if any(sign in value for sign in "+#\0") or value.startswith("/") or value.endswith("/"):
            raise ValueError("may hold no '+' and '#' and neither begin nor end with '/'")
        return value

    def build(self, context: SinkContext) -> MqttSink:
        """Make the sink."""
        return MqttSink(self, context)


class MqttSink:
    """Publishes events and the state of scenes.

    Args:
        settings: Which broker.
        context: The deployment and its scenes.
    """

    def __init__(self, settings: MqttSettings, context: SinkContext) -> None:
        self._settings = settings
        self._deployment = context.deployment
        self._prefix = settings.prefix or f"fusewatch/{context.deployment}"
        self._where = f"mqtt://{settings.host}:{settings.port}"
        self._scenes = dict.fromkeys(context.scenes)
        self._latest: dict[str, tuple[int, int]] = {}
        self._client: paho.Client | None = None
        self._answered = threading.Event()
        self._refusal = ""
        self._failed: dict[int, str] = {}

    def open(self) -> None:
        """Connect, announce the scenes and say that we are online.

        Raises:
            SinkUnavailable: The broker does not answer or does not let us in.
        """
        self.close()
        self._answered.clear()
        self._refusal = ""
        self._client = client = self._make_client()
        try:
            client.connect(self._settings.host, self._settings.port, keepalive=KEEPALIVE_S)
        except (OSError, ValueError) as error:
            self._client = None
            raise SinkUnavailable(f"cannot connect: {error}", where=self._where) from error
        client.loop_start()
        answered = self._answered.wait(self._settings.timeout_s)
        if not answered or self._refusal:
            self.close()
            reason = f"refused: {self._refusal}" if answered else "no answer to CONNECT"
            raise SinkUnavailable(reason, where=self._where, fix="check username and password")

    def deliver(self, event: Event) -> None:
        """Publish the event's phase and its scene's state; wait for the broker to confirm."""
        self._tell(event.scene, "event", to_json(event), [event])

    def deliver_digest(self, digest: Digest) -> None:
        """Publish what came and went, and the state it left; wait for the broker to confirm."""
        self._tell(digest.scene, "digest", digest_body(digest), digest.last)

    def close(self) -> None:
        """Say that we are offline and disconnect."""
        client, self._client = self._client, None
        if client is None:
            return
        if client.is_connected():
            goodbye = self._publish(client, self._status_topic, OFFLINE.encode(), True)
            if goodbye.rc == paho.MQTT_ERR_SUCCESS:
                goodbye.wait_for_publish(CLOSING_S)
        client.disconnect()
        client.loop_stop()

    def _tell(self, scene: str, kind: str, body: bytes, phases: Iterable[Event]) -> None:
        if self._client is None:
            self.open()
        client = self._client
        if client is None or not client.is_connected():
            raise SinkUnavailable("not connected", where=self._where)
        sent = [self._publish(client, self._topic(scene, kind), body, False)]
        if scene not in self._scenes:
            self._scenes[scene] = None
            sent += self._announce(client, scene)
        marks = {(p.start_ns, p.revision): p for p in phases if not p.health}
        newest = max(marks, default=(0, 0))
        if marks and newest >= self._latest.get(scene, newest):
            topic = self._topic(scene, "state")
            sent.append(self._publish(client, topic, state(marks[newest]), True))
            self._latest[scene] = newest
        self._confirm(sent)

    def _make_client(self) -> paho.Client:
        chosen = self._settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=chosen.client_id or f"fusewatch-{self._deployment}-{chosen.key}",
            protocol=_PROTOCOLS[chosen.protocol],
        )
        client.connect_timeout = chosen.timeout_s
        client.reconnect_delay_set(1, 30)
        if chosen.username is not None:
            password = chosen.password.get_secret_value() if chosen.password else None
            client.username_pw_set(chosen.username, password)
        if chosen.tls:
            self._encrypt(client)
        client.will_set(self._status_topic, OFFLINE, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        return client

    def _encrypt(self, client: paho.Client) -> None:
        def name(path: Path | None) -> str | None:
            return None if path is None else str(path)

        chosen = self._settings
        try:
            client.tls_set(
                name(chosen.ca_file),
                name(chosen.client_cert),
                name(chosen.client_key),
                cert_reqs=ssl.CERT_NONE if chosen.insecure else ssl.CERT_REQUIRED,
            )
            client.tls_insecure_set(chosen.insecure)
        except (OSError, ValueError) as error:
            raise SinkUnavailable(f"cannot set up TLS: {error}", where=self._where) from error

    def _on_connect(
        self,
        client: paho.Client,
        _data: object,
        _flags: object,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        """Runs on the client's thread, also when it reconnected by itself."""
        self._refusal = str(reason) if reason.is_failure else ""
        if not self._refusal:
            for scene in list(self._scenes):
                self._announce(client, scene)
            self._publish(client, self._status_topic, ONLINE.encode(), True)
        self._answered.set()

    def _on_publish(
        self, _client: paho.Client, _data: object, mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._failed[mid] = str(reason)

    def _announce(self, client: paho.Client, scene: str) -> list[paho.MQTTMessageInfo]:
        if not self._settings.home_assistant:
            return []
        messages = discovery(
            self._deployment,
            scene,
            prefix=self._settings.discovery_prefix,
            state_topic=self._topic(scene, "state"),
            availability_topic=self._status_topic,
        )
        return [self._publish(client, topic, payload, True) for topic, payload in messages]

    @staticmethod
    def _publish(
        client: paho.Client, topic: str, payload: bytes, retain: bool
    ) -> paho.MQTTMessageInfo:
        return client.publish(topic, payload, qos=1, retain=retain)

    def _confirm(self, sent: Iterable[paho.MQTTMessageInfo]) -> None:
        refusal: SinkError | None = None
        for info in sent:
            try:
                info.wait_for_publish(self._settings.timeout_s)
            except (RuntimeError, ValueError) as error:
                raise SinkUnavailable(str(error), where=self._where) from error
            if not info.is_published():
                raise SinkUnavailable("the broker did not confirm in time", where=self._where)
            if reason := self._failed.pop(info.mid, ""):
                refusal = SinkRejected(f"the broker refused: {reason}", where=self._where)
        if refusal is not None:
            raise refusal

    def _topic(self, scene: str, kind: str) -> str:
        return f"{self._prefix}/{scene}/{kind}"

    @property
    def _status_topic(self) -> str:
        return f"{self._prefix}/status"


PLUGIN = MqttSettings
