"""What a JPEG says of itself, before anything is decoded: how large it is, and where it ends."""

from __future__ import annotations

import simplejpeg

from pipeline.core.errors import BadReading

SOI = b"\xff\xd8"
EOI = b"\xff\xd9"

MAX_PIXELS = 100_000_000
"""A picture that claims more is not decoded: a few bytes may claim gigabytes of pixels."""


def jpeg_size(data: bytes | memoryview) -> tuple[int, int] | None:
    """Height and width by the header; None when it cannot be read."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    except (ValueError, RuntimeError, TypeError):
        return None
    return height, width


def check_jpeg(data: bytes) -> bytes:
    """One whole JPEG image, without the padding that drivers leave behind it.

    Raises:
        BadReading: It does not begin or does not end as a JPEG image does.
    """
    if not data.startswith(SOI):
        raise BadReading("no JPEG: it does not begin with SOI")
    end = data.rfind(EOI)
    if end < 0:
        raise BadReading("JPEG cut off: it has no EOI")
    return data[: end + 2]
