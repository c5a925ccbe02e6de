"""Who may see the page: those who have the token of the deployment.

The token is made once, kept in the data folder readable by its owner alone, and typed at the
login; scripts send it as ``Authorization: Bearer``. A session is a cookie that says who logged
in and when, sealed with the token: nothing is kept here, and another token ends all sessions.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pipeline.core.clock import Clock
from pipeline.core.errors import AuthenticationError

COOKIE = "fusewatch_session"
SESSION_S = 12 * 3600
FILE = "dashboard-token"
_BEARER = "Bearer "
_LONGEST_NAME = 64


class _Session(msgspec.Struct, frozen=True):
    who: str
    since_s: int


_SESSION_DECODER = msgspec.json.Decoder(_Session)


@dataclass(frozen=True, slots=True)
class Access:
    """Checks tokens and seals sessions.

    Attributes:
        token: The secret of the deployment's page.
        clock: The time, UTC.
    """

    token: str
    clock: Clock

    def login(self, token: str, who: str) -> str:
        """The cookie of a new session.

        Raises:
            AuthenticationError: It is not the token.
        """
        if not self._is_token(token):
            raise AuthenticationError("not the token of this page", fix=f"it is in {FILE}")
        name = " ".join(who.split())[:_LONGEST_NAME] or "somebody"
        body = msgspec.json.encode(_Session(name, self._now_s()))
        return f"{base64.urlsafe_b64encode(body).decode()}.{self._seal(body)}"

    def who(self, cookie: str | None, authorization: str | None) -> str | None:
        """Who asks; None for somebody who may not."""
        if authorization is not None:
            bearer = authorization.removeprefix(_BEARER)
            return "token" if bearer != authorization and self._is_token(bearer) else None
        return self._of_cookie(cookie or "")

    def _of_cookie(self, cookie: str) -> str | None:
        text, _, seal = cookie.partition(".")
        try:
            body = base64.urlsafe_b64decode(text.encode())
            if not hmac.compare_digest(seal.encode("utf-8", "replace"), self._seal(body).encode()):
                return None
            session = _SESSION_DECODER.decode(body)
        except (binascii.Error, UnicodeEncodeError, msgspec.DecodeError):
            return None
        age_s = self._now_s() - session.since_s
        return session.who if 0 <= age_s < SESSION_S else None

    def _is_token(self, token: str) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())

    def _seal(self, body: bytes) -> str:
        return hmac.new(self.token.encode(), body, hashlib.sha256).hexdigest()

    def _now_s(self) -> int:
        return self.clock.now_ns() // 1_000_000_000


def page_token(data: Path) -> str:
    """The token of a deployment's page, made when there is none.

    Raises:
        AuthenticationError: Others can read it, or it is too short to be one.
    """
    path = data / FILE
    data.mkdir(parents=True, exist_ok=True)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_token(path)
    with os.fdopen(file, "w") as out:
        token = secrets.token_urlsafe(24)
        out.write(f"{token}\n")
    return token


def _read_token(path: Path) -> str:
    if path.stat().st_mode & 0o077:
        raise AuthenticationError(
            "others can read the token of the page",
            where=str(path),
            fix="chmod 600 it, or remove it: a new one is made",
        )
    token = path.read_text().strip()
    if len(token) < 16:
        raise AuthenticationError(
            "the token of the page is too short",
            where=str(path),
            fix="remove it: a new one is made",
        )
    return token
