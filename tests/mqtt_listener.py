"""A subscriber that keeps what a broker sends it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Received:
    topic: str
    payload: bytes
    retained: bool


class MqttListener:
    """Subscribes to everything; its session outlives broker restarts."""

    def __init__(self, port: int, name: str = "listener") -> None:
        self.messages: list[Received] = []
        self._news = threading.Condition()
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port, keepalive=10)
        self._client.loop_start()
        if not self._subscribed.wait(WAIT_S):
            raise TimeoutError("the broker did not confirm the subscription")

    def __enter__(self) -> MqttListener:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def on(self, ending: str) -> list[Received]:
        with self._news:
            return [m for m in self.messages if m.topic.endswith(ending)]

    def wait(self, enough: Callable[[list[Received]], bool]) -> None:
        with self._news:
            if not self._news.wait_for(lambda: enough(self.messages), WAIT_S):
                raise TimeoutError(f"only {len(self.messages)} messages came")

    def wait_last(self, payload: bytes) -> None:
        self.wait(lambda got: bool(got) and got[-1].payload == payload)

    def _take(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        with self._news:
            self.messages.append(Received(message.topic, message.payload, message.retain))
            self._news.notify_all()
