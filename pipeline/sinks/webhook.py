"""Events posted to a web address, as the one who is there reads them.

``template`` chooses the body, see `pipeline.sinks.templates`: the event itself for programs
(CloudEvents), or what Slack, Teams, PagerDuty or Alertmanager take. Every request has a header
``webhook-id``, the idempotency key, and with a secret a signature (`pipeline.sinks.signature`).

2xx is taken; 408, 425, 429 and 5xx mean *later* (``Retry-After`` is obeyed); anything else,
redirects too, means *never*, and the beginning of what was answered is told: Slack says
``invalid_payload`` there.
"""

from __future__ import annotations

import base64
import logging
import math
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal, Self

import httpx
from pydantic import Field, SecretStr, field_validator, model_validator

from pipeline.core.answered import EventAnswer, answer_key
from pipeline.core.digest import Digest
from pipeline.core.errors import SinkRejected, SinkUnavailable
from pipeline.core.event import Event
from pipeline.sinks.base import WEB_ADDRESS, AnswerSettings, DigestSettings, SinkContext
from pipeline.sinks.delivery import Pace
from pipeline.sinks.signature import secret_bytes, signature
from pipeline.sinks.templates.alertmanager import Alertmanager
from pipeline.sinks.templates.base import Site, Template, one_line
from pipeline.sinks.templates.pagerduty import PagerDuty
from pipeline.sinks.templates.plain import Plain
from pipeline.sinks.templates.slack import Slack
from pipeline.sinks.templates.teams import Teams

TEMPLATES: Mapping[str, Callable[[Site], Template]] = {
    "plain": Plain,
    "slack": Slack,
    "teams": Teams,
    "pagerduty": PagerDuty,
    "alertmanager": Alertmanager,
}
"""Who can be told, and how."""

# httpx logs every address in full, and an address may be a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)

LATER = frozenset({408, 425, 429})
LONGEST_WAIT_S = 3600.0
"""A receiver cannot ask for a longer pause than this, seconds."""

_READ_BYTES, _TOLD = 4096, 300  # of what a receiver says when it refuses: bytes, letters
_SECRET_PART = 6  # what is shorter is a word, and not looked for in what a receiver says


class WebhookSettings(AnswerSettings, DigestSettings):
    """Post events to a web address."""

    type: Literal["webhook"] = "webhook"
    """Kind of sink."""

    url: SecretStr
    """Where to post; kept secret because many such addresses hold a token."""

    template: Literal["plain", "slack", "teams", "pagerduty", "alertmanager"] = "plain"
    """How the event is written: for one's own program, or as this service takes it."""

    routing_key: SecretStr | None = None
    """PagerDuty: integration key of the service that is paged. ``routing_key_file`` reads it."""

    page: str = Field(default="", pattern=WEB_ADDRESS)
    """Address of the dashboard as the recipients reach it, for a link; empty: none."""

    stands_s: float = Field(default=86_400.0, ge=60, le=366 * 86_400)
    """Alertmanager: how long an alert stands without news, seconds; what is over ends at once."""

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
            secret_bytes(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _key_of_pagerduty(self) -> Self:
        given = bool(self.routing_key and self.routing_key.get_secret_value())
        if given != (self.template == "pagerduty"):
            raise ValueError("template pagerduty needs a routing_key, and no other has one")
        return self

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
        self._template = TEMPLATES[settings.template](_site(settings, context.deployment))
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
        now_ns = self._context.clock.now_ns()
        self._post(event.key, self._template.event(event, now_ns))

    def deliver_digest(self, digest: Digest) -> None:
        """Post what came and went."""
        now_ns = self._context.clock.now_ns()
        self._post(digest.key, self._template.digest(digest, now_ns))

    def deliver_answer(self, event: Event, answer: EventAnswer) -> None:
        """Post what was answered."""
        body = self._template.answer(event, answer)
        if body is not None:
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
            # A body, however long, is left unread but for its beginning when it says why not.
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
            "content-type": self._template.content_type,
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
            f"{said}{self._reason(answer)}",
            where=self._where,
            fix="correct url, headers or secret, then 'events retry'",
        )

    def _reason(self, answer: httpx.Response) -> str:
        """The beginning of what was answered, without our secrets."""
        try:
            said = next(answer.iter_bytes(), b"")[:_READ_BYTES].decode("utf-8", "replace")
        except httpx.HTTPError:
            return ""  # what it answered is known all the same
        for secret in _secrets(self._settings):
            said = said.replace(secret, "***")
        return f": {one_line(said, _TOLD)}" if said.strip() else ""


def _site(settings: WebhookSettings, deployment: str) -> Site:
    key = settings.routing_key
    return Site(
        deployment=deployment,
        page=settings.page,
        routing_key=key.get_secret_value() if key else "",
        stands_ns=round(settings.stands_s * 1e9),
    )


def _secrets(settings: WebhookSettings) -> Iterator[str]:
    """What must not be told, in whole and by word: secrets, and parts of the address."""
    url = httpx.URL(settings.url.get_secret_value())
    given = (settings.secret, settings.routing_key, *settings.headers.values())
    texts = [one.get_secret_value() for one in given if one]
    texts += [url.password, *url.params.values(), *url.path.split("/")]
    texts.append(base64.b64encode(url.userinfo).decode())
    for text in texts:
        yield from (word for word in (text, *text.split()) if len(word) >= _SECRET_PART)


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


def _parsed(url: str) -> httpx.URL | None:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL:
        return None


PLUGIN = WebhookSettings
