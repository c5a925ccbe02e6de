"""Windows as server-sent events, for one browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from nodes.dashboard.live_feed import LiveFeed

KEEP_ALIVE_S = 10.0


async def told(feed: LiveFeed, scene: str | None, after: int) -> AsyncIterator[bytes]:
    """Server-sent events: what was seen lately and not yet told, then what comes."""
    async with feed.looking(scene) as queue:
        for window in feed.windows(scene) if scene else []:
            if window.index > after:
                yield _event(window.index, msgspec.json.encode(window))
                after = window.index
        yield b": live\n\n"
        while True:
            try:
                coming = await asyncio.wait_for(queue.get(), KEEP_ALIVE_S)
            except TimeoutError:
                yield b": still here\n\n"
                continue
            if coming is None:
                return  # the page ends
            if scene is None or coming.index > after:
                yield _event(coming.index, msgspec.json.encode(coming))


def _event(number: int, body: bytes) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (number, body)
