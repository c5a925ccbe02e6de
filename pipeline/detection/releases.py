"""How far the samples of each stream may be acked: what no window to come needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from pipeline.core.sample import Sample
from pipeline.detection.due_scenes import DueScenes
from pipeline.detection.engine_scene import Scene


class Releases:
    """See the module.

    Args:
        due: The scenes, and what was done with them of late.
        users: Scenes that use each stream.
        unfit: Streams that their scene goes on without, as ``(scene, stream)``.
    """

    def __init__(
        self,
        due: DueScenes,
        users: Mapping[str, Sequence[Scene]],
        unfit: Collection[tuple[str, str]],
    ) -> None:
        self._due = due
        self._users = users
        self._unfit = unfit
        self._passed: dict[str, int] = {}
        self._newly_passed: set[str] = set()

    def passed(self, sample: Sample) -> None:
        """A scene, or nobody, has no use for a sample."""
        self._passed[sample.stream] = sample.sequence
        self._newly_passed.add(sample.stream)

    def new(self, ended: Iterable[str]) -> dict[str, int]:
        """Per stream the highest sequence that no window to come needs.

        Of the streams of which it may be another than at the last call.

        Args:
            ended: Streams that ended: what of them is needed goes by the time as well.
        """
        touched = self._due.touched()
        streams = {stream for scene in touched for stream in scene.aligner.counts}
        streams |= {*ended, *self._newly_passed}
        self._newly_passed = set()
        users = {s.name: s for stream in streams for s in self._users.get(stream, ())}
        return self._of(streams, users.values())

    def _of(self, streams: Collection[str], scenes: Iterable[Scene]) -> dict[str, int]:
        points: dict[str, int] = {}
        for scene in scenes:
            self._due.tell(scene)
            for stream, sequence in scene.aligner.released().items():
                if stream in streams and (scene.name, stream) not in self._unfit:
                    points[stream] = min(points.get(stream, sequence), sequence)
        # What was passed says nothing of a stream that a scene uses, perhaps again.
        unused = {s: self._passed[s] for s in streams if s in self._passed and s not in points}
        return {stream: n for stream, n in (points | unused).items() if n >= 0}
