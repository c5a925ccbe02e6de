"""Keeping the memory of large frames, and giving it back when they are gone for good.

glibc takes every block over 128 kB from the system and returns it at once. A receiver of
1080p frames then pays for 1,500 page faults a frame, half as much again as the transport
itself. A process that receives large frames calls `keep_large_blocks` once at its start.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD = -1
_TOP_PAD = -2
_MMAP_THRESHOLD = -3
_ARENA_MAX = -8
_LARGEST_BLOCK = 32 << 20  # the most glibc allows


def keep_large_blocks(keep_bytes: int = 256 << 20) -> bool:
    """Let the C library keep up to `keep_bytes` of freed memory for the next frames.

    Returns:
        False where the C library has no such setting (it is not glibc).
    """
    library = ctypes.CDLL(None)
    mallopt = getattr(library, "mallopt", None)
    if mallopt is None:
        return False
    settings = (
        (_MMAP_THRESHOLD, _LARGEST_BLOCK),
        (_TRIM_THRESHOLD, keep_bytes),
        (_TOP_PAD, 1 << 20),
        (_ARENA_MAX, 1),
    )
    return all(mallopt(name, value) == 1 for name, value in settings)


def give_back() -> bool:
    """Let the C library return all memory that nobody uses to the system; takes milliseconds.

    Returns:
        False where the C library cannot (it is not glibc), or had nothing.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and trim(0) == 1
