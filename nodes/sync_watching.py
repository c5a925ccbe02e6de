"""The fusion node's answers to ``fusewatch sync watch``, and what metrics say of the watch.

Scenes that are watched anyway (``sync_watch``) are looked up in the engine; the others are
compared here, while somebody asks, with no say in what the engine does: a replay of the run
tells the same events whether or not anybody asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from nodes.sync_request import SyncRequest
from pipeline.alignment.sync_offset import SyncOffset
from pipeline.alignment.sync_watch import SyncWatch
from pipeline.alignment.sync_watch_settings import SyncWatchSettings
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import Arrival, SampleArrived, StreamOpened
from pipeline.core.sample import StreamInfo
from pipeline.core.timestamps import format_iso

log = structlog.get_logger(__name__)

LOOK_EVERY = 32
SHORTEST_S = 30.0
MILLISECOND_NS = 1_000_000


class SyncWatching:
    """Answers whoever asks how well streams agree.

    Args:
        deployment: Its scenes, and where requests are left.
        engine: Watches of the scenes that the engine watches.
    """

    def __init__(self, deployment: Deployment, engine: Mapping[str, SyncWatch]) -> None:
        self._deployment = deployment
        self._request = SyncRequest(deployment.data)
        self._engine = engine
        self._asked: dict[str, SyncWatch] = {}
        self._infos: dict[str, StreamInfo] = {}
        self._wanted_s: float | None = None
        self._looks = 0
        self._answered: dict[str, Any] = {}

    @property
    def watches(self) -> Mapping[str, SyncWatch]:
        """All that is watched now, by scene."""
        return {**self._asked, **self._engine}

    def take(self, arrival: Arrival) -> None:
        """Take in what arrived."""
        if isinstance(arrival, StreamOpened):
            self._infos[arrival.info.name] = arrival.info
            for watch in self._asked.values():
                watch.open(arrival.info)
        elif isinstance(arrival, SampleArrived):
            for watch in self._asked.values():
                watch.take(arrival.sample)

    def look(self, now_ns: int) -> None:
        """See now and then whether somebody asks; compare and answer when it is time."""
        for watch in self._asked.values():
            watch.look(now_ns)
        self._looks += 1
        if self._looks % LOOK_EVERY:
            return
        wanted_s = self._request.wanted_s()
        if wanted_s != self._wanted_s:
            self._wanted_s = wanted_s
            self._begin(wanted_s)
        if wanted_s is not None:
            self._answer()

    def _begin(self, window_s: float | None) -> None:
        """Watch what is not watched anyway from now on; nothing when nobody asks any more."""
        self._asked, self._answered = {}, {}
        if window_s is None:
            return
        window_s = max(window_s, SHORTEST_S)
        settings = SyncWatchSettings(window_s=window_s, span_s=min(1.0, window_s / 60))
        self._asked = {
            name: SyncWatch(settings, scene.streams)
            for name, scene in self._deployment.scenes.items()
            if name not in self._engine
        }
        for watch in self._asked.values():
            for info in self._infos.values():
                watch.open(info)

    def _answer(self) -> None:
        found = {name: describe(watch) for name, watch in self.watches.items()}
        if found == self._answered:
            return
        try:
            self._request.answer(found)
        except OSError as error:
            log.error("cannot answer how streams agree", error=str(error), every_s=10)
            return
        self._answered = found


def describe(watch: SyncWatch) -> dict[str, Any]:
    """What a watch saw last, for scripts."""
    look = watch.last
    if look is None:
        return {"looked": None}
    return {
        "looked": format_iso(look.time_ns),
        "reference": look.reference,
        "streams": {one.second: offset_data(one) for one in look.offsets},
        "certain_last": {
            name: {"at": format_iso(at_ns), **offset_data(one)}
            for name, (at_ns, one) in sorted(watch.certain.items())
        },
        "unusable": look.unusable,
    }


def offset_data(offset: SyncOffset) -> dict[str, Any]:
    """One offset for scripts."""
    return {
        "offset_ms": offset.offset_ns / MILLISECOND_NS,
        "uncertainty_ms": offset.uncertainty_ns / MILLISECOND_NS,
        "agreement": round(offset.agreement, 3),
        "agreement_by_chance": round(offset.wrong, 3),
        "sure": offset.sure,
        "certain": offset.certain,
    }
