"""The connection to an MQTT broker that events go by."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import Field, SecretStr

from pipeline.core.errors import SinkUnavailable
from pipeline.core.settings import Settings

_PROTOCOLS = {"3.1.1": paho.MQTTv311, "5": paho.MQTTv5}


class MqttLinkSettings(Settings):
    """How to reach a broker."""

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

    @property
    def where(self) -> str:
        """The broker, for messages."""
        return f"mqtt://{self.host}:{self.port}"


def make_client(settings: MqttLinkSettings, client_id: str, connect_s: float) -> paho.Client:
    """A client that is not connected yet.

    Args:
        settings: Which broker, and how.
        client_id: Name of the connection.
        connect_s: Longest time to wait for it, seconds.

    Raises:
        SinkUnavailable: A certificate cannot be read.
    """
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=_PROTOCOLS[settings.protocol],
    )
    client.connect_timeout = connect_s
    client.reconnect_delay_set(1, 30)
    if settings.username is not None:
        password = settings.password.get_secret_value() if settings.password else None
        client.username_pw_set(settings.username, password)
    if settings.tls:
        _encrypt(client, settings)
    return client


def _encrypt(client: paho.Client, settings: MqttLinkSettings) -> None:
    def name(path: Path | None) -> str | None:
        return None if path is None else str(path)

    try:
        client.tls_set(
            name(settings.ca_file),
            name(settings.client_cert),
            name(settings.client_key),
            cert_reqs=ssl.CERT_NONE if settings.insecure else ssl.CERT_REQUIRED,
        )
        client.tls_insecure_set(settings.insecure)
    except (OSError, ValueError) as error:
        raise SinkUnavailable(f"cannot set up TLS: {error}", where=settings.where) from error
