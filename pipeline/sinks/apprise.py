"""Events to any of the services that Apprise knows: chats, pagers, phones, desktops.

`Apprise <https://pypi.org/project/apprise/>`_ (2-clause BSD) keeps the clients of more than a
hundred services; ours is the text, the picture and the account of what was taken. It tells a
failure only as *not all were reached*: that means *later*, for as long as it takes, and those
that were reached may be told again.

A service gets ``timeout_s`` to answer, unless its address says otherwise (``rto`` and ``cto``) or
its client waits for a time of its own.
"""

from __future__ import annotations

import logging
from typing import Literal

import apprise
from pydantic import Field, SecretStr, field_validator

from pipeline.core.answered import EventAnswer
from pipeline.core.digest import Digest
from pipeline.core.errors import SinkUnavailable
from pipeline.core.event import Event, Phase, Severity
from pipeline.sinks.base import AnswerSettings, MessengerSettings, SinkContext
from pipeline.sinks.message import Message, message_of, message_of_answer, message_of_digest

# Apprise logs the addresses of services, and they hold tokens.
logging.getLogger("apprise").setLevel(logging.CRITICAL)


class AppriseSettings(AnswerSettings, MessengerSettings):
    """Tell of events through Apprise."""

    type: Literal["apprise"] = "apprise"
    """Kind of sink."""

    urls: list[SecretStr] = Field(min_length=1)
    """Addresses as Apprise writes them, such as ``ntfy://topic``; secret, as they hold tokens."""

    page: str = ""
    """Address of the dashboard as the recipients reach it, for a link; empty: none."""

    @field_validator("urls")
    @classmethod
    def _known(cls, value: list[SecretStr]) -> list[SecretStr]:
        for number, url in enumerate(value):
            if not apprise.Apprise().add(url.get_secret_value()):
                raise ValueError(f"number {number + 1} is no address that Apprise knows")
        return value

    def build(self, context: SinkContext) -> AppriseSink:
        """Make the sink."""
        return AppriseSink(self, context)


class AppriseSink:
    """Tells of events through Apprise.

    Args:
        settings: Whom to tell.
        context: Deployment and evidence.
    """

    def __init__(self, settings: AppriseSettings, context: SinkContext) -> None:
        self._settings = settings
        self._context = context
        self._where = f"apprise, {len(settings.urls)} services"
        self._services: apprise.Apprise | None = None

    def open(self) -> None:
        """Prepare the clients; services are first asked when there is an event."""
        self._services = apprise.Apprise()
        for url in self._settings.urls:
            self._services.add(url.get_secret_value())
        for service in self._services:
            _wait(service, self._settings.timeout_s)

    def deliver(self, event: Event) -> None:
        """Tell of the event's phase."""
        chosen, context = self._settings, self._context
        message = message_of(event, context.deployment, context.evidence, chosen.page)
        self._tell(message, _kind_of(event))

    def deliver_digest(self, digest: Digest) -> None:
        """Tell what came and went."""
        message = message_of_digest(digest, self._context.deployment)
        self._tell(message, apprise.NotifyType.INFO)

    def deliver_answer(self, event: Event, answer: EventAnswer) -> None:
        """Tell what was answered."""
        page = self._settings.page
        message = message_of_answer(event, answer, self._context.deployment, page)
        self._tell(message, apprise.NotifyType.INFO)

    def close(self) -> None:
        """Let go of the clients; may be called twice."""
        self._services = None

    def _tell(self, message: Message, kind: apprise.NotifyType) -> None:
        if self._services is None:
            self.open()
        if self._services is None:
            raise SinkUnavailable("not open", where=self._where)
        pictures = [str(path) for path in message.pictures] or None
        told = self._services.notify(
            body=message.text, title=message.subject, notify_type=kind, attach=pictures
        )
        if not told:
            raise SinkUnavailable("not all services were reached", where=self._where)


def _wait(service: apprise.NotifyBase, timeout_s: float) -> None:
    """Let a service take so long, where Apprise's general time would hold."""
    for name in ("socket_connect_timeout", "socket_read_timeout"):
        general = getattr(type(service), name) == getattr(apprise.URLBase, name)
        if general and name not in vars(service):  # there is what the address says
            setattr(service, name, timeout_s)


def _kind_of(event: Event) -> apprise.NotifyType:
    if event.phase is Phase.CLEARED:
        return apprise.NotifyType.SUCCESS
    if event.severity in (Severity.HIGH, Severity.CRITICAL):
        return apprise.NotifyType.FAILURE
    return apprise.NotifyType.WARNING


PLUGIN = AppriseSettings
