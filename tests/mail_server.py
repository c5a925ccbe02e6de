"""A mail server in a thread, which keeps the messages it is given and answers as it is told."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.system.ports import free_port


class MailServer:
    """Takes mail on the loopback; stays on its port over restarts.

    Args:
        login: The only name and password it lets in; None: anybody, without.
    """

    def __init__(self, login: tuple[str, str] | None = None) -> None:
        self.port = free_port()
        self.mails: list[EmailMessage] = []
        self.answer: Callable[[EmailMessage], str] = lambda mail: "250 taken"
        self.refused: frozenset[str] = frozenset()
        self.later: frozenset[str] = frozenset()
        self._login = login
        self._controller: Controller | None = None

    def start(self) -> MailServer:
        options = {"authenticator": self._lets_in, "auth_require_tls": False} if self._login else {}
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)
        self._controller.start()
        return self

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        if address in self.refused:
            return "550 nobody of that name"
        if address in self.later:
            return "450 greylisted, try again"
        envelope.rcpt_tos.append(address)
        return "250 known"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        mail = email.message_from_bytes(envelope.content or b"", policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        said = self.answer(mail)
        if said.startswith("2"):
            self.mails.append(mail)
        return said

    def _lets_in(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, given: object
    ):
        assert isinstance(given, LoginPassword)
        shown = (given.login.decode(), given.password.decode())
        return AuthResult(success=shown == self._login, handled=False)
