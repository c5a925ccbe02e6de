"""The contract of a source.

A source is opened, read and closed by one thread, see `pipeline.sources.runner`. ``open()``
says what streams there are, ``read()`` gives what came since the last call and never waits
longer than it was told, ``close()`` may be called at any time and twice. A source that is
lost raises `SourceUnavailable` from either and is opened again with backoff: it holds no
retry loop of its own. A single reading it cannot use goes to ``context.reject`` with the
reason, and the source goes on.

Stamps are node time (`SourceContext.clock`) unless the stream's ``stamp`` is ``exact``: then
they are site time already (a recording, a simulation, a file with its own times) and pass
through untouched. A source leaves ``sequence`` at 0; the sender numbers samples. Within one
``open()`` a source raises ``epoch`` itself when its medium's clock resets or its stamps come to
mean something else; the runner adds one for every reopening.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from pydantic import Field

from pipeline.core.clock import Clock
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Sample, StreamInfo
from pipeline.core.settings import Settings
from pipeline.plugins import Family


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source is given to work with.

    Attributes:
        clock: Node time.
        reject: Called as ``reject(stream, reason, detail)`` for each reading that is unusable.
        announce: Called by ``read()`` with all streams when what they are changed: samples that
            it gives from then on are of these, those before were of what was announced then.
    """

    clock: Clock
    reject: Callable[[str, DropReason, str], None]
    announce: Callable[[tuple[StreamInfo, ...]], None] = lambda _infos: None


class Source(Protocol):
    """A reader of one device, file or connection."""

    def open(self) -> tuple[StreamInfo, ...]:
        """Connect and say what streams there are.

        Raises:
            SourceUnavailable: It cannot be opened now; the runner tries again.
        """
        ...

    def read(self, timeout_s: float) -> Sequence[Sample]:
        """Samples since the last call, oldest first per stream; empty when none came in time.

        Raises:
            SourceUnavailable: The source was lost, or its format changed: open it again.
            SourceEnded: A finite source has nothing more.
        """
        ...

    def close(self) -> None:
        """Let go of everything; may be called twice."""
        ...


class SourceSettings(Settings):
    """Settings that every kind of source has."""

    type: str
    """Kind of source; the name of its file."""

    stall_s: float | None = Field(default=None, gt=0)
    """Reopen the source when it gave nothing for this many seconds; none: the kind's own."""

    isolated: ClassVar[bool] = False
    """Whether reads can hang in foreign code: then it runs in a process that can be killed."""

    default_stall_s: ClassVar[float | None] = None
    """Stall limit of the kind; None for sources that may rightly be silent."""

    def stream_names(self) -> tuple[str, ...]:
        """Names of all streams the source will have, known without opening it."""
        raise NotImplementedError

    def channel_names(self, stream: str) -> tuple[str, ...]:
        """Names of a sensor stream's channels; empty where only opening the source tells."""
        return ()

    def waits_for_taker(self) -> bool:
        """Whether reading pauses while the node is busy, instead of dropping the oldest.

        True for what can wait; what runs in a process of its own is live and cannot, unless
        the kind says so.
        """
        return not self.isolated

    def build(self, context: SourceContext) -> Source:
        """Make the reader."""
        raise NotImplementedError


SOURCES = Family(
    name="sources",
    package="pipeline.sources",
    base=SourceSettings,
    support=frozenset(
        {
            "base",
            "runner",
            "reader_process",
            "synthetic",
            "reader_link",
            "reader_loop",
            "reader_wire",
            "handover",
            "supervision",
            "media_clock",
            "media_input",
            "media_options",
            "media_picture",
            "media_sender",
            "media_sound",
            "media_source",
            "media_tracks",
            "sound_blocks",
            "sound_devices",
            "video_devices",
            "camera_options",
            "camera_reader",
            "broker",
            "mqtt_messages",
            "batches",
            "fields",
            "journal",
            "pace",
            "tail",
            "masks",
            "mosaic",
            "privacy",
            "privacy_settings",
            "small_pictures",
            "small_settings",
            "sound_bands",
        }
    ),
)
