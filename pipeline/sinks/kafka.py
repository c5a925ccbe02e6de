"""Events to a Kafka topic, for what reads streams.

Each phase is a record: the event as JSON (`pipeline.core.event.to_json`), keyed by its scene, so
that a scene's events keep their order, with a header ``idempotency-key`` by which a reader can
tell a repeat. An event counts as delivered when all replicas in sync have confirmed it
(``acks=all``); what the client itself sends again is written once (idempotent producer).

What the record is to blame for, or that we may not write, is *never*; anything else is *later*:
a broker that is away, a topic that is not there yet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from pydantic import Field, SecretStr, model_validator

from pipeline.core.errors import SinkError, SinkRejected, SinkUnavailable
from pipeline.core.event import Event, to_json
from pipeline.sinks.base import SinkContext, SinkSettings

CLOSING_S = 1.0
"""Longest time to end connections, seconds."""

_SILENT = 0
_NEVER = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)


class KafkaSettings(SinkSettings):
    """Write events to a Kafka topic."""

    type: Literal["kafka"] = "kafka"
    """Kind of sink."""

    servers: list[str] = Field(min_length=1)
    """Brokers to ask first, ``HOST:PORT`` each."""

    topic: str = Field(default="fusewatch-events", pattern=r"^[a-zA-Z0-9._-]{1,249}$")
    """Topic that is written to."""

    tls: bool = False
    """Encrypt the connection."""

    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""

    client_cert: Path | None = None
    """Certificate to identify with, where the brokers ask for one."""

    client_key: Path | None = None
    """Key of `client_cert`."""

    insecure: bool = False
    """Do not check the brokers' certificate. For trials only."""

    sasl: Literal["plain", "scram-sha-256", "scram-sha-512"] | None = None
    """How to log in; none: do not."""

    username: str = ""
    """Name to log in with."""

    password: SecretStr = SecretStr("")
    """Password to log in with; ``password_file`` reads it from a file."""

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        given = bool(self.username and self.password.get_secret_value())
        if given != (self.sasl is not None):
            raise ValueError("sasl needs username and password, and without it there are none")
        return self

    def build(self, context: SinkContext) -> KafkaSink:
        """Make the sink."""
        return KafkaSink(self)


class KafkaSink:
    """Writes events to a topic.

    Args:
        settings: Which brokers, and which topic.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._where = f"kafka://{settings.servers[0]}/{settings.topic}"
        self._producer: Producer | None = None
        self._trouble = ""

    def open(self) -> None:
        """Connect.

        Raises:
            SinkUnavailable: No broker answers or lets us in, or a certificate cannot be read.
        """
        self.close()
        self._trouble = ""
        try:
            producer = Producer(self._options())
        except KafkaException as error:
            raise SinkUnavailable(_words(_cause(error)), where=self._where) from error
        try:
            producer.list_topics(self._settings.topic, timeout=self._settings.timeout_s)
        except KafkaException as error:
            producer.poll(0)  # has the reason told
            said = self._trouble or _words(_cause(error))
            raise SinkUnavailable(f"no broker answers: {said}", where=self._where) from error
        self._producer = producer

    def deliver(self, event: Event) -> None:
        """Write the event's phase; wait for the brokers to confirm it."""
        if self._producer is None:
            self.open()
        if self._producer is None:
            raise SinkUnavailable("not connected", where=self._where)
        reports: list[KafkaError | None] = []

        def reported(error: KafkaError | None, _message: Message) -> None:
            reports.append(error)

        try:
            self._producer.produce(
                self._settings.topic,
                value=to_json(event),
                key=event.scene.encode(),
                headers=[("idempotency-key", event.key), ("content-type", "application/json")],
                on_delivery=reported,
            )
        except KafkaException as error:
            raise self._refusal(_cause(error)) from error
        self._producer.flush(self._settings.timeout_s + CLOSING_S)
        if not reports:
            raise SinkUnavailable("the brokers did not confirm in time", where=self._where)
        if reports[0] is not None:
            raise self._refusal(reports[0])

    def close(self) -> None:
        """Give up what is under way and end the connections; may be called twice."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(CLOSING_S)

    def _options(self) -> dict[str, Any]:
        chosen = self._settings
        options: dict[str, Any] = {
            "bootstrap.servers": ",".join(chosen.servers),
            "client.id": "fusewatch",
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 0,
            "delivery.timeout.ms": round(chosen.timeout_s * 1000),
            "log_level": _SILENT,
            "error_cb": self._noted,
        }
        encrypted = "SSL" if chosen.tls else "PLAINTEXT"
        options["security.protocol"] = f"SASL_{encrypted}" if chosen.sasl else encrypted
        if chosen.sasl:
            options["sasl.mechanism"] = chosen.sasl.upper()
            options["sasl.username"] = chosen.username
            options["sasl.password"] = chosen.password.get_secret_value()
        return options | self._trust()

    def _trust(self) -> dict[str, Any]:
        chosen = self._settings
        files = {
            "ssl.ca.location": chosen.ca_file,
            "ssl.certificate.location": chosen.client_cert,
            "ssl.key.location": chosen.client_key,
        }
        trust: dict[str, Any] = {name: str(path) for name, path in files.items() if path}
        return trust | ({"enable.ssl.certificate.verification": False} if chosen.insecure else {})

    def _noted(self, error: KafkaError) -> None:
        self._trouble = _words(error)

    def _refusal(self, error: KafkaError) -> SinkError:
        if error.code() in _NEVER:
            return SinkRejected(
                f"the brokers refused: {_words(error)}",
                where=self._where,
                fix="correct topic or permissions, then 'events retry'",
            )
        return SinkUnavailable(_words(error), where=self._where)


def _cause(error: KafkaException) -> KafkaError:
    cause: KafkaError = error.args[0]
    return cause


def _words(error: KafkaError) -> str:
    return f"{error.str()} ({error.name()})"


PLUGIN = KafkaSettings
