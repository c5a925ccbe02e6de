"""Commits what came of a turn, and only then acks the samples and hands the events on.

Scenes, events and resume points go in one transaction. A crash anywhere repeats work and loses
none: what was not committed is sent again, and what was is not done twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nodes.ack_points import AckPoints
from nodes.handing_on import HandingOn
from nodes.recorder import Recorder
from pipeline.core.arrival import Arrival
from pipeline.core.clock import Clock
from pipeline.core.event import Event
from pipeline.detection.evidence_files import EvidenceFiles
from pipeline.detection.outcome import SceneState
from pipeline.store import Commit, FusionStore, SceneCheckpoint
from pipeline.transport.receiver import Receiver

IDLE_COMMIT_NS = 1_000_000_000
"""Points alone (nothing scored) are committed about this often."""


class Committing:
    """See the module.

    Args:
        store: Where to.
        files: Evidence, which must be on disk before its events are committed.
        recorder: Records what arrived, likewise.
        receiver: Acks.
        handing_on: Told of the events.
        clock: Node time.
    """

    def __init__(
        self,
        store: FusionStore,
        files: EvidenceFiles,
        recorder: Recorder,
        receiver: Receiver,
        handing_on: HandingOn,
        clock: Clock,
    ) -> None:
        self._store = store
        self._files = files
        self._recorder = recorder
        self._receiver = receiver
        self._handing_on = handing_on
        self._clock = clock
        self._points = AckPoints()
        self._resume: dict[tuple[str, str, str], int] = {}
        self._committed_ns = 0

    def follow(self, arrival: Arrival) -> None:
        """Note an arrival, in order."""
        self._points.follow(arrival)

    def commit(
        self,
        states: Mapping[str, SceneState],
        events: Sequence[Event],
        released: Mapping[str, int],
        *,
        force: bool = False,
    ) -> None:
        """Commit, then ack.

        Args:
            states: Where scenes stand that moved on.
            events: Phases to publish, in order.
            released: Newly released sequences, by stream.
            force: Whether points alone may not wait.
        """
        for node, session, stream, sequence in self._points.points(released):
            self._resume[node, session, stream] = sequence
        now_ns, seals = self._clock.now_ns(), self._files.sealed()
        rest = now_ns - self._committed_ns < IDLE_COMMIT_NS and not force
        if not states and not events and not seals and (rest or not self._resume):
            return
        # A kill must not leave windows committed whose samples no recording holds, nor an event
        # whose evidence does not come to be.
        self._files.settle()
        self._recorder.flush(now_ns)
        scenes = {
            n: SceneCheckpoint(s.next_window, s.alarm, s.scoring, s.sight, s.evidence, s.hop_ns)
            for n, s in states.items()
        }
        self._store.commit(Commit(scenes, self._resume, tuple(events), seals))
        self._files.put_away(seals)
        self._committed_ns = now_ns
        self._handing_on.committed(events)
        self._ack()

    def _ack(self) -> None:
        acks: dict[tuple[str, str], dict[str, int]] = {}
        for (node, session, stream), sequence in self._resume.items():
            acks.setdefault((node, session), {})[stream] = sequence
        for (node, session), points in acks.items():
            self._receiver.ack(node, points, session)
        self._resume = {}
