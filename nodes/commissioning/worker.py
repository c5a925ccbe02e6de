"""The process that learns while another one records.

It has a lower priority, so the recording comes first, and follows the file: it may
fall behind and catch up, and nothing that it does can cost a sample.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from zoneinfo import ZoneInfo

from nodes.commissioning.learner import LiveLearner
from nodes.commissioning.messages import Ended, Failed, Job, Learnt, Looked, Stage, Taken
from nodes.doctor import Finding
from nodes.logs import configure_logs
from pipeline.config import load_deployment
from pipeline.core.arrival import Arrival
from pipeline.core.errors import FusewatchError, ModelError
from pipeline.models.checkpoint import save_model
from pipeline.recording.following import FollowedRecording
from pipeline.training.unseen import unseen

POLL_S = 1.0
_NICE = 10


def work(link: Connection, job: Job) -> None:
    """Learn a scene from a recording that grows; ends when it was told that it is finished.

    Args:
        link: To the one that records: `Told` goes out, `Ended` comes in.
        job: What is to be learnt.
    """
    os.nice(_NICE)
    configure_logs("commission", level="warning")
    try:
        _Worker(link, job).run()
    except FusewatchError as error:
        link.send(Failed(error.message, error.where, error.fix))
    except (BrokenPipeError, EOFError):
        return  # nobody listens any more


class _Worker:
    def __init__(self, link: Connection, job: Job) -> None:
        self._link = link
        self._job = job
        self._deployment = load_deployment(job.config)
        self._learner = LiveLearner(self._deployment, job.scene, job.settings, job.enough)
        self._followed = FollowedRecording(job.recording)
        self._begun_s = time.monotonic()
        self._told_s = self._begun_s

    def run(self) -> None:
        end = None
        while end is None:
            end = self._ended()
            for arrival in self._followed.further():
                self._take(arrival, looks=end is None or end.look)
            self._tell()
        self._learner.finish(end.last_ns)
        self._tell()
        self._finish()

    def _ended(self) -> Ended | None:
        """Wait a little for what is new; the end of the recording, if that is."""
        if not self._link.poll(POLL_S):
            return None
        message = self._link.recv()
        return message if isinstance(message, Ended) else None

    def _take(self, arrival: Arrival, *, looks: bool) -> None:
        self._learner.take(arrival)
        if looks and self._learner.due:
            self._look()
        if time.monotonic() - self._told_s >= POLL_S:
            self._tell()

    def _look(self) -> None:
        self._tell()
        findings = tuple(self._learner.sync())
        try:
            look = self._learner.look(self._stage)
        except ModelError:
            return  # too little was seen of the streams yet; what is wrong with them is told
        self._link.send(Looked(look, findings))

    def _tell(self) -> None:
        self._told_s = time.monotonic()
        found = tuple(self._findings())
        self._link.send(Taken(self._learner.normal_s, found))

    def _findings(self) -> Iterator[Finding]:
        yield from self._learner.checks.findings(self._told_s - self._begun_s)

    def _stage(self, name: str, done: int, total: int | None) -> None:
        self._link.send(Stage(name, done, total))

    def _finish(self) -> None:
        learner, job = self._learner, self._job
        zone = None if job.zone is None else ZoneInfo(job.zone)
        seen = unseen(learner.end_ns, learner.checks.lights, zone)
        model, report = learner.learn(self._stage)
        save_model(model, job.model)
        self._link.send(Learnt(report, seen))
