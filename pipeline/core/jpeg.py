"""How large a JPEG says it is, before anything is decoded."""

from __future__ import annotations

import simplejpeg

MAX_PIXELS = 100_000_000
"""A picture that claims more is not decoded: a few bytes may claim gigabytes of pixels."""


def jpeg_size(data: bytes | memoryview) -> tuple[int, int] | None:
    """Height and width by the header; None when it cannot be read."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    except (ValueError, RuntimeError, TypeError):
        return None
    return height, width
