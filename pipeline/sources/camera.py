"""A camera of this machine: USB and others that Linux shows as a video device.

The reader is apart (`pipeline.sources.camera_reader`): it runs in a process of its own, and a node
that only reads its settings does without OpenCV.
"""

from __future__ import annotations

from pipeline.sources.base import Source, SourceContext
from pipeline.sources.camera_options import CameraOptions


class CameraSettings(CameraOptions):
    """A camera attached to this machine."""

    def build(self, context: SourceContext) -> Source:
        """Make the reader."""
        from pipeline.sources.camera_reader import CameraSource

        return CameraSource(self, context)


PLUGIN = CameraSettings
