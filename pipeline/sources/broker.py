"""How an MQTT broker is reached. Apart from the reader, so that it needs no MQTT library."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from pipeline.core.settings import Settings


class MqttBroker(Settings):
    """How to reach a broker."""

    host: str
    """Name or address of the broker."""

    port: int = Field(default=1883, ge=1, le=65535)
    """Port; 8883 is usual with TLS."""

    username: str | None = None
    """User name, if the broker wants one."""

    password: SecretStr | None = None
    """Password; better given as ``password_file``."""

    client_id: str = ""
    """Client id; empty: made from the streams' names, so that it stays the same."""

    keepalive_s: int = Field(default=15, ge=2)
    """A broker silent for one and a half times this is taken as lost, seconds."""

    qos: Literal[0, 1, 2] = 1
    """Quality of service of the subscriptions. From 1 on the broker keeps what comes while it
    cannot reach this source, if all its streams carry their own `time`: nobody could say later
    when the rest happened."""

    tls: bool = False
    """Encrypt the connection."""

    ca_file: Path | None = None
    """Certificates to trust; none: the system's."""

    insecure: bool = False
    """Do not check the broker's certificate. For trials only."""

    will_topic: str | None = None
    """Topic that says ``online`` while this source is connected and ``offline`` after."""


class MqttTopic(MqttBroker):
    """One topic of a broker, whose messages are lines of text."""

    topic: str = Field(min_length=1)
    """Topic to subscribe to; ``+`` and ``#`` are wildcards."""
