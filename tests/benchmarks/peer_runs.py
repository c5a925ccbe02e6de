"""Two processes and what is between them: frames sent in one way or another, and what came.

Each frame carries its number and when it was sent, and is of one colour, so that a torn one is
noticed. A process may block for ever or be killed: what it said last is what counts.
"""

from __future__ import annotations

import multiprocessing as mp
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import numpy as np

from tests.benchmarks.peer_ends import Frame, Task
from tests.benchmarks.peer_links import LINKS
from tests.system.ports import free_port

SPAWN = mp.get_context("spawn")
DEADLINE_S, TELL_S = 40.0, 0.2
NS = 1_000_000_000
_STAMP = 16


@dataclass(frozen=True, slots=True)
class Course:
    """How frames are sent.

    Attributes:
        task: What the link is used for.
        count: How many.
        fps: At which pace; 0: as fast as it goes.
        reused: Whether all lie in the same memory.
        consume_s: How long the consumer takes over each.
        warm: So many of the first are not counted in what either took: memory that is touched
            for the first time is dear.
    """

    task: Task
    count: int
    fps: float = 0.0
    reused: bool = False
    consume_s: float = 0.0
    warm: int = 0


@dataclass(slots=True)
class Sent:
    """What the sending process says: how long sending took, all in all and at worst.

    The processor's time is that after `Course.warm` frames, until all was delivered.
    """

    count: int = 0
    took_s: float = 0.0
    worst_s: float = 0.0
    cpu_s: float = 0.0
    dropped: int | None = None


@dataclass(slots=True)
class Got:
    """What a receiving process says."""

    numbers: list[int]
    ages_s: list[float]
    wrong: int = 0
    took_s: float = 0.0
    cpu_s: float = 0.0
    ready_ns: int = 0
    first_ns: int = 0
    told: int = 0


def stamp(frame: Frame, number: int) -> None:
    """Paint a frame, and write its number and the time into its first bytes."""
    frame[:] = number % 251
    frame.reshape(-1)[:_STAMP] = np.array([number, time.monotonic_ns()]).view(np.uint8)


def look(frame: Frame) -> tuple[int, int, bool]:
    """Number, time of sending, and whether the frame is whole."""
    flat = frame.reshape(-1)
    number, sent_ns = flat[:_STAMP].copy().view(np.int64).tolist()
    rest = flat[_STAMP:]
    return number, sent_ns, bool((rest == number % 251).all())


def send(pipe: Connection, name: str, port: int, course: Course) -> None:
    """The sending process; a last frame of number -1 ends it."""
    end = LINKS[name].sends(port, course.task)
    pipe.send("ready")
    pipe.recv()
    frames = [np.empty(course.task.shape, np.uint8) for _ in range(1 if course.reused else 4)]
    for number, frame in enumerate(frames):
        stamp(frame, number)
        if not (course.reused or course.fps):
            frame.setflags(write=False)
    said, began_s, used_s, told_s = Sent(), time.monotonic(), 0.0, 0.0
    for number in range(course.count):
        frame = frames[number % len(frames)]
        if course.fps or course.reused:
            if course.fps:
                time.sleep(max(0.0, began_s + number / course.fps - time.monotonic()))
            stamp(frame, number)
        if number == course.warm:
            used_s = time.process_time()
        before_s = time.monotonic()
        end.send(frame)
        now_s = time.monotonic()
        said.worst_s = max(said.worst_s, now_s - before_s)
        said.count += 1
        said.took_s = now_s - began_s
        if course.fps or now_s - told_s > TELL_S:
            told_s = now_s
            pipe.send(said)
    end.finish()
    said.cpu_s = time.process_time() - used_s
    end.close()
    said.dropped = end.dropped()
    pipe.send(said)
    pipe.send("over")


def receive(pipe: Connection, name: str, port: int, course: Course) -> None:
    """The receiving process; tells from time to time what it has, as it may be killed."""
    end = LINKS[name].receives(port, course.task)
    got = Got([], [], ready_ns=time.monotonic_ns())
    pipe.send("ready")
    threading.Thread(target=_tell, args=(pipe, got), daemon=True).start()
    began_s = used_s = 0.0
    checks = bool(course.reused or course.fps)
    told_all = not course.fps  # else a consumer commits what it has told, and no more
    while True:
        end.confirm(None if told_all else got.told)
        try:
            frames = end.receive()
        except ConnectionError:  # the sender has ended
            time.sleep(3 * TELL_S)
            return
        for frame in frames:
            now_ns = time.monotonic_ns()
            if not got.numbers:
                got.first_ns = now_ns
            if len(got.numbers) == course.warm:
                began_s, used_s = time.monotonic(), time.process_time()
            number, sent_ns, whole = look(frame) if checks else (len(got.numbers), now_ns, True)
            got.took_s, got.cpu_s = time.monotonic() - began_s, time.process_time() - used_s
            got.ages_s.append((now_ns - sent_ns) / NS)
            got.wrong += not whole
            got.numbers.append(number)
            if course.consume_s:
                time.sleep(course.consume_s)


def _tell(pipe: Connection, got: Got) -> None:
    while True:
        time.sleep(TELL_S)
        copy = replace(got, numbers=list(got.numbers), ages_s=list(got.ages_s))
        pipe.send(copy)
        got.told = len(copy.numbers)


class Pair:
    """A sending process and its receiving ones, and the last that each of them said.

    Args:
        name: Of the link.
        course: How frames are sent.
    """

    def __init__(self, name: str, course: Course) -> None:
        self._name, self._course, self._port = name, course, free_port()
        self.got: list[Got] = []
        self.sent, self._sent_s = Sent(), time.monotonic()
        self.over = False
        self._receiver, self._from_receiver = self._start(receive)
        self._sender, self._from_sender = self._start(send)
        _await(self._from_sender)
        time.sleep(0.5)  # a subscriber's first moments, where there is one
        self._from_sender.send("go")

    def listen(self, wanted: int, deadline_s: float) -> None:
        """Take in what both say until so many frames came, or sending is over and it is quiet."""
        until_s = time.monotonic() + deadline_s
        quiet_s = time.monotonic()
        while time.monotonic() < until_s and self.received < wanted:
            if self._take():
                quiet_s = time.monotonic()
            elif self.over and time.monotonic() - quiet_s > 1.5:
                return

    def await_sender(self, deadline_s: float) -> None:
        """Take in what both say until the sender has ended."""
        until_s = time.monotonic() + deadline_s
        while time.monotonic() < until_s and not self.over:
            self._take()

    def kill_consumer(self) -> None:
        """Kill the receiving process."""
        self._take()
        self._receiver.kill()
        self._receiver.join()

    def new_consumer(self) -> None:
        """Start another in its place."""
        self._receiver, self._from_receiver = self._start(receive)

    def close(self) -> None:
        """End both."""
        for process in (self._sender, self._receiver):
            process.kill()
            process.join()

    @property
    def worst_s(self) -> float:
        """Longest time that sending one frame took; one that is still being sent counts."""
        stuck_s = 0.0 if self.over else time.monotonic() - self._sent_s
        return max(self.sent.worst_s, stuck_s)

    @property
    def received(self) -> int:
        """Frames that came, each counted once."""
        return len({number for got in self.got for number in got.numbers})

    def _start(
        self, run: Callable[[Connection, str, int, Course], None]
    ) -> tuple[BaseProcess, Connection]:
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(
            target=run, args=(theirs, self._name, self._port, self._course), daemon=True
        )
        process.start()
        theirs.close()
        if run is receive:
            _await(ours)
            self.got.append(Got([], []))
        return process, ours

    def _take(self) -> bool:
        """Take in what was said; whether anything was."""
        heard = False
        for pipe in (self._from_sender, self._from_receiver):
            try:
                while pipe.poll(0.02):
                    heard = self._note(pipe.recv()) or heard
            except (EOFError, OSError):  # that process has ended
                self.over = self.over or pipe is self._from_sender
        return heard

    def _note(self, said: object) -> bool:
        if isinstance(said, Sent):
            self.sent, self._sent_s = said, time.monotonic()
        elif isinstance(said, Got):
            more = len(said.numbers) > len(self.got[-1].numbers)
            self.got[-1] = said
            return more
        elif said == "over":
            self.over = True
        return False


def _await(pipe: Connection) -> None:
    if not pipe.poll(DEADLINE_S):
        raise TimeoutError("a process did not begin")
    pipe.recv()
