"""Keeps the scores of the fusion node by minute, for looking back."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError
from pipeline.detection.score import WindowScore
from pipeline.detection.transition import anomaly_score
from pipeline.store.score_history import MINUTE_NS, ScoreHistory, ScoreMinute

log = structlog.get_logger(__name__)

_DAY = 24 * 60  # minutes
KEPT_MINUTES = 400 * _DAY
_MOST = 240  # minutes that wait for a disk that refuses


class ScoreMinutes:
    """Gathers scores and writes a minute once it is over.

    Args:
        history: Where they go.
        clock: Node time.
    """

    def __init__(self, history: ScoreHistory, clock: Clock) -> None:
        self._history = history
        self._clock = clock
        self._gathered: dict[str, dict[int, ScoreMinute]] = {}
        self._written = clock.now_ns() // MINUTE_NS
        self._pruned = -1  # the day; none yet
        self.lost = 0
        """Minutes that could not be written."""

    def take(self, scores: Iterable[WindowScore]) -> None:
        """Count scores in; write what is over when a minute has passed."""
        for score in scores:
            minutes = self._gathered.setdefault(score.scene, {})
            at = (score.end_ns - 1) // MINUTE_NS
            detectors = {n: round(anomaly_score(p), 3) for n, p in score.detectors.items()}
            level, seen = round(anomaly_score(score.p), 3), not score.missing
            before = minutes.get(at, ScoreMinute(at, 0, 0, 0.0))
            minutes[at] = before.with_window(level, detectors, seen)
        now = self._clock.now_ns() // MINUTE_NS
        if now != self._written:
            self._written = now
            self._write()
            self._prune(now)

    def close(self) -> None:
        """Write what is gathered and let go of the database."""
        self._write()
        self._history.close()

    def _prune(self, now: int) -> None:
        """Forget what is too old, once a day; what fails is tried again in a minute."""
        if now // _DAY == self._pruned:
            return
        try:
            self._history.forget_before(now - KEPT_MINUTES)
        except StoreError as error:
            log.error("old scores are not removed", error=str(error), every_s=60)
        else:
            self._pruned = now // _DAY

    def _write(self) -> None:
        for scene, minutes in self._gathered.items():
            try:
                self._history.put(scene, list(minutes.values()))
            except StoreError as error:
                log.error("scores are not kept for looking back", error=str(error), every_s=60)
                while len(minutes) > _MOST:
                    del minutes[next(iter(minutes))]
                    self.lost += 1
                continue
            latest = max(minutes, default=None)
            # The minute under way may go on; written twice, the worse counts.
            self._gathered[scene] = {} if latest is None else {latest: minutes[latest]}
