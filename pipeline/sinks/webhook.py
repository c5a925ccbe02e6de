"""Events posted to a web address as CloudEvents, signed.

The body is a CloudEvents 1.0 JSON object in structured mode
(``application/cloudevents+json``): ``id`` is the event's key, so that a receiver can tell a
repeat; ``source`` is ``/fusewatch/<deployment>/<scene>``; ``type`` is
``org.fusewatch.event.<phase>``; ``subject`` is the event's id, the same for all its phases;
``time`` is the end of the span; ``data`` is the event.

A digest (`pipeline.core.digest`) is one CloudEvent of type ``org.fusewatch.digest``: ``id`` is
its key, ``subject`` the scene, ``data`` says what came and went.

With ``answers: true``, what somebody answered to an event is a CloudEvent of type
``org.fusewatch.event.answered``, with the event and, under ``answer``, what and by whom
(`pipeline.core.answered`).

Every request has a header ``webhook-id``, the idempotency key. With a secret, it is signed as
Standard Webhooks does: headers ``webhook-timestamp`` (seconds) and ``webhook-signature`` =
``v1,`` and the base64 of HMAC-SHA256 over ``<id>.<timestamp>.<body>``. A secret that begins
with ``whsec_`` is base64 after that; any other is used as it stands. Receivers verify with
`signature`, refuse timestamps far from now, and compare in constant time.

2xx is taken; 408, 425, 429 and 5xx mean *later* (``Retry-After`` is obeyed); anything else,
redirects too, means *never*.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import math
import ssl
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

import httpx
import msgspec
from pydantic import Field, SecretStr, field_validator

from pipeline.core.answered import EventAnswer, answer_key, answered_json
from pipeline.core.digest import Digest, digest_body
from pipeline.core.errors import SinkRejected, SinkUnavailable
from pipeline.core.event import Event, to_json
from pipeline.sinks.base import AnswerSettings, DigestSettings, SinkContext
from pipeline.sinks.delivery import Pace

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
# httpx logs every address in full, and an address may be a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)

LATER = frozenset({408, 425, 429})
LONGEST_WAIT_S = 3600.0
"""A receiver cannot ask for a longer pause than this, seconds."""


class WebhookSettings(AnswerSettings, DigestSettings):
    """Post events to a web address."""

    type: Literal["webhook"] = "webhook"
    """Kind of sink."""

    url: SecretStr
    """Where to post; kept secret because many such addresses hold a token."""

    secret: SecretStr | None = None
    """Key of the signature; none: requests are not signed. ``secret_file`` reads it."""

    headers: dict[str, SecretStr] = {}
    """Further headers, for example ``Authorization``."""

    insecure: bool = False
    """Do not check the receiver's certificate. For trials only."""

    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""

    concurrency: int = Field(default=1, ge=1, le=32)
    """Requests under way at once, each of another scene; order is kept within a scene."""

    @field_validator("url")
    @classmethod
    def _web_address(cls, value: SecretStr) -> SecretStr:
        url = _parsed(value.get_secret_value())
        if url is None or url.scheme not in {"http", "https"} or not url.host:
            raise ValueError("must be an http:// or https:// address")
        return value

    @field_validator("secret")
    @classmethod
    def _key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _secret_bytes(value.get_secret_value())
        return value

    @property
    def pace(self) -> Pace:
        """How fast it is fed."""
        return replace(super().pace, concurrency=self.concurrency)

    def build(self, context: SinkContext) -> WebhookSink:
        """Make the sink."""
        return WebhookSink(self, context)


class WebhookSink:
    """Posts events.

    Args:
        settings: Where to.
        context: Clock for the signature's timestamp, and the deployment.
    """

    def __init__(self, settings: WebhookSettings, context: SinkContext) -> None:
        self._settings = settings
        self._context = context
        self._url = httpx.URL(settings.url.get_secret_value())
        self._where = f"{self._url.scheme}://{self._url.netloc.decode().rpartition('@')[2]}"
        self._client: httpx.Client | None = None

    def open(self) -> None:
        """Prepare connections; the receiver is first asked when there is an event.

        Raises:
            SinkUnavailable: ``ca_file`` cannot be read.
        """
        self.close()
        self._client = httpx.Client(
            verify=self._trust(), timeout=self._settings.timeout_s, follow_redirects=False
        )

    def deliver(self, event: Event) -> None:
        """Post the event's phase."""
        self._post(event.key, cloud_event(event, self._context.deployment))

    def deliver_digest(self, digest: Digest) -> None:
        """Post what came and went."""
        self._post(digest.key, cloud_digest(digest, self._context.deployment))

    def deliver_answer(self, event: Event, answer: EventAnswer) -> None:
        """Post what was answered."""
        body = cloud_answer(event, answer, self._context.deployment)
        self._post(answer_key(event.id, answer), body)

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _post(self, key: str, body: bytes) -> None:
        if self._client is None:
            self.open()
        if self._client is None:
            raise SinkUnavailable("not open", where=self._where)
        headers = self._headers(key, body)
        try:
            # The status is all that is wanted: a body, however long, is left unread.
            with self._client.stream("POST", self._url, content=body, headers=headers) as answer:
                self._judge(answer)
        except httpx.RequestError as error:
            reason = str(error) or type(error).__name__
            raise SinkUnavailable(f"no answer: {reason}", where=self._where) from error

    def _trust(self) -> ssl.SSLContext | bool:
        if self._settings.insecure:
            return False
        if self._settings.ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=str(self._settings.ca_file))
        except OSError as error:
            raise SinkUnavailable(
                f"cannot read ca_file {self._settings.ca_file}: {error}", where=self._where
            ) from error

    def _headers(self, key: str, body: bytes) -> dict[str, str]:
        seconds = self._context.clock.now_ns() // 10**9
        headers = {name: value.get_secret_value() for name, value in self._settings.headers.items()}
        headers |= {
            "content-type": CONTENT_TYPE,
            "user-agent": "fusewatch",
            "webhook-id": key,
            "webhook-timestamp": str(seconds),
        }
        if self._settings.secret is not None:
            secret = self._settings.secret.get_secret_value()
            headers["webhook-signature"] = signature(secret, key, seconds, body)
        return headers

    def _judge(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if answer.is_success:
            return
        said = f"answered {status} {answer.reason_phrase}".strip()
        if status in LATER or answer.is_server_error:
            now_ns = self._context.clock.now_ns()
            asked_s = retry_after_s(answer.headers.get("retry-after"), now_ns)
            raise SinkUnavailable(said, where=self._where, retry_after_s=asked_s)
        raise SinkRejected(
            said, where=self._where, fix="correct url, headers or secret, then 'events retry'"
        )


def cloud_event(event: Event, deployment: str) -> bytes:
    """The event in the CloudEvents 1.0 JSON format."""
    kind, source = f"event.{event.phase.value}", f"/fusewatch/{deployment}/{event.scene}"
    return _envelope(event.key, kind, source, event.id, event.end_ns, to_json(event))


def cloud_answer(event: Event, answer: EventAnswer, deployment: str) -> bytes:
    """The answer in the CloudEvents 1.0 JSON format."""
    source = f"/fusewatch/{deployment}/{event.scene}"
    key, at_ns = answer_key(event.id, answer), answer.withdrawn_ns or answer.at_ns
    body = answered_json(event, answer)
    return _envelope(key, "event.answered", source, event.id, at_ns, body)


def cloud_digest(digest: Digest, deployment: str) -> bytes:
    """The digest in the CloudEvents 1.0 JSON format."""
    source = f"/fusewatch/{deployment}/{digest.scene}"
    body = digest_body(digest)
    return _envelope(digest.key, "digest", source, digest.scene, digest.end_ns, body)


def _envelope(key: str, kind: str, source: str, subject: str, at_ns: int, data: bytes) -> bytes:
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": key,
        "source": source,
        "type": f"org.fusewatch.{kind}",
        "subject": subject,
        "time": rfc3339(at_ns),
        "datacontenttype": "application/json",
        "data": msgspec.Raw(data),
    }
    return msgspec.json.encode(envelope, order="sorted")


def rfc3339(at_ns: int) -> str:
    """A time as RFC 3339 text in UTC, with nanoseconds."""
    moment = datetime.fromtimestamp(at_ns // 10**9, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ns % 10**9:09d}Z"


def signature(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of ``webhook-signature``; see the module."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    digest = hmac.new(_secret_bytes(secret), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def retry_after_s(header: str | None, now_ns: int) -> float | None:
    """What a ``Retry-After`` header asks for, seconds, bounded; None when it is not readable."""
    if header is None:
        return None
    try:
        wait_s = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except ValueError:
            return None
        wait_s = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now_ns / 1e9
    return None if math.isnan(wait_s) else min(max(wait_s, 0.0), LONGEST_WAIT_S)


def _secret_bytes(secret: str) -> bytes:
    if not secret:
        raise ValueError("the secret must not be empty")
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError("what follows whsec_ must be base64") from error


def _parsed(url: str) -> httpx.URL | None:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL:
        return None


PLUGIN = WebhookSettings
