"""Readings and lines from MQTT topics: the connection to the broker.

The client library's thread stamps each message as it comes and puts it into a bounded queue.
A lost connection ends this reader; the runner opens a new one. With QoS 1 and the fixed
client id the broker keeps what came in between, but only where all of it carries its own time:
the rest would be stamped as if it had happened at the moment of the new connection.
"""

from __future__ import annotations

import queue
import ssl
from collections.abc import Sequence
from typing import Literal

from paho.mqtt.client import (
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
)
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import Field

from pipeline.core.errors import SourceUnavailable
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Sample, StreamInfo
from pipeline.sources.base import Source, SourceContext, SourceSettings
from pipeline.sources.broker import MqttBroker
from pipeline.sources.mqtt_messages import Message, MessageReader, MqttStream, stream_info

QUEUE = 10_000
CONNECT_S = 5.0


class MqttSettings(SourceSettings, MqttBroker):
    """An MQTT broker and the streams made from its topics."""

    type: Literal["mqtt"] = "mqtt"
    """Kind of source."""

    streams: list[MqttStream] = Field(min_length=1)
    """Streams made from topics."""

    def stream_names(self) -> tuple[str, ...]:
        """Names of all streams."""
        return tuple(s.name for s in self.streams)

    def channel_names(self, stream: str) -> tuple[str, ...]:
        """Names of one stream's channels; empty for lines of text."""
        return tuple(c.name for s in self.streams if s.name == stream for c in s.channels)

    def build(self, context: SourceContext) -> Source:
        """Make the reader."""
        return MqttSource(self, context)


class MqttSource:
    """Reads messages as samples; see `MqttSettings`."""

    def __init__(self, settings: MqttSettings, context: SourceContext) -> None:
        self._settings = settings
        self._context = context
        self._client: Client | None = None
        self._queue: queue.Queue[Message | str] = queue.Queue(QUEUE)
        self._samples_waiting: list[Sample] = []
        self._reader = MessageReader(settings.streams, context.reject)
        self._where = f"mqtt broker {settings.host}:{settings.port}"

    def open(self) -> tuple[StreamInfo, ...]:
        """Connect and subscribe."""
        self.close()
        self._queue = queue.Queue(QUEUE)
        client = self._make_client()
        try:
            client.connect(self._settings.host, self._settings.port, self._settings.keepalive_s)
        except (OSError, ValueError) as error:
            raise SourceUnavailable(f"cannot connect: {error}", where=self._where) from error
        self._client = client
        client.loop_start()
        self._await_connection()
        return tuple(stream_info(s) for s in self._settings.streams)

    def read(self, timeout_s: float) -> Sequence[Sample]:
        """Messages that came."""
        samples, self._samples_waiting = self._samples_waiting, []
        try:
            message = self._queue.get(timeout=0.0 if samples else timeout_s)
            while True:
                if isinstance(message, str) and message:
                    raise SourceUnavailable(message, where=self._where)
                if isinstance(message, Message):
                    samples.extend(self._reader.samples(message))
                message = self._queue.get_nowait()
        except queue.Empty:
            return samples
        except SourceUnavailable as lost:
            if samples:
                self._put(str(lost.message))
                return samples
            raise

    def close(self) -> None:
        """Say goodbye and disconnect."""
        client, self._client = self._client, None
        if client is None:
            return
        if self._settings.will_topic and client.is_connected():
            client.publish(self._settings.will_topic, "offline", qos=1, retain=True)
        client.disconnect()
        client.loop_stop()

    def _make_client(self) -> Client:
        settings = self._settings
        name = settings.client_id or "fusewatch-" + "-".join(settings.stream_names())
        kept = settings.qos > 0 and all(s.has_own_time for s in settings.streams)
        client = Client(CallbackAPIVersion.VERSION2, name[:60], clean_session=not kept)
        client.connect_timeout = CONNECT_S
        if settings.username:
            password = settings.password.get_secret_value() if settings.password else None
            client.username_pw_set(settings.username, password)
        if settings.tls:
            client.tls_set(
                ca_certs=str(settings.ca_file) if settings.ca_file else None,
                cert_reqs=ssl.CERT_NONE if settings.insecure else ssl.CERT_REQUIRED,
            )
            client.tls_insecure_set(settings.insecure)
        if settings.will_topic:
            client.will_set(settings.will_topic, "offline", qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _await_connection(self) -> None:
        """Wait until the topics are subscribed; what came before that is kept in order."""
        early: list[Message] = []
        while True:
            try:
                first = self._queue.get(timeout=CONNECT_S)
            except queue.Empty:
                first = f"no answer within {CONNECT_S:.0f} s"
            if isinstance(first, Message):
                early.append(first)
                continue
            if first:
                self.close()
                raise SourceUnavailable(
                    first, where=self._where, fix="check user, password and TLS"
                )
            break
        self._samples_waiting = [s for message in early for s in self._reader.samples(message)]

    def _on_connect(
        self,
        client: Client,
        _user: object,
        _flags: ConnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if code.is_failure:
            self._put(f"the broker refused the connection: {code}")
            return
        topics: list[tuple[str, int]] = [
            (s.topic, self._settings.qos) for s in self._settings.streams
        ]
        client.subscribe(topics)
        if self._settings.will_topic:
            client.publish(self._settings.will_topic, "online", qos=1, retain=True)

    def _on_subscribe(
        self,
        _client: Client,
        _user: object,
        _number: int,
        codes: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        """The source counts as open only now: what is published from here on will come."""
        refused = [str(code) for code in codes if code.is_failure]
        self._put(f"the broker refused a topic: {', '.join(refused)}" if refused else "")

    def _on_disconnect(
        self,
        _client: Client,
        _user: object,
        _flags: DisconnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._client is not None:
            self._put(f"connection lost: {code}")

    def _on_message(self, _client: Client, _user: object, message: MQTTMessage) -> None:
        self._put(Message(self._context.clock.now_ns(), message.topic, bytes(message.payload)))

    def _put(self, item: Message | str) -> None:
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            if isinstance(item, Message):
                for stream in self._reader.matching(item.topic):
                    self._context.reject(
                        stream.name, DropReason.READER_OVERRUN, f"over {QUEUE} messages wait"
                    )


PLUGIN = MqttSettings
