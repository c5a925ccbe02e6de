"""What goes wrong during a soak, and when: drawn from a seed, done by a thread.

Processes are killed in the first part and in the last one only. In between lies a long part in
which every process lives on through stops, cuts and refusals, so that its memory can be judged;
it begins with the longest cut, after which all buffers are as large as they get.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.soak.line import CutLine

Kind = Literal["kill", "stop", "cut", "refuse"]
PROCESSES = ("capture-site", "fusion", "alert")
LINE, SINK = "line", "sink"
STORM, CALM = 0.3, 0.9
"""Shares of the run at which killing ends, and begins again."""

GAP_S, LASTS_S, LONGEST_S = (20.0, 55.0), (5.0, 45.0), 150.0
KILL_GAP_S = 30.0
"""Least time between two kills: the supervisor gives up what fails five times a minute."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        at_s: When, seconds from the start.
        kind: What: ``kill`` and ``stop`` a process by signal, ``cut`` the line, ``refuse``
            events at the web address with status 500.
        target: Process, or `LINE`, or `SINK`.
        lasts_s: For how long; 0 for a kill.
        hard: Whether a cut breaks connections.
    """

    at_s: float
    kind: Kind
    target: str
    lasts_s: float = 0.0
    hard: bool = False

    @property
    def end_s(self) -> float:
        """When it is over."""
        return self.at_s + self.lasts_s


def plan(seconds: float, seed: int) -> list[Fault]:
    """Faults of a run of that length, in order; the last minute, or tenth, is left alone."""
    random = Random(seed)
    shrink = min(1.0, seconds / 1800)
    calm_from_s, calm_to_s = STORM * seconds, CALM * seconds
    longest = Fault(calm_from_s, "cut", LINE, LONGEST_S * shrink)
    found, busy = [longest], {LINE: longest.end_s}
    at_s = random.uniform(*GAP_S) * max(shrink, 0.4)
    while at_s < seconds - min(60.0, seconds / 10):
        fault = _draw(random, at_s, shrink, kills=not calm_from_s <= at_s < calm_to_s)
        clash = fault.target == LINE and at_s < longest.end_s and fault.end_s > longest.at_s
        if at_s >= busy.get(fault.target, 0.0) and not clash:
            found.append(fault)
            busy[fault.target] = fault.end_s + (KILL_GAP_S if fault.kind == "kill" else 1.0)
        at_s += random.uniform(*GAP_S) * max(shrink, 0.4)
    return sorted(found, key=lambda fault: fault.at_s)


def _draw(random: Random, at_s: float, shrink: float, *, kills: bool) -> Fault:
    kinds: tuple[Kind, ...] = ("kill", "kill", "stop", "cut", "refuse")
    kind = random.choice(kinds if kills else kinds[2:])
    lasts_s = random.uniform(*LASTS_S) * max(shrink, 0.2)
    if kind == "kill":
        return Fault(at_s, kind, random.choice(PROCESSES))
    if kind == "stop":
        return Fault(at_s, kind, random.choice(PROCESSES), lasts_s)
    if kind == "cut":
        return Fault(at_s, kind, LINE, lasts_s, hard=random.random() < 0.5)
    return Fault(at_s, kind, SINK, lasts_s)


class Mischief:
    """Does the faults of a plan, in a thread.

    Args:
        faults: The plan.
        began_s: Monotonic seconds of its begin.
        pids: Gives the process ids by name, now.
        line: The line.
        refuse: Makes the web address refuse, or take again.
    """

    def __init__(
        self,
        faults: list[Fault],
        began_s: float,
        pids: Callable[[], Mapping[str, int]],
        line: CutLine,
        refuse: Callable[[bool], None],
    ) -> None:
        steps = [(fault.at_s, True, fault) for fault in faults]
        steps += [(fault.end_s, False, fault) for fault in faults if fault.lasts_s]
        self._steps = sorted(steps, key=lambda step: step[:2])
        self._began_s = began_s
        self._pids = pids
        self._line = line
        self._refuse = refuse
        self._stopped: dict[str, int] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faults", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Do no more, and put right what is still wrong."""
        self._end.set()
        self._thread.join()
        for pid in self._stopped.values():
            _signal(pid, signal.SIGCONT)
        self._line.mend()
        self._refuse(False)

    def _run(self) -> None:
        for at_s, begins, fault in self._steps:
            if self._end.wait(max(0.0, self._began_s + at_s - time.monotonic())):
                return
            self._do(fault) if begins else self._undo(fault)

    def _do(self, fault: Fault) -> None:
        pid = self._pids().get(fault.target)
        if fault.kind == "cut":
            self._line.cut(hard=fault.hard)
        elif fault.kind == "refuse":
            self._refuse(True)
        elif pid is not None and fault.kind == "kill":
            _signal(pid, signal.SIGKILL)
        elif pid is not None:
            self._stopped[fault.target] = pid
            _signal(pid, signal.SIGSTOP)

    def _undo(self, fault: Fault) -> None:
        if fault.kind == "cut":
            self._line.mend()
        elif fault.kind == "refuse":
            self._refuse(False)
        elif pid := self._stopped.pop(fault.target, None):
            _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
