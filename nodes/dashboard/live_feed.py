"""What the fusion node shows, kept for a while and given to every browser that looks.

One thread listens; each browser has a queue of its own, from which the oldest goes when it
does not keep up. While nobody looks at the page nobody listens, and the fusion node shows
nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import zmq

from nodes.live_message import LiveWindow, live_address, unpack
from pipeline.core.errors import TransportError

log = structlog.get_logger(__name__)

KEPT = 240
"""Windows of a scene that a browser gets when it begins to look."""

PICTURES = 8
"""Latest pictures of a camera that can be asked for."""

LINGER_S = 20.0
"""How long to go on listening after the last browser left, seconds."""

_POLL_MS = 200
_WAITING = 64


@dataclass(slots=True)
class _Scene:
    windows: deque[LiveWindow] = field(default_factory=lambda: deque(maxlen=KEPT))
    pictures: dict[str, deque[tuple[int, bytes]]] = field(default_factory=dict)


class _Queue:
    """Windows on their way to one browser."""

    def __init__(self, scene: str | None) -> None:
        self.scene = scene
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[LiveWindow | None] = asyncio.Queue(_WAITING)

    def give(self, window: LiveWindow | None) -> None:
        """Put a window in, or that none comes any more, from any thread."""
        self._loop.call_soon_threadsafe(self._put, window)

    async def get(self) -> LiveWindow | None:
        """The next window; None: there will be none."""
        return await self._queue.get()

    def _put(self, window: LiveWindow | None) -> None:
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(window)


class LiveFeed:
    """Listens to the fusion node of a deployment while somebody looks.

    Args:
        data: The deployment's data folder.
        monotonic: A clock that never steps, seconds.
    """

    def __init__(self, data: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._address = live_address(data)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._scenes: dict[str, _Scene] = {}
        self._queues: list[_Queue] = []
        self._over = False
        self._closing = threading.Event()
        self._looked = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live-feed", daemon=True)
        self._thread.start()

    def windows(self, scene: str) -> list[LiveWindow]:
        """Windows of a scene that were seen lately, in order."""
        with self._lock:
            known = self._scenes.get(scene)
            return list(known.windows) if known else []

    def picture(self, scene: str, stream: str, index: int | None = None) -> bytes | None:
        """The picture of a camera in a window; of the latest without an index."""
        with self._lock:
            known = self._scenes.get(scene)
            kept = list(known.pictures.get(stream, ())) if known else []
        chosen = [jpeg for at, jpeg in kept if index is None or at == index]
        return chosen[-1] if chosen else None

    @asynccontextmanager
    async def looking(self, scene: str | None) -> AsyncIterator[_Queue]:
        """Look at a scene, or at all of them."""
        queue = _Queue(scene)
        with self._lock:
            self._queues.append(queue)
            self._looked.set()
            if self._over:
                queue.give(None)
        try:
            yield queue
        finally:
            with self._lock:
                self._queues.remove(queue)

    def end(self) -> None:
        """Tell all who look that nothing comes any more, so that nobody is cut off."""
        with self._lock:
            self._over = True
            for queue in self._queues:
                queue.give(None)

    def close(self) -> None:
        """Stop listening; may be called twice."""
        self._closing.set()
        self._looked.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._looked.wait()
            if not self._closing.is_set():
                self._listen()

    def _listen(self) -> None:
        """Listen until nobody has looked for `LINGER_S`."""
        with _subscribed(self._address) as socket:
            looked_s = self._monotonic()
            while not self._closing.is_set():
                if socket.poll(_POLL_MS):
                    self._take(socket.recv_multipart())
                with self._lock:
                    if self._queues:
                        looked_s = self._monotonic()
                    elif self._monotonic() - looked_s >= LINGER_S:
                        self._looked.clear()
                        self._scenes.clear()  # a gap is not to look like standing still
                        return

    def _take(self, frames: list[bytes]) -> None:
        try:
            window, pictures = unpack(frames)
        except TransportError as error:
            log.warning("not shown", error=str(error), every_s=60)
            return
        with self._lock:
            scene = self._scenes.setdefault(window.scene, _Scene())
            scene.windows.append(window)
            for stream, jpeg in pictures.items():
                kept = scene.pictures.setdefault(stream, deque(maxlen=PICTURES))
                kept.append((window.index, jpeg))
            for queue in self._queues:
                if queue.scene in (None, window.scene):
                    queue.give(window)


@contextmanager
def _subscribed(address: str) -> Iterator[zmq.Socket[bytes]]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    with socket:
        socket.linger = 0
        socket.subscribe(b"")
        socket.connect(address)  # also before the fusion node is there
        yield socket
