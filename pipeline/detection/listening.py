"""Which detectors speak up during an event, each for itself.

An event is explained by its worst window, and what is loud hides the rest: while a stranger stands
before the camera, that his steps are not heard adds nothing to the score. So each detector is
listened to by itself. One that stays at or over the alarm's threshold for as long as an alarm takes
would have raised one alone; it is remembered with the highest score of that stretch.
"""

from __future__ import annotations

import msgspec

from pipeline.core.event import Heard
from pipeline.detection.score import WindowScore
from pipeline.detection.transition import anomaly_score

_DIGITS = 3  # of a score that is told


class Run(msgspec.Struct):
    """Windows in a row in which a detector is over the threshold.

    Attributes:
        since_ns: When that began.
        score: Its highest score in them.
        note: What it said then.
    """

    since_ns: int
    score: float
    note: str


class Listening(msgspec.Struct):
    """What is remembered of the detectors during one event.

    Attributes:
        runs: Of those over the threshold just now.
        heard: Those that stayed over it.
    """

    runs: dict[str, Run] = {}
    heard: dict[str, Heard] = {}

    def take(self, score: WindowScore, threshold: float, since_ns: int, least_ns: int) -> None:
        """Listen to one more window.

        Args:
            score: Its score.
            threshold: Of the alarm, for this window.
            since_ns: When what is new in the window began.
            least_ns: For how long a detector has to stay over the threshold.
        """
        runs: dict[str, Run] = {}
        for name, p in score.detectors.items():
            level = anomaly_score(p)
            if level < threshold:
                continue
            run = self.runs.get(name) or Run(since_ns, 0.0, "")
            if level > run.score:
                run = Run(run.since_ns, level, score.notes.get(name, run.note))
            runs[name] = run
            if score.end_ns - run.since_ns >= least_ns:
                self._hear(name, run)
        self.runs = runs

    def pause(self) -> None:
        """Windows are missing: what was over the threshold begins anew."""
        self.runs = {}

    def _hear(self, name: str, run: Run) -> None:
        before = self.heard.get(name)
        if before is None or round(run.score, _DIGITS) > before.score:
            self.heard[name] = Heard(round(run.score, _DIGITS), run.note)
