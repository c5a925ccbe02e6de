"""Nobody comes further than the login without the token, and nobody brings more than fits.

This is decided before a request is read any further, so that a stranger learns nothing, not even
which paths there are, and cannot fill the memory. A route added later is behind it by itself.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from nodes.dashboard.access import COOKIE, Access

LONGEST_BODY = 64 << 10
"""Longest body of a request, bytes."""

_OPEN = frozenset({"/", "/login", "/logout"})
_OPEN_FOLDER = "/static/"


class Door:
    """Lets in who has the token, and what is not too long.

    Args:
        app: What is behind it.
        access: Who may come in.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is not let in; hand on any other."""
        refusal = self._refusal(Request(scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, request: Request) -> JSONResponse | None:
        path = request.scope["path"]  # not of the URL: a host that is made up is part of that
        if path in _OPEN or path.startswith(_OPEN_FOLDER):
            return None
        if visitor(self._access, request) is None:
            return _says(401, "log in first", {"www-authenticate": "Bearer"})
        if "transfer-encoding" in request.headers:
            return _says(411, "say how long the body is")
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LONGEST_BODY:
            return _says(413, f"a body has at most {LONGEST_BODY} bytes")
        return None


def visitor(access: Access, request: Request) -> str | None:
    """Who asks; None for somebody who may not come in."""
    return access.who(request.cookies.get(COOKIE), request.headers.get("authorization"))


def _says(status: int, why: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": why}, status, headers)
