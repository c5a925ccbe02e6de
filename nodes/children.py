"""What a supervised process is: its command, its surroundings, and what became of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nodes
from nodes.last_words import LastWordsHeard
from nodes.runner import CLOCK_OFFSET
from pipeline.core.clock import NodeClock

CAPTURE, FUSION, ALERT, PAGE = 0, 1, 2, 3
_LOOP = 2  # ends in a row, each after a short run, that make a crash loop


@dataclass(slots=True)
class RestartPolicy:
    """When a process that ended is started again.

    The delay doubles from `first_s` up to `longest_s`, and begins anew when the process ran
    for `steady_s`. After `limit` restarts within `period_s` it is given up.
    """

    limit: int = 5
    period_s: float = 60.0
    first_s: float = 0.25
    longest_s: float = 8.0
    steady_s: float = 30.0
    _restarts: deque[float] = field(default_factory=deque)
    _delay_s: float = 0.0

    def delay_s(self, now_s: float, ran_s: float) -> float | None:
        """Seconds to wait before the restart; None to give up.

        Args:
            now_s: Monotonic seconds at which the process ended.
            ran_s: How long it had run.
        """
        while self._restarts and now_s - self._restarts[0] >= self.period_s:
            self._restarts.popleft()
        if len(self._restarts) >= self.limit:
            return None
        fresh = ran_s >= self.steady_s or not self._delay_s
        self._delay_s = self.first_s if fresh else min(self._delay_s * 2, self.longest_s)
        self._restarts.append(now_s)
        return self._delay_s


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running.

    Attributes:
        name: Name in logs and health.
        command: Program and arguments, see `fusewatch_command`.
        stage: Place in the order of stopping: `CAPTURE`, `FUSION`, `ALERT`, `PAGE`.
        environment: Variables beside those of the supervisor.
    """

    name: str
    command: tuple[str, ...]
    stage: int = CAPTURE
    environment: Mapping[str, str] = field(default_factory=dict)


class Running:
    """One child and what became of it.

    Args:
        child: What is run.
        policy: When it is started again.
    """

    def __init__(self, child: Child, policy: RestartPolicy) -> None:
        self.child = child
        self.policy = policy
        self.process: subprocess.Popen[bytes] | None = None
        self.words: LastWordsHeard | None = None
        self.started_s = 0.0
        self.start_at_s: float | None = 0.0
        self.restarts = 0
        self.state = "waiting"
        self.last_end = ""
        self._short_runs = 0

    @property
    def ended(self) -> bool:
        """Whether it will not be started again."""
        return self.state in ("finished", "given up")

    def note_end(self, how: str, now_s: float) -> float:
        """Remember that the process failed, with its last words; how long it ran, seconds."""
        ran_s = now_s - self.started_s
        said = self.words.take() if self.words is not None else ""
        self.last_end = f"{how}: {said}" if said else how
        self._short_runs = 1 if ran_s >= self.policy.steady_s else self._short_runs + 1
        return ran_s

    def close(self) -> None:
        """Let go of its pipe."""
        if self.words is not None:
            self.words.close()
            self.words = None

    def is_in_crash_loop(self, now_s: float) -> bool:
        """Whether it runs only because it was just started again, not for the first time."""
        new = now_s - self.started_s < self.policy.steady_s
        return self.process is not None and new and self._short_runs >= _LOOP


def end_of(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def fusewatch_command(*arguments: str) -> tuple[str, ...]:
    """Command that runs ``fusewatch ARGUMENTS`` in a child, whatever the current folder holds."""
    return (sys.executable, "-P", "-m", "nodes.cli", *arguments)


def child_environment() -> dict[str, str]:
    """Environment of a child: this one's, the node's clock, and where our packages are."""
    environment = dict(os.environ)
    environment.setdefault(CLOCK_OFFSET, str(NodeClock().offset_ns))
    root = str(Path(nodes.__file__).resolve().parents[1])
    if root not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        before = environment.get("PYTHONPATH", "")
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, before]))
    return environment
