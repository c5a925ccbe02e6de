"""The kind ``scene``: a synthetic site as a live source.

The site itself is `pipeline.sources.synthetic`. Here it is played against the clock: a frame
or a reading is given when its time has come, an audio chunk when its last sample has been.
Opened again, it goes on where the clock is by then, as a real site does; since every opening
is a new reader, the settings remember when the first one was.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import PrivateAttr

from pipeline.core.errors import SourceEnded, SourceUnavailable
from pipeline.core.sample import Sample, StreamInfo
from pipeline.sources.base import Source, SourceContext
from pipeline.sources.synthetic.labels import Label, labels, write_labels
from pipeline.sources.synthetic.playhead import SECOND_NS, Playhead, samples
from pipeline.sources.synthetic.reel import Reel
from pipeline.sources.synthetic.settings import (
    AnomalySettings,
    Kind,
    ScheduleSettings,
    SiteSettings,
)

__all__ = [
    "PLUGIN",
    "AnomalySettings",
    "Kind",
    "Label",
    "SceneSource",
    "SceneSourceSettings",
    "ScheduleSettings",
    "labels",
    "samples",
    "write_labels",
]

_BATCH_S = 0.5


@dataclass(slots=True)
class Premiere:
    """When a site was first opened, for all readers of one settings object.

    Attributes:
        owner: Identity of the settings; a copy of them is another site.
        opened_ns: Node time of the first opening; None before it.
    """

    owner: int | None = field(default=None, compare=False)
    opened_ns: int | None = field(default=None, compare=False)


class SceneSourceSettings(SiteSettings):
    """A synthetic site: camera, microphone and sensors that observe one world."""

    type: Literal["scene"] = "scene"
    """Kind of source."""

    _premiere: Premiere = PrivateAttr(default_factory=Premiere)

    def build(self, context: SourceContext) -> Source:
        """Make the reader."""
        if self._premiere.owner != id(self):
            self._premiere = Premiere(owner=id(self))
        return SceneSource(self, context, self._premiere)


class SceneSource:
    """Plays a synthetic site.

    Args:
        settings: The site.
        context: Node time.
        premiere: When the site was first opened.
    """

    def __init__(self, settings: SiteSettings, context: SourceContext, premiere: Premiere) -> None:
        self._settings = settings
        self._premiere = premiere
        self._clock = context.clock
        self._reel: Reel | None = None
        self._playhead: Playhead | None = None
        self._reached_ns: int | None = None
        self._closed = threading.Event()

    def open(self) -> tuple[StreamInfo, ...]:
        """Begin at `from_s`, or, opened again, where the site is by now."""
        settings = self._settings
        if self._reel is None:
            self._reel = Reel(settings)
            self._reel.prepare()
        now_ns = self._clock.now_ns()
        if self._premiere.opened_ns is None:
            self._premiere.opened_ns = now_ns
        self._closed.clear()
        begin_s = max(self._scene_ns(now_ns) / SECOND_NS, settings.from_s)
        end_s = None if settings.duration_s is None else settings.from_s + settings.duration_s
        self._playhead = Playhead(self._reel, self._start_ns(), begin_s, end_s)
        return self._reel.infos()

    def read(self, timeout_s: float) -> Sequence[Sample]:
        """Samples that are due, waiting for the next at most `timeout_s`.

        Raises:
            SourceEnded: `duration_s` is over.
            SourceUnavailable: It is not open.
        """
        playhead = self._playhead
        if playhead is None:
            raise SourceUnavailable("the scene is not open", where="scene")
        if playhead.done:
            raise SourceEnded("the scene is over", where="scene")
        if self._settings.pace is None:
            return self._next_batch(playhead)
        due = self._take_due(playhead)
        if due:
            return due
        wait_ns = playhead.next_due_ns() - self._scene_ns(self._clock.now_ns())
        wait_s = max(wait_ns / SECOND_NS / self._settings.pace, 0.0)
        self._closed.wait(min(timeout_s, wait_s))
        return self._take_due(playhead)

    def close(self) -> None:
        """Wake a waiting read and let go; may be called twice."""
        self._closed.set()
        self._playhead = None

    def _take_due(self, playhead: Playhead) -> list[Sample]:
        """What is due, but not more than a second's worth at once after a long pause."""
        now_ns = self._scene_ns(self._clock.now_ns())
        return playhead.take_due(min(now_ns, playhead.next_due_ns() + SECOND_NS))

    def _next_batch(self, playhead: Playhead) -> list[Sample]:
        until_ns = playhead.next_stamp_ns() + int(_BATCH_S * SECOND_NS)
        batch = []
        while not playhead.done and playhead.next_stamp_ns() < until_ns:
            batch.append(playhead.take())
        self._reached_ns = until_ns
        return batch

    def _start_ns(self) -> int:
        """Site time of scene second 0."""
        if self._settings.start_ns is not None:
            return self._settings.start_ns
        return (self._premiere.opened_ns or 0) - round(self._settings.from_s * SECOND_NS)

    def _scene_ns(self, now_ns: int) -> int:
        """Where the site is at a time of the clock, nanoseconds after scene second 0."""
        begin = round(self._settings.from_s * SECOND_NS)
        pace = self._settings.pace
        if pace is None:
            return begin if self._reached_ns is None else self._reached_ns
        opened_ns = self._premiere.opened_ns
        since = 0 if opened_ns is None else now_ns - opened_ns
        return begin + (since if pace == 1.0 else round(since * pace))


PLUGIN = SceneSourceSettings
