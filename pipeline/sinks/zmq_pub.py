"""Events published on a ZeroMQ socket, for programs that listen.

Frames: the scene as the topic, the event's key, the event as JSON
(`pipeline.core.event.to_json`). A publisher knows none of its listeners: an event counts as
delivered when it was published, and who was not there misses it. What must arrive goes by
another sink. Who listened before comes back within a moment, and so the first event waits that
long after the address was opened. Listeners elsewhere need the address opened, which is not
encrypted: any who reach it may listen.
"""

from __future__ import annotations

import time
from typing import Literal

import zmq
from pydantic import field_validator

from pipeline.core.errors import SinkUnavailable
from pipeline.core.event import Event, to_json
from pipeline.sinks.base import SinkContext, SinkSettings

LINGER_MS = 1000
COME_BACK_S = 0.5
"""Listeners try again every 0.1 s, unless they were told otherwise."""

WAITING = 1000  # events a listener may lag


class ZmqPubSettings(SinkSettings):
    """Publish events on a ZeroMQ socket."""

    type: Literal["zmq_pub"] = "zmq_pub"
    """Kind of sink."""

    listen: str = "tcp://127.0.0.1:7720"
    """Address that listeners connect to: ``tcp://`` or ``ipc://``."""

    @field_validator("listen")
    @classmethod
    def _address(cls, value: str) -> str:
        if not value.startswith(("tcp://", "ipc://")):
            raise ValueError("must begin with tcp:// or ipc://")
        return value

    def build(self, context: SinkContext) -> ZmqPubSink:
        """Make the sink."""
        return ZmqPubSink(self)


class ZmqPubSink:
    """Publishes events.

    Args:
        settings: Where.
    """

    def __init__(self, settings: ZmqPubSettings) -> None:
        self._settings = settings
        self._socket: zmq.Socket[bytes] | None = None
        self._opened_s = 0.0

    def open(self) -> None:
        """Bind the socket.

        Raises:
            SinkUnavailable: The address is taken, or is none of this machine.
        """
        self.close()
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
        socket.linger = LINGER_MS
        socket.sndhwm = WAITING
        try:
            socket.bind(self._settings.listen)
        except zmq.ZMQError as error:
            socket.close()
            raise SinkUnavailable(
                f"cannot bind: {error.strerror}{_why(error)}", where=self._settings.listen
            ) from error
        self._socket, self._opened_s = socket, time.monotonic()

    def deliver(self, event: Event) -> None:
        """Publish the event's phase."""
        if self._socket is None:
            self.open()
        if self._socket is None:
            raise SinkUnavailable("not open", where=self._settings.listen)
        left_s = self._opened_s + COME_BACK_S - time.monotonic()
        time.sleep(max(0.0, left_s))
        self._socket.send_multipart([event.scene.encode(), event.key.encode(), to_json(event)])

    def close(self) -> None:
        """Unbind; may be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _why(error: zmq.ZMQError) -> str:
    return " (by the alert node, if it runs)" if error.errno == zmq.EADDRINUSE else ""


PLUGIN = ZmqPubSettings
