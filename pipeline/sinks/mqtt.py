"""Events to an MQTT broker, with Home Assistant discovery.

Topics, under ``<prefix>`` (``fusewatch/<deployment>`` unless set):

- ``<prefix>/status``: ``online`` or ``offline``, retained; the broker itself says
  ``offline`` when the connection breaks (last will).
- ``<prefix>/<scene>/event``: each phase as JSON (`pipeline.core.event.to_json`), QoS 1.
- ``<prefix>/<scene>/digest``: what came and went while the broker was away, as JSON
  (`pipeline.core.digest.digest_body`), QoS 1.
- ``<prefix>/<scene>/snapshot``: the picture of the event raised last, a JPEG, retained.
- ``<prefix>/<scene>/answer``: with ``answers: true``, what somebody answered to an event, as JSON
  (`pipeline.core.answered.answered_json`), QoS 1.
- ``<prefix>/<scene>/state``: the scene's standing, retained, QoS 1; see
  `pipeline.sinks.home_assistant`.

An event counts as delivered when the broker has confirmed (PUBACK) all of it. A repeat
carries the same ``key``. Of a digest the state gets only what came last. An older phase that
comes late, a revived one say, is published as an event but does not turn the state back, also
when this process began after the state was made: the broker still has it. One that tells of the
equipment and not of the scene leaves the scene's state alone.

One connection is right here: a broker takes thousands of messages a second of one, keeps their
order only within one, and the last will of another would say ``offline`` of a node that is not. A
trial (``fusewatch alert test``) goes by a name of its own, for a broker ends the connection whose
name another takes, and has neither a last will nor a status.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Literal

import paho.mqtt.client as paho
import structlog
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import Field, field_validator

from pipeline.core.answered import EventAnswer, answered_json
from pipeline.core.digest import Digest, digest_body
from pipeline.core.errors import SinkError, SinkRejected, SinkUnavailable
from pipeline.core.event import Event, Phase, to_json
from pipeline.sinks.base import WEB_ADDRESS, AnswerSettings, DigestSettings, SinkContext
from pipeline.sinks.home_assistant import OFFLINE, ONLINE, discovery, state
from pipeline.sinks.mqtt_link import MqttLinkSettings, make_client
from pipeline.sinks.mqtt_standing import LONGEST_S, Mark, standing_marks

log = structlog.get_logger(__name__)

KEEPALIVE_S = 30
CLOSING_S = 2.0
"""Longest time to say goodbye to the broker, seconds."""

LONGEST_SNAPSHOT = 256 << 10
"""Larger pictures are not published, bytes: some brokers end the connection of who sends such."""


class MqttSettings(AnswerSettings, DigestSettings, MqttLinkSettings):
    """Publish events to an MQTT broker."""

    type: Literal["mqtt"] = "mqtt"
    """Kind of sink."""

    client_id: str = ""
    """Name of the connection; empty: ``fusewatch-<deployment>-<sink>``."""

    prefix: str = ""
    """First part of every topic; empty: ``fusewatch/<deployment>``."""

    home_assistant: bool = True
    """Announce the scenes to Home Assistant."""

    discovery_prefix: str = "homeassistant"
    """Home Assistant's own discovery prefix."""

    page: str = Field(default="", pattern=WEB_ADDRESS)
    """Address of the dashboard, for a link from Home Assistant; empty: none."""

    snapshots: bool = True
    """Publish the picture of what is raised; it stays at the broker until the next."""

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
        self._evidence = context.evidence
        self._where = settings.where
        self._scenes = dict.fromkeys(context.scenes)
        self._trial = context.trial
        self._latest: dict[str, Mark] = {}
        self._learnt = context.trial  # what the broker has of before; a trial turns no state
        self._clock = context.clock
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
        if not self._learnt:
            self._learn()

    def deliver(self, event: Event) -> None:
        """Publish the event's phase and its scene's state; wait for the broker to confirm."""
        self._tell(event.scene, "event", to_json(event), [event], self._snapshot(event))

    def deliver_digest(self, digest: Digest) -> None:
        """Publish what came and went, and the state it left; wait for the broker to confirm."""
        self._tell(digest.scene, "digest", digest_body(digest), digest.last)

    def deliver_answer(self, event: Event, answer: EventAnswer) -> None:
        """Publish what was answered; wait for the broker to confirm."""
        self._tell(event.scene, "answer", answered_json(event, answer), [])

    def close(self) -> None:
        """Say that we are offline and disconnect."""
        client, self._client = self._client, None
        if client is None:
            return
        if client.is_connected() and not self._trial:
            goodbye = self._publish(client, self._status_topic, OFFLINE.encode(), True)
            if goodbye.rc == paho.MQTT_ERR_SUCCESS:
                goodbye.wait_for_publish(CLOSING_S)
        client.disconnect()
        client.loop_stop()

    def _learn(self) -> None:
        """Ask once which phases the states at the broker are of; one of the future is a mistake."""
        self._learnt = True
        topics = [(scene, self._topic(scene, "state")) for scene in self._scenes]
        if topics:
            wait_s = min(LONGEST_S, self._settings.timeout_s)
            found = standing_marks(self._settings, f"{self._name}-state", topics, wait_s)
            now_ns = self._clock.now_ns()
            self._latest = {scene: mark for scene, mark in found.items() if mark[0] <= now_ns}

    def _snapshot(self, event: Event) -> bytes:
        """The picture of an event that is raised; empty: none, or too large."""
        name = event.evidence.explained or event.evidence.snapshot
        if not self._settings.snapshots or event.phase is not Phase.RAISED or not name:
            return b""
        try:
            picture = (self._evidence / name).read_bytes()
        except FileNotFoundError:
            return b""
        if len(picture) > LONGEST_SNAPSHOT:
            log.info("picture too large for the broker", key=event.key, bytes=len(picture))
            return b""
        return picture

    def _tell(
        self, scene: str, kind: str, body: bytes, phases: Iterable[Event], picture: bytes = b""
    ) -> None:
        if self._client is None:
            self.open()
        client = self._client
        if client is None or not client.is_connected():
            raise SinkUnavailable("not connected", where=self._where)
        sent = [self._publish(client, self._topic(scene, kind), body, False)]
        if scene not in self._scenes:
            self._scenes[scene] = None
            sent += self._announce(client)
        if picture:
            sent.append(self._publish(client, self._topic(scene, "snapshot"), picture, True))
        marks = {(p.start_ns, p.revision): p for p in phases if not p.health}
        newest = max(marks, default=(0, 0))
        if marks and newest >= self._latest.get(scene, newest):
            topic = self._topic(scene, "state")
            sent.append(self._publish(client, topic, state(marks[newest]), True))
            self._latest[scene] = newest
        self._confirm(sent)

    def _make_client(self) -> paho.Client:
        chosen = self._settings
        client = make_client(chosen, self._name + "-test" * self._trial, chosen.timeout_s)
        if not self._trial:
            client.will_set(self._status_topic, OFFLINE, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        return client

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
            self._announce(client)
            if not self._trial:
                self._publish(client, self._status_topic, ONLINE.encode(), True)
        self._answered.set()

    def _on_publish(
        self, _client: paho.Client, _data: object, mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._failed[mid] = str(reason)

    def _announce(self, client: paho.Client) -> list[paho.MQTTMessageInfo]:
        if not self._settings.home_assistant or not self._scenes:
            return []
        topic, payload = discovery(
            self._deployment,
            list(self._scenes),
            prefix=self._settings.discovery_prefix,
            topic=self._topic,
            availability_topic=self._status_topic,
            page=self._settings.page,
        )
        return [self._publish(client, topic, payload, True)]

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

    @property
    def _name(self) -> str:
        chosen = self._settings
        return chosen.client_id or f"fusewatch-{self._deployment}-{chosen.key}"

    def _topic(self, scene: str, kind: str) -> str:
        return f"{self._prefix}/{scene}/{kind}"

    @property
    def _status_topic(self) -> str:
        return f"{self._prefix}/status"


PLUGIN = MqttSettings
