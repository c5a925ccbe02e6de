"""Meters on an MQTT broker, one of which sends its own time."""

from __future__ import annotations

import json
import threading
import time
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

METER_EVERY_S = 0.25


class Meters:
    """Two meters that publish for ever, through restarts of their broker.

    The meter sends its own time, by a clock that begins at 1970 whenever it has no power.
    """

    def __init__(self, port: int) -> None:
        self.reset_at_s: float | None = None
        self._closing = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="meters")
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    def lose_power(self) -> None:
        """From now on its clock says when it was switched on, plus 1970."""
        self.reset_at_s = time.time()

    def is_set(self) -> None:
        """Somebody sets its clock."""
        self.reset_at_s = None

    def _run(self) -> None:
        while not self._closing.wait(METER_EVERY_S):
            now_s = time.time() - (self.reset_at_s or 0.0)
            self._client.publish("boiler", json.dumps({"bar": 2.0 + 0.1 * (now_s % 1)}))
            self._client.publish("meter", json.dumps({"kwh": now_s % 1000, "t": now_s}))
