"""The page's way in: the login, and the page itself for who came in."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, RedirectResponse

from nodes.dashboard.access import COOKIE, SESSION_S, Access
from nodes.dashboard.door import visitor
from pipeline.core.errors import AuthenticationError

STATIC = Path(__file__).parent / "static"
LONGEST_FORM = 4096


def add_login(app: FastAPI, access: Access, *, secure: bool) -> None:
    """Add the paths that a stranger finds, and the page itself.

    Args:
        app: The application.
        access: Who may come in.
        secure: Whether the page is reached over TLS.
    """

    @app.post("/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        given = await _form(request)
        try:
            cookie = access.login(given.get("token", "").strip(), given.get("who", ""))
        except AuthenticationError:
            return RedirectResponse("/login?again", 303)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE,
            cookie,
            max_age=SESSION_S,
            httponly=True,
            samesite="strict",
            secure=secure,
        )
        return answer

    @app.post("/logout", include_in_schema=False)
    def logout() -> Response:
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE)
        return answer

    @app.get("/login", include_in_schema=False)
    def login_page() -> Response:
        return FileResponse(STATIC / "login.html")

    @app.get("/", include_in_schema=False)
    def page(request: Request) -> Response:
        if visitor(access, request) is None:
            return RedirectResponse("/login", 303)
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})


async def _form(request: Request) -> dict[str, str]:
    """Fields of a form; none of one that is too long to be a login."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LONGEST_FORM:
            return {}
    return dict(parse_qsl(body.decode("utf-8", "replace")))
