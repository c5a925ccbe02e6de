"""The fusion node's recorder: the deployment's own recording, and one that was asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import structlog

from nodes.record_request import RecordRequest
from pipeline.config.deployment import Deployment
from pipeline.config.fusion_settings import RecordSettings
from pipeline.config.retention import age_ns
from pipeline.core.arrival import Arrival, HopSet, StreamOpened
from pipeline.core.errors import RecordingError
from pipeline.core.event import Event
from pipeline.recording.folder import RecordingFolder
from pipeline.recording.retention import Removal
from pipeline.recording.writer import RecordingWriter

log = structlog.get_logger(__name__)

LOOK_EVERY = 32
FILE_SHARE = 0.1
"""Longest stretch in one file, of the age that recordings may reach."""


def scenes_of(deployment: Deployment) -> dict[str, tuple[str, ...]]:
    """The streams of each scene, as a recording keeps them."""
    return {name: tuple(scene.streams) for name, scene in deployment.scenes.items()}


def open_folder(deployment: Deployment, settings: RecordSettings) -> RecordingFolder:
    """The folder of recordings that `settings` asks for, in files short beside their age limit."""
    longest_s, limit = settings.max_file_s, deployment.retention.recordings
    if limit is not None:
        longest_s = min(longest_s or math.inf, age_ns(limit) / 1e9 * FILE_SHARE)
    return RecordingFolder(
        settings.folder,
        name=deployment.name,
        max_file_mb=settings.max_file_mb,
        max_file_s=longest_s,
        max_total_gb=settings.max_total_gb,
        max_age_days=settings.max_age_days,
        scenes=scenes_of(deployment),
    )


class Recorder:
    """Writes what arrives, wherever it is wanted.

    Args:
        deployment: Says whether everything is recorded, and where requests are left.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._scenes = scenes_of(deployment)
        self._request = RecordRequest(deployment.data)
        self._opened: dict[tuple[str, str], StreamOpened] = {}
        self._hops: dict[str, HopSet] = {}
        self._folder: RecordingFolder | None = None
        self._asked: RecordingWriter | None = None
        self._latest_ns = 0
        self._looks = 0
        if (settings := deployment.fusion.record) is not None:
            self._folder = open_folder(deployment, settings)

    @property
    def lost(self) -> int:
        """Arrivals that could not be recorded."""
        return self._folder.lost if self._folder is not None else 0

    @property
    def removed(self) -> Mapping[Removal, int]:
        """Recordings removed by the deployment's limits, by reason."""
        return self._folder.removed if self._folder is not None else {}

    def write(self, arrival: Arrival) -> None:
        """Record what arrived."""
        self._latest_ns = max(self._latest_ns, arrival.arrival_ns)
        if isinstance(arrival, StreamOpened):
            self._opened[arrival.node, arrival.info.name] = arrival
        elif isinstance(arrival, HopSet):
            self._hops[arrival.scene] = arrival
        if self._folder is not None:
            self._folder.write(arrival)
        if self._asked is not None:
            asked = self._asked
            self._guard(lambda: asked.write(arrival))

    def event(self, event: Event, arrival_ns: int) -> None:
        """Record an event beside the samples that caused it."""
        if self._folder is not None:
            self._folder.event(event, arrival_ns)
        if self._asked is not None:
            asked = self._asked
            self._guard(lambda: asked.event(event, arrival_ns))

    def flush(self, now_ns: int) -> None:
        """Write what waits; to be called before what came of it is committed."""
        if self._folder is not None:
            self._folder.flush(now_ns)
        if self._asked is not None:
            self._guard(self._asked.flush)

    def look(self, now_ns: int) -> None:
        """Flush what is due; see now and then whether somebody asks for a recording."""
        if self._folder is not None:
            self._folder.flush_due(now_ns)
        if self._asked is not None:
            asked = self._asked
            self._guard(lambda: asked.flush_due(now_ns))
        self._looks += 1
        if self._looks % LOOK_EVERY:
            return
        target = self._request.target()
        if target is None and self._asked is not None:
            self._end()
        elif target is not None and self._asked is None:
            self._begin(target)

    def close(self) -> None:
        """Finish the files."""
        if self._asked is not None:
            self._end()
        if self._folder is not None:
            self._folder.close()

    def _begin(self, target: Path) -> None:
        try:
            self._asked = RecordingWriter(
                target, deployment=self._deployment.name, scenes=self._scenes
            )
        except RecordingError as error:
            log.error("cannot record as asked", error=str(error), every_s=10)
            return
        log.info("recording as asked", file=str(target))
        asked = self._asked
        wide = [said for said in self._hops.values() if said.times > 1]
        standing: list[StreamOpened | HopSet] = [*self._opened.values(), *wide]
        for said in standing:
            # For this recording a stream is open from now on: it owes nothing for the time before.
            again = replace(said, arrival_ns=max(said.arrival_ns, self._latest_ns))
            self._guard(lambda arrival=again: asked.write(arrival))  # type: ignore[misc]

    def _end(self) -> None:
        if self._asked is not None:
            asked = self._asked
            self._guard(asked.close)
            log.info("recording ended", file=str(asked.path))
            self._asked = None

    def _guard(self, work: Callable[[], object]) -> None:
        """A disk that refuses ends the recording that was asked for, never the node."""
        try:
            work()
        except RecordingError as error:
            log.error("recording given up", error=str(error))
            self._asked = None
