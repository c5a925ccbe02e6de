"""What a supervised process is: its command, its surroundings, and when it is started again."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nodes
from nodes.runner import CLOCK_OFFSET
from pipeline.core.clock import NodeClock

CAPTURE, FUSION, ALERT = 0, 1, 2


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
        stage: Place in the order of stopping: `CAPTURE`, `FUSION`, `ALERT`.
        environment: Variables beside those of the supervisor.
    """

    name: str
    command: tuple[str, ...]
    stage: int = CAPTURE
    environment: Mapping[str, str] = field(default_factory=dict)


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
