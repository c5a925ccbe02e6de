"""Who replays the pieces: processes of this machine. Ray is in `nodes.backtest.ray_crew`.

Whoever it is, a piece whose worker died is run again, and one that has cost `TRIES` workers is
given up and told: it may be what they die of.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from nodes.backtest.piece import Piece, PieceResult, replay_piece
from pipeline.core.errors import RecordingError

log = structlog.get_logger(__name__)

TRIES = 3


class WorkerLost(Exception):
    """The worker that had the piece is gone."""


Outcome = PieceResult | RecordingError | WorkerLost


class Crew(Protocol):
    """Workers that replay pieces.

    Attributes:
        size: How many pieces they work on at a time.
    """

    size: int

    def start(self, number: int, piece: Piece) -> None:
        """Begin a piece."""
        ...

    def finished(self) -> list[tuple[int, Outcome]]:
        """Wait until something is over; the numbers of the pieces, and what came of them.

        Raises:
            FusewatchError: A fault that every piece would have.
        """
        ...

    def close(self) -> None:
        """Let the workers go."""
        ...


@dataclass(slots=True)
class Worked:
    """What came of all pieces.

    Attributes:
        results: Of those that were replayed.
        given_up: Pieces that could not be, and why.
        again: How often a piece was run again because its worker was lost.
    """

    results: list[PieceResult] = field(default_factory=list)
    given_up: list[tuple[Piece, str]] = field(default_factory=list)
    again: int = 0


def work(
    pieces: Sequence[Piece], crew: Crew, told: Callable[[int, int], None] = lambda *_: None
) -> Worked:
    """Have all pieces replayed.

    Args:
        pieces: The pieces.
        crew: Who replays them; closed at the end.
        told: Told how many are over, of how many.

    Raises:
        FusewatchError: A fault that every piece would have.
    """
    done, waiting = Worked(), deque(enumerate(pieces))
    lost: Counter[int] = Counter()
    running = over = 0
    try:
        while waiting or running:
            while waiting and running < crew.size:
                number, piece = waiting.popleft()
                crew.start(number, piece)
                running += 1
            for number, outcome in crew.finished():
                running -= 1
                if isinstance(outcome, WorkerLost) and lost[number] + 1 < TRIES:
                    lost[number] += 1
                    done.again += 1
                    log.warning("worker lost, its piece is run again", why=str(outcome))
                    waiting.append((number, pieces[number]))
                    continue
                over += 1
                if isinstance(outcome, PieceResult):
                    done.results.append(outcome)
                else:
                    done.given_up.append((pieces[number], str(outcome)))
                told(over, len(pieces))
    finally:
        crew.close()
    return done


class LocalCrew:
    """Processes of this machine, each with one thread.

    Args:
        size: How many; None: one for each core this process may use.
    """

    def __init__(self, size: int | None = None) -> None:
        self.size = size or len(os.sched_getaffinity(0))
        self._others = set(multiprocessing.active_children())
        # A pool each, so that a process that dies takes no other's piece along.
        self._free: list[ProcessPoolExecutor] = []
        self._running: dict[Future[PieceResult], tuple[int, ProcessPoolExecutor]] = {}

    def start(self, number: int, piece: Piece) -> None:
        """Begin a piece."""
        pool = self._free.pop() if self._free else _pool()
        try:
            future = pool.submit(replay_piece, piece)
        except BrokenProcessPool:  # it died while it had nothing to do
            pool.shutdown()
            pool = _pool()
            future = pool.submit(replay_piece, piece)
        self._running[future] = number, pool

    def finished(self) -> list[tuple[int, Outcome]]:
        """Wait until something is over."""
        over, _ = wait(self._running, return_when=FIRST_COMPLETED)
        found: list[tuple[int, Outcome]] = []
        for future in over:
            number, pool = self._running.pop(future)
            try:
                found.append((number, _outcome(future)))
            except BrokenProcessPool as error:
                pool.shutdown()
                found.append((number, WorkerLost(str(error))))
            else:
                self._free.append(pool)
        return found

    def close(self) -> None:
        """Let the processes go, also those that have a piece still."""
        if self._running:
            for child in set(multiprocessing.active_children()) - self._others:
                child.terminate()
        for pool in [*self._free, *(pool for _, pool in self._running.values())]:
            pool.shutdown(cancel_futures=True)
        self._free.clear()
        self._running.clear()


def quiet() -> None:
    """Set a worker up: what it has to say is in its result, and it opens many files at once."""
    import cv2

    from nodes.logs import configure_logs

    configure_logs("backtest", level="critical")
    cv2.setNumThreads(1)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=quiet)


def _outcome(future: Future[PieceResult]) -> PieceResult | RecordingError:
    """What came of a piece; faults of its recordings are its own."""
    try:
        return future.result()
    except RecordingError as error:
        return error
