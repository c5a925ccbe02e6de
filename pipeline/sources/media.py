"""Picture and sound from RTSP(S), HTTP or a file, on one clock.

The reader is apart (`pipeline.sources.media_source`): it runs in a process of its own, and a node
that only reads its settings does without PyAV.
"""

from __future__ import annotations

from pipeline.sources.base import Source, SourceContext
from pipeline.sources.media_options import MediaOptions


class MediaSettings(MediaOptions):
    """A network stream or a file that FFmpeg can read."""

    def build(self, context: SourceContext) -> Source:
        """Make the reader."""
        from pipeline.sources.media_source import MediaSource

        return MediaSource(self, context)


PLUGIN = MediaSettings
