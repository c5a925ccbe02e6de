"""What arrives of streams, handed to the scenes that use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog

from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.errors import AlignmentError, BadReading, ModelError
from pipeline.core.sample import Sample, StreamInfo
from pipeline.detection.due_scenes import DueScenes
from pipeline.detection.engine_scene import Scene, users_of
from pipeline.detection.equipment import Equipment
from pipeline.detection.evidence import EvidenceKeeper
from pipeline.detection.releases import Releases
from pipeline.detection.scorer import Scorer

log = structlog.get_logger(__name__)


class Intake:
    """See the module.

    Args:
        due: The scenes; told which of them is handed something.
        streams: Streams of each scene, by scene name.
        scorer: Knows whether a scene's model can use a stream; None: nobody asks.
        prepare: Makes a sample ready for the model; None: it stays as it is.
        health: Shown every sample that a scene uses.
        evidence: Keeps those samples as they came; None: nobody does.

    Attributes:
        users: Scenes that use each stream.
        releases: How far samples may be acked.
        ended: Streams that have ended.
        over: Scenes all of whose streams have.
        corrupt: Samples that could not be read, by stream.
        unfit: Why a scene goes on without a stream, as ``(scene, stream)``.
    """

    def __init__(
        self,
        due: DueScenes,
        streams: Mapping[str, Sequence[str]],
        scorer: Scorer | None,
        prepare: Callable[[Sample], Sample] | None,
        health: Equipment,
        evidence: EvidenceKeeper | None,
    ) -> None:
        self._due = due
        self._streams = {name: frozenset(used) for name, used in streams.items()}
        self._scorer = scorer
        self._prepare = prepare
        self._health = health
        self._evidence = evidence
        self.users = users_of(due.scenes, streams)
        self.ended: set[str] = set()
        self.over = {name for name, used in self._streams.items() if not used}
        self.corrupt: dict[str, int] = {}
        self.unfit: dict[tuple[str, str], str] = {}
        self.releases = Releases(due, self.users, self.unfit)

    def open(self, opened: StreamOpened) -> None:
        """A stream begins, or is announced anew."""
        info = opened.info
        if self._evidence is not None:
            self._evidence.open(opened)
        for scene in self.users.get(info.name, ()):
            self._due.stir(scene)
            self._announce(scene, info)
            self.over.discard(scene.name)
        self.ended.discard(info.name)

    def end(self, stream: str) -> None:
        """Nothing more comes of a stream."""
        self.ended.add(stream)
        for scene in self.users.get(stream, ()):
            self._due.stir(scene)
            scene.aligner.end(stream)
            if self._streams[scene.name] <= self.ended:
                self.over.add(scene.name)

    def push(self, arrived: SampleArrived) -> None:
        """A sample came."""
        sample = arrived.sample
        users = self.users.get(sample.stream, ())
        if not users:
            self.releases.passed(sample)
            return
        prepared = self._prepared(sample)
        self._health.take(prepared)
        if self._evidence is not None:
            self._evidence.keep(arrived)
        for scene in users:
            if (scene.name, sample.stream) in self.unfit:
                self.releases.passed(sample)
            else:
                self._due.stir(scene)
                scene.aligner.push(prepared, arrived.arrival_ns)

    def _announce(self, scene: Scene, info: StreamInfo) -> None:
        """Announce a stream to its scene; the scene goes on without one that it cannot use."""
        self.unfit.pop((scene.name, info.name), None)
        try:
            if self._scorer is not None and scene.alarm is not None:
                self._scorer.check(scene.name, [info])
            scene.aligner.open(info)
        except (AlignmentError, ModelError) as error:
            self.unfit[scene.name, info.name] = str(error)
            log.error("stream left out of its scene", scene=scene.name, reason=str(error))

    def _prepared(self, sample: Sample) -> Sample:
        """The sample as the model wants it; an unreadable one stays and counts as missing."""
        if self._prepare is None:
            return sample
        try:
            return self._prepare(sample)
        except BadReading:
            self.corrupt[sample.stream] = self.corrupt.get(sample.stream, 0) + 1
            return sample
