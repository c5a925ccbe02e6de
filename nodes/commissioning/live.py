"""Commissioning while it is recorded: one process records, one learns, and this says when it ends.

The recording is the same as by ``fusewatch record``: from the sources, or by the fusion node when
the deployment runs. Whatever happens to the learning, the recording is finished and kept, and can
be commissioned from later: what went wrong is told when it does, and raised at the end.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Protocol

from nodes.commissioning.messages import Ended, Failed, Job, Learnt, Looked, Taken, Told
from nodes.commissioning.worker import work
from nodes.interruption import Interruption
from nodes.record import DirectRecorder, nothing_given
from nodes.record_request import RecordRequest
from pipeline.core.clock import Clock
from pipeline.core.errors import ModelError, RecordingError
from pipeline.core.ledger import StreamAccount
from pipeline.recording.reader import Recording
from pipeline.training.enough import Look, Why, ends

STEP_S = 0.25
ASK_EVERY_S = 1.0
FINISH_S = 20.0


class Capture(Protocol):
    """Where the recording comes from."""

    def start(self) -> None:
        """Begin."""
        ...

    def step(self, timeout_s: float) -> bool:
        """Record for no longer than this; False once there is nothing more to come."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...

    def accounts(self) -> Mapping[str, StreamAccount]:
        """What each stream gave, as far as it is known here."""
        ...


class FromSources:
    """Records from the sources themselves.

    Args:
        recorder: Does the work.
        target: Where it goes.
    """

    def __init__(self, recorder: DirectRecorder, target: Path) -> None:
        self._recorder = recorder
        self._target = target
        self.start = recorder.start
        self.step = recorder.step

    def close(self) -> None:
        """Stop the sources and finish the file.

        Raises:
            RecordingError: None of them gave anything; the file is removed.
        """
        self._recorder.close()
        if not self._recorder.samples:
            self._target.unlink(missing_ok=True)
            raise nothing_given(self._target)

    def accounts(self) -> Mapping[str, StreamAccount]:
        """What each stream gave."""
        return self._recorder.ledger.snapshot()


class FromRunning:
    """Has the fusion node of a running deployment record.

    Args:
        request: Where it is asked.
        target: The recording, which has begun.
    """

    def __init__(self, request: RecordRequest, target: Path) -> None:
        self._request = request
        self._target = target

    def start(self) -> None:
        """It has begun already."""

    def step(self, timeout_s: float) -> bool:
        """Keep asking."""
        self._request.ask(self._target)
        time.sleep(min(timeout_s, ASK_EVERY_S))
        return True

    def close(self) -> None:
        """Ask no longer, and wait until the file has its end.

        Raises:
            RecordingError: It gets none.
        """
        self._request.withdraw()
        until_s = time.monotonic() + FINISH_S
        while time.monotonic() < until_s:
            with Recording(self._target) as recording:
                if recording.truncated is None:
                    return
            time.sleep(STEP_S)
        raise RecordingError(
            f"the fusion node has not finished it within {FINISH_S:.0f} s",
            where=str(self._target),
            fix="see its log; what was recorded can be commissioned from all the same",
        )

    def accounts(self) -> Mapping[str, StreamAccount]:
        """What each stream gave, as the file says."""
        with Recording(self._target) as recording:
            return recording.accounts


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        why: Why the recording ended.
        recorded_s: How long it took, seconds.
        looks: The looks that were taken.
        learnt: The report of the model that was written.
    """

    why: Why
    recorded_s: float
    looks: tuple[Look, ...]
    learnt: Learnt


class LiveCommissioning:
    """Records and learns at once.

    Args:
        capture: Where the recording comes from.
        job: What is to be learnt.
        clock: Node time.
        tell: Told all that happens, in order.
        ending: Told that the recording has ended, and why, before the last of the learning.
        now_s: A clock that never goes back, seconds.
    """

    def __init__(
        self,
        capture: Capture,
        job: Job,
        clock: Clock,
        *,
        tell: Callable[[Told], None],
        ending: Callable[[Why], None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capture = capture
        self._job = job
        self._clock = clock
        self._tell = tell
        self._ending = ending
        self._now_s = now_s
        self._looks: list[Look] = []
        self._normal_s = 0.0
        self._failure: ModelError | None = None
        context = get_context("spawn")
        self._link, self._far = context.Pipe()
        self._process: SpawnProcess = context.Process(
            target=work, args=(self._far, job), name="fusewatch-learner", daemon=True
        )

    def run(self) -> Outcome:
        """Record until it is enough, and write the model.

        Raises:
            ModelError: There was too little to learn from, or the learning failed; it is raised
                once the recording is finished.
            RecordingError: The recording cannot be written or read.
        """
        self._start()
        begun_s = self._now_s()
        try:
            why = self._record(begun_s)
            recorded_s = self._now_s() - begun_s
            if self._failure is not None:
                raise self._failure
            with suppress(ConnectionError):  # of one that has ended is heard what it said last
                self._link.send(Ended(self._clock.now_ns(), look=why is not Why.STOPPED))
            self._ending(why)
            learnt = self._await()
        finally:
            if self._process.is_alive():
                self._process.terminate()
            self._process.join()
            self._link.close()
        return Outcome(why, recorded_s, tuple(self._looks), learnt)

    def _start(self) -> None:
        """Start the process that learns; Ctrl-C is for the recording, it never hears of it."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        self._far.close()  # so that its end is noticed here

    def _record(self, begun_s: float) -> Why:
        """Record; why it ended."""
        with Interruption() as interruption:
            try:
                self._capture.start()
                while self._capture.step(STEP_S):
                    self._hear()
                    recorded_s = max(self._now_s() - begun_s, self._normal_s)
                    found = ends(self._looks, recorded_s, self._job.enough)
                    if interruption.asked:
                        return Why.STOPPED
                    if found is not None:
                        return found
                return Why.SOURCES_ENDED
            finally:
                self._capture.close()

    def _hear(self) -> None:
        try:
            while self._failure is None and self._link.poll():
                self._take(_received(self._link, self._job))
        except ModelError as error:
            self._failure = error
            self._tell(Failed(error.message, error.where, error.fix))

    def _await(self) -> Learnt:
        while True:
            message = _received(self._link, self._job)
            self._take(message)
            if isinstance(message, Learnt):
                return message

    def _take(self, message: Told) -> None:
        if isinstance(message, Failed):
            raise ModelError(message.message, where=message.where, fix=message.fix)
        if isinstance(message, Taken):
            self._normal_s = message.normal_s
        if isinstance(message, Looked):
            self._looks.append(message.look)
        self._tell(message)


def _received(link: Connection, job: Job) -> Told:
    try:
        message: Told = link.recv()
    except (EOFError, ConnectionError) as error:
        raise ModelError(
            "the process that learns has ended by itself",
            where=job.scene,
            fix=f"is there memory enough? Commission from the recording: {job.again}",
        ) from error
    return message
