"""What a network camera gives: asked of itself, before it is written into a file."""

from __future__ import annotations

from nodes.init.plan import NetworkCamera
from pipeline.core.errors import SourceUnavailable
from pipeline.core.redact import redact_url
from pipeline.sources.media_input import Access, open_container


def examined(url: str, timeout_s: float) -> NetworkCamera:
    """Open an address and see whether pictures and sound come from it.

    Raises:
        SourceUnavailable: It does not answer, refuses us, or gives neither.
    """
    options = {"rtsp_transport": "tcp"} if url.startswith("rtsp") else {}
    with open_container(Access(url, options, timeout_s, timeout_s)) as opened:
        found = NetworkCamera(url, bool(opened.streams.video), bool(opened.streams.audio))
    if not (found.video or found.audio):
        raise SourceUnavailable(
            "neither pictures nor sound come from it",
            where=redact_url(url),
            fix="give the address of the stream itself, as the camera's manual says",
        )
    return found
