"""Streams with their ledger and the clock of their node, as the page's API gives them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import FastAPI

from nodes.dashboard.views import View
from nodes.top_reading import places, read_all
from nodes.top_status import status_of
from pipeline.config.deployment import Deployment
from pipeline.core.clock import Clock


class StreamView(View):
    """One stream; ``captured = delivered + dropped + spooled``. What is not known is null."""

    stream: str
    node: str
    age_s: float | None
    """Since the stamp of the last sample that arrived."""
    captured: int | None
    delivered: int | None
    dropped: dict[str, int]
    """By reason."""
    spooled: int | None
    """Waiting, in memory or on disk, or on their way."""
    unexplained: int | None
    """Samples that no entry of the ledger explains."""
    clock_offset_s: float | None
    """Site time minus the node's time."""
    clock_bound_s: float | None
    """How wrong that may be."""
    unseen: str | None
    """Why it cannot see; empty: it can."""


def add_streams(app: FastAPI, deployment: Deployment, clock: Clock, who: Any) -> None:  # noqa: ANN401
    """Let them be asked for by those that `who` lets in, a dependency of FastAPI's."""

    @app.get("/api/streams", dependencies=[who])
    def streams() -> list[StreamView]:
        """Every stream: what came of it and what became of that, and its node's clock."""
        status = status_of(deployment, read_all(places(deployment)), {}, clock.now_ns() / 1e9)
        told = [asdict(one) for one in status.streams]
        return [StreamView(**{name: one[name] for name in StreamView.model_fields}) for one in told]
