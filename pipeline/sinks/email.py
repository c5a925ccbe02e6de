"""Events by e-mail, over SMTP.

The ``Message-ID`` is made of the event's key, so that a repeat is the same message to a mailbox
that looks; the phases of an event are one thread (``References``). An event that is raised
brings its picture along, if it has been written by then. A message counts as delivered when the
server has taken it for at least one of the recipients.

Answers of 4xx, a server that does not answer, and one that refuses our login mean *later*: the
event is not at fault, and neither is it while one recipient may be reached later. A message or all
recipients refused with 5xx mean *never*.
"""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from typing import Literal

import structlog
from pydantic import Field, SecretStr, field_validator

from pipeline.core.answered import EventAnswer
from pipeline.core.digest import Digest
from pipeline.core.errors import SinkRejected, SinkUnavailable
from pipeline.core.event import Event
from pipeline.sinks.base import AnswerSettings, MessengerSettings, SinkContext
from pipeline.sinks.message import Message, message_of, message_of_answer, message_of_digest

log = structlog.get_logger(__name__)

_NEVER = 500  # answers from here on are for good


class EmailSettings(AnswerSettings, MessengerSettings):
    """Send events by e-mail."""

    type: Literal["email"] = "email"
    """Kind of sink."""

    server: str
    """Host of the mail server."""

    port: int = Field(default=587, ge=1, le=65535)
    """Its port: usually 587 with starttls, 465 with tls, 25 with none."""

    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted; none only for a server on this machine or for trials."""

    username: str = ""
    """Whom to log in as; empty: do not log in."""

    password: SecretStr = SecretStr("")
    """The password. ``password_file`` reads it."""

    sender: str
    """Address that the messages come from."""

    to: list[str] = Field(min_length=1)
    """Addresses that they go to."""

    page: str = ""
    """Address of the dashboard as the recipients reach it, for a link; empty: none."""

    @field_validator("sender", "to", "server")
    @classmethod
    def _one_line(cls, value: str | list[str]) -> str | list[str]:
        for text in [value] if isinstance(value, str) else value:
            if not text.strip() or any(ord(letter) < ord(" ") for letter in text):
                raise ValueError("must be a single line, and not empty")
        return value

    def build(self, context: SinkContext) -> EmailSink:
        """Make the sink."""
        return EmailSink(self, context)


class EmailSink:
    """Sends messages, on one connection for as long as the server keeps it.

    Args:
        settings: How and to whom.
        context: Clock, deployment and evidence.
    """

    def __init__(self, settings: EmailSettings, context: SinkContext) -> None:
        self._settings = settings
        self._context = context
        self._where = f"smtp://{settings.server}:{settings.port}"
        self._server: smtplib.SMTP | None = None

    def open(self) -> None:
        """Connect and log in.

        Raises:
            SinkUnavailable: The server is not there, or does not let us in.
        """
        self.close()
        chosen = self._settings
        try:
            self._server = self._connected()
            if chosen.username:
                self._server.login(chosen.username, chosen.password.get_secret_value())
        except smtplib.SMTPAuthenticationError as error:
            self.close()
            raise SinkUnavailable(
                f"the login was refused ({error.smtp_code})",
                where=self._where,
                fix="correct username and password",
            ) from error
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            raise SinkUnavailable(f"cannot connect: {error}", where=self._where) from error

    def deliver(self, event: Event) -> None:
        """Send the event's phase."""
        chosen, context = self._settings, self._context
        message = message_of(event, context.deployment, context.evidence, chosen.page)
        self._send(self._mail(message, thread=f"{event.id}.0"))

    def deliver_digest(self, digest: Digest) -> None:
        """Send what came and went."""
        message = message_of_digest(digest, self._context.deployment)
        self._send(self._mail(message, thread=message.key))

    def deliver_answer(self, event: Event, answer: EventAnswer) -> None:
        """Send what was answered, in the event's thread."""
        page = self._settings.page
        message = message_of_answer(event, answer, self._context.deployment, page)
        self._send(self._mail(message, thread=f"{event.id}.0"))

    def close(self) -> None:
        """Hang up; may be called twice."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def _connected(self) -> smtplib.SMTP:
        chosen = self._settings
        if chosen.security == "tls":
            return smtplib.SMTP_SSL(
                chosen.server,
                chosen.port,
                timeout=chosen.timeout_s,
                context=ssl.create_default_context(),
            )
        server = smtplib.SMTP(chosen.server, chosen.port, timeout=chosen.timeout_s)
        if chosen.security == "starttls":
            server.starttls(context=ssl.create_default_context())
        return server

    def _mail(self, message: Message, thread: str) -> EmailMessage:
        mail = EmailMessage()
        mail["From"] = self._settings.sender
        mail["To"] = ", ".join(self._settings.to)
        mail["Subject"] = message.subject
        mail["Date"] = formatdate(self._context.clock.now_ns() / 1e9)
        mail["Message-ID"] = self._id(message.key)
        if thread != message.key:
            mail["References"] = mail["In-Reply-To"] = self._id(thread)
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        for picture in message.pictures:
            kind = picture.suffix.removeprefix(".").replace("jpg", "jpeg")
            mail.add_attachment(
                picture.read_bytes(), maintype="image", subtype=kind, filename=picture.name
            )
        return mail

    def _id(self, key: str) -> str:
        return f"<{key}@{self._context.deployment}.fusewatch>"

    def _send(self, mail: EmailMessage) -> None:
        if self._server is None:
            self.open()
        if self._server is None:
            raise SinkUnavailable("not connected", where=self._where)
        try:
            refused = self._server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            self._judge(min((code for code, _ in error.recipients.values()), default=0), error)
        except smtplib.SMTPResponseException as error:
            self._judge(error.smtp_code, error)
        except (OSError, smtplib.SMTPException) as error:
            raise SinkUnavailable(f"not sent: {error}", where=self._where) from error
        else:
            if refused:
                log.warning("refused for some", sink=self._where, recipients=sorted(refused))

    def _judge(self, code: int, error: smtplib.SMTPException) -> None:
        if code >= _NEVER:
            raise SinkRejected(
                f"refused ({code})", where=self._where, fix="correct sender and to"
            ) from error
        raise SinkUnavailable(f"not taken now ({code})", where=self._where) from error


PLUGIN = EmailSettings
