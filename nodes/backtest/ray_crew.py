"""Pieces replayed by the workers of a Ray cluster, or of one started on this machine.

Recordings and models are read by the workers, so every machine must see them at the same paths.
No sample goes through Ray: only what is to be replayed, and what came of it.
"""

from __future__ import annotations

import logging
import os

from nodes.backtest.crews import Outcome, WorkerLost, quiet
from nodes.backtest.piece import Piece, PieceResult, replay_piece
from pipeline.core.errors import DependencyMissing, FusewatchError, RecordingError
from pipeline.core.extras import installing

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody outside

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ModuleNotFoundError as missing:
    raise DependencyMissing(
        f"{missing.name} is not installed", fix=installing("cluster")
    ) from missing


class RayCrew:
    """Workers of Ray.

    Args:
        address: Of a running cluster, ``auto`` or ``HOST:PORT``; None: one of its own, here.
        size: Pieces at a time; None: one for each core of the cluster.

    Raises:
        FusewatchError: The cluster cannot be reached.
    """

    def __init__(self, address: str | None = None, size: int | None = None) -> None:
        cores = (size or len(os.sched_getaffinity(0))) if address is None else None
        try:
            ray.init(
                address=address or "local",
                num_cpus=cores,
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise RayUnavailable(f"cannot reach it: {error}", where=f"Ray {address}") from error
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        self.size = size or int(resources.get("CPU", 1))
        self._run = ray.remote(num_cpus=1, max_retries=0)(_in_a_worker)
        self._running: dict[ray.ObjectRef[PieceResult], int] = {}

    def start(self, number: int, piece: Piece) -> None:
        """Begin a piece."""
        self._running[self._run.remote(piece)] = number

    def finished(self) -> list[tuple[int, Outcome]]:
        """Wait until something is over."""
        over, _ = ray.wait(list(self._running), num_returns=1)
        return [(self._running.pop(ref), _outcome(ref)) for ref in over]

    def close(self) -> None:
        """Leave the cluster; one of its own ends."""
        for ref in self._running:
            ray.cancel(ref, force=True)
        self._running.clear()
        ray.shutdown()


class RayUnavailable(FusewatchError):
    """There is no such cluster."""

    exit_code = 69


def _in_a_worker(piece: Piece) -> PieceResult:
    quiet()
    return replay_piece(piece)


def _outcome(ref: ray.ObjectRef[PieceResult]) -> Outcome:
    """What came of a piece; a worker, a machine or an object that is gone is not its fault."""
    try:
        found: PieceResult = ray.get(ref)
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, RecordingError):
            return cause
        raise cause from error
    except RayError as error:
        return WorkerLost(f"{type(error).__name__}: {error}")
    return found
