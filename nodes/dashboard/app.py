"""The page's web application: what is asked, by whom, and who answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import structlog
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nodes.dashboard.access import Access
from nodes.dashboard.answer_views import EffectView, SceneExemptions
from nodes.dashboard.description import describe
from nodes.dashboard.door import Door, visitor
from nodes.dashboard.event_views import EventRow, EventView
from nodes.dashboard.live_events import told
from nodes.dashboard.live_feed import LiveFeed
from nodes.dashboard.login import STATIC, add_login
from nodes.dashboard.neighbours import node_views
from nodes.dashboard.normal_pictures import NormalPictures, add_normal_pictures
from nodes.dashboard.records import Records
from nodes.dashboard.stream_views import add_streams
from nodes.dashboard.views import (
    MILLISECOND_NS,
    AnswerGiven,
    AnswerView,
    GroupView,
    History,
    NodeView,
    SceneView,
    answer_view,
)
from nodes.event_bundle import zip_of
from nodes.places import evidence_folder
from pipeline import __version__
from pipeline.config.deployment import Deployment
from pipeline.core.errors import NoSuchAnswer, StoreError
from pipeline.store import Verdict

log = structlog.get_logger(__name__)

TOO_LATE_MS = 2**63 // MILLISECOND_NS
"""The stores count nanoseconds, up to this, the year 2262."""

_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}

FileName: TypeAlias = Annotated[str, PathParameter(pattern=r"^[A-Za-z0-9._-]{1,100}$")]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the application works with.

    Attributes:
        deployment: The deployment that is shown.
        access: Who may see it.
        records: Events, answers and scores.
        feed: What the fusion node shows.
        secure: Whether the page is reached over TLS.
        hosts: Names by which browsers may reach it.
    """

    deployment: Deployment
    access: Access
    records: Records
    feed: LiveFeed
    secure: bool
    hosts: tuple[str, ...]


def build_app(desk: Desk) -> FastAPI:
    """The application."""
    app = FastAPI(title="fusewatch", version=__version__, openapi_url=None)
    app.add_middleware(Door, access=desk.access)
    # A page elsewhere whose name is made to lead here must not be answered.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(desk.hosts))
    app.add_middleware(_Headers)
    app.add_exception_handler(StoreError, _not_now)
    add_login(app, desk.access, secure=desk.secure)
    _add_records(app, desk)
    _add_live(app, desk)
    _add_files(app, desk)
    add_streams(app, desk.deployment, desk.records.clock, _asked_by(desk))
    add_normal_pictures(app, NormalPictures(desk.deployment), _asked_by(desk))
    _add_description(app)
    return app


class _Headers:
    """Puts the headers that keep a browser careful on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(k.encode(), v.encode()) for k, v in _HEADERS.items()]
            await send(message)

        await self._app(scope, receive, sent)


def _not_now(_request: Request, error: Exception) -> Response:
    """What is said when a store is busy, full or damaged."""
    log.warning("a store cannot be used", error=str(error), every_s=60)
    return JSONResponse({"detail": str(error)}, 503)


def _asked_by(desk: Desk) -> Any:  # noqa: ANN401 - stands as the default of a `str`
    """A dependency: who asks; nobody without a token."""

    def who(request: Request) -> str:
        name = visitor(desk.access, request)
        if name is None:
            raise HTTPException(401, "log in first")
        return name

    return Depends(who)


def _add_records(app: FastAPI, desk: Desk) -> None:
    who = _asked_by(desk)
    records = desk.records

    def known(scene: str) -> str:
        if scene not in desk.deployment.scenes:
            raise HTTPException(404, f"no scene {scene!r}")
        return scene

    @app.get("/api/scenes", dependencies=[who])
    def scenes() -> list[SceneView]:
        """All scenes and how they are."""
        return records.scenes()

    @app.get("/api/scenes/{scene}/history", dependencies=[who])
    def history(
        scene: str,
        from_ms: Annotated[int, Query(ge=0, lt=TOO_LATE_MS)],
        to_ms: Annotated[int, Query(ge=0, lt=TOO_LATE_MS)],
        points: Annotated[int, Query(ge=1, le=2000)] = 720,
    ) -> History:
        """Scores of a span, minute by minute or coarser."""
        windows = desk.feed.windows(known(scene))
        threshold = windows[-1].threshold if windows else None
        return records.history(scene, from_ms, max(from_ms, to_ms), points, threshold)

    @app.get("/api/events", dependencies=[who])
    def events(
        scene: str | None = None,
        since_ms: Annotated[int | None, Query(ge=0, lt=TOO_LATE_MS)] = None,
        until_ms: Annotated[int | None, Query(ge=0, lt=TOO_LATE_MS)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        health: bool | None = None,
    ) -> list[EventRow]:
        """Events at their latest phase, the newest first; of the equipment only, or without it."""
        return records.events(scene, since_ms, until_ms, limit, health)

    @app.get("/api/events/{event_id}", dependencies=[who])
    def event(event_id: str) -> EventView:
        """One event with everything known of it."""
        found = records.event(event_id)
        if found is None:
            raise HTTPException(404, "no such event")
        return found

    @app.get("/api/events/{event_id}/effect", dependencies=[who])
    def effect(
        event_id: str,
        verdict: Verdict | None = None,
        days: Annotated[int, Query(ge=1, le=366)] = 7,
    ) -> EffectView:
        """Alarms that a verdict would have lost or gained; none: that taking it back would."""
        found = records.effect(event_id, verdict, days)
        if found is None:
            raise HTTPException(404, "no such event")
        return found

    @app.get("/api/exemptions", dependencies=[who])
    def exemptions(days: Annotated[int, Query(ge=1, le=366)] = 7) -> list[SceneExemptions]:
        """What was said to be normal and holds, and what that held back."""
        return records.exemptions(days)

    @app.post("/api/events/{event_id}/answers", status_code=201)
    def answer(event_id: str, given: AnswerGiven, name: str = who) -> EventView:
        """Say that an event was seen, what it was, or anything else of it."""
        if records.answer(event_id, given, name) is None:
            raise HTTPException(404, "no such event")
        return event(event_id)

    @app.delete("/api/answers/{position}")
    def withdraw(
        position: Annotated[int, PathParameter(ge=0, lt=2**63)], name: str = who
    ) -> AnswerView:
        """Take an answer back."""
        try:
            return answer_view(records.withdraw(position, name))
        except NoSuchAnswer as error:
            raise HTTPException(404, str(error)) from error

    @app.get("/api/groups", dependencies=[who])
    def groups() -> list[GroupView]:
        """Groups of scenes and who fuses them, of a deployment that has a cluster."""
        return records.groups()

    @app.get("/api/nodes", dependencies=[who])
    def nodes() -> list[NodeView]:
        """The processes of the deployment on this machine, and what they say of themselves."""
        return node_views(desk.deployment.data)


def _add_live(app: FastAPI, desk: Desk) -> None:
    who = _asked_by(desk)

    @app.get(
        "/api/live",
        dependencies=[who],
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def live(request: Request, scene: str | None = None) -> StreamingResponse:
        """Windows as they are scored, as server-sent events; of one scene or of all."""
        after = request.headers.get("last-event-id", "")
        said = told(desk.feed, scene, int(after) if after.isdecimal() else -1)
        return StreamingResponse(
            said, media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    @app.get(
        "/api/scenes/{scene}/pictures/{stream}",
        dependencies=[who],
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}},
    )
    def picture(scene: str, stream: str, index: int | None = None) -> Response:
        """A camera's picture in a window that was shown lately."""
        jpeg = desk.feed.picture(scene, stream, index)
        if jpeg is None:
            raise HTTPException(404, "no such picture, or no longer")
        return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "no-store"})


def _add_description(app: FastAPI) -> None:
    @app.get("/openapi.json", include_in_schema=False)
    def description() -> dict[str, Any]:
        """This API, described in OpenAPI."""
        return describe(app)


def _add_files(app: FastAPI, desk: Desk) -> None:
    folder = evidence_folder(desk.deployment).resolve()

    @app.get(
        "/api/events/{event_id}/bundle.zip",
        dependencies=[_asked_by(desk)],
        response_class=StreamingResponse,
        responses={200: {"content": {"application/zip": {}}}},
    )
    def bundle(event_id: str) -> StreamingResponse:
        """Everything of an event as one ZIP."""
        phases = desk.records.phases(event_id)
        if not phases:
            raise HTTPException(404, "no such event")
        headers = {"content-disposition": f'attachment; filename="{event_id}.zip"'}
        made = zip_of(folder / event_id, phases)
        return StreamingResponse(made, media_type="application/zip", headers=headers)

    @app.get(
        "/evidence/{event_id}/{name}",
        dependencies=[_asked_by(desk)],
        response_class=FileResponse,
        responses={200: {"content": {"*/*": {}}}},
    )
    def evidence(event_id: FileName, name: FileName) -> Response:
        """A file that shows what happened."""
        path = (folder / event_id / name).resolve()
        if path.parent.parent != folder or name.startswith(".") or not path.is_file():
            raise HTTPException(404, "no such file, or not yet")
        return FileResponse(path)

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
