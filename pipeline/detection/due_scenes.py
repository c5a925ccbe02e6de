"""Which scenes of an engine have windows to cut, without asking each of them every time.

What a window is due by happens to its own scene: something was handed to it, or its timer has
run out. So an arrival costs as much in an engine of a thousand scenes as in one of a few. A scene
that is handed something is told the time first, as if it had been asked whenever the others were:
it cuts the same windows either way.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from pipeline.alignment.lane import NEVER
from pipeline.core.window import Window
from pipeline.detection.engine_scene import Scene


class DueScenes:
    """See the module.

    Args:
        scenes: All of the engine's, in the order in which they cut.

    Attributes:
        scenes: The same.
    """

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.scenes = scenes
        self._places = {scene.name: place for place, scene in enumerate(scenes)}
        self._stirred = set(range(len(scenes)))  # each is told when the time begins
        self._touched = set(self._stirred)
        self._wakes_ns = [NEVER] * len(scenes)
        self._timers: list[tuple[int, int]] = []  # some of them set anew since
        self._now_ns: int | None = None

    def stir(self, scene: Scene) -> None:
        """A scene is about to be handed something."""
        place = self._places[scene.name]
        self._stirred.add(place)
        self._touched.add(place)
        self.tell(scene)

    def cut(self, now_ns: int) -> Iterator[Window]:
        """Windows that are due at `now_ns`, scene by scene.

        Args:
            now_ns: Time that timers go by; a step back is ignored.
        """
        due, self._stirred = self._stirred, set()
        while self._timers and self._timers[0][0] <= now_ns:
            wake_ns, place = heapq.heappop(self._timers)
            if self._wakes_ns[place] == wake_ns:
                due.add(place)
        self._now_ns = now_ns if self._now_ns is None else max(self._now_ns, now_ns)
        self._touched |= due
        for place in sorted(due):
            aligner = self.scenes[place].aligner
            yield from aligner.pop_ready(now_ns)
            self._set(place, aligner.wake_ns)

    def next_ns(self) -> int | None:
        """When the first window is due if nothing arrives; None: never."""
        while self._timers and self._wakes_ns[self._timers[0][1]] != self._timers[0][0]:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def touched(self) -> list[Scene]:
        """Scenes that were handed something or asked for windows since the last call."""
        touched, self._touched = self._touched, set()
        return [self.scenes[place] for place in sorted(touched)]

    def tell(self, scene: Scene) -> None:
        """Tell a scene the time; also for what else goes by it."""
        if self._now_ns is not None:
            scene.aligner.pass_time(self._now_ns)

    def _set(self, place: int, wake_ns: int) -> None:
        if wake_ns != self._wakes_ns[place]:
            self._wakes_ns[place] = wake_ns
            if wake_ns != NEVER:
                heapq.heappush(self._timers, (wake_ns, place))
