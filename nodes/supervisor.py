"""Keeps the processes of a deployment running on one machine.

Each child runs in a session of its own, so that Ctrl-C reaches the supervisor alone and
children stop in order: those of the first stage are asked, then waited for, then the next.
A child that ends with an error is started again with backoff; see `RestartPolicy` for when it
is given up. One that is given up stays down and is reported, the others go on, and the
supervisor exits with 69 at last. A child that ends with 0 has finished. When all of the first
stage have finished, nothing more can come and the others are stopped, in order.

A child notices when the supervisor itself is killed by a pipe that ends, see `nodes.runner`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import structlog

from nodes.children import (
    ALERT,
    CAPTURE,
    FUSION,
    Child,
    RestartPolicy,
    child_environment,
    fusewatch_command,
)
from nodes.health import Health
from nodes.runner import PARENT_PIPE
from pipeline.core.errors import ConfigError

__all__ = [
    "ALERT",
    "CAPTURE",
    "FUSION",
    "Child",
    "RestartPolicy",
    "Supervisor",
    "fusewatch_command",
]

UNAVAILABLE = 69
_HOPELESS = frozenset({64, ConfigError.exit_code})  # the same command would fail the same way
_POLL_S = 0.05

log = structlog.get_logger(__name__)


class _Running:
    """One child and what became of it."""

    def __init__(self, child: Child, policy: RestartPolicy) -> None:
        self.child = child
        self.policy = policy
        self.process: subprocess.Popen[bytes] | None = None
        self.started_s = 0.0
        self.start_at_s: float | None = 0.0
        self.restarts = 0
        self.state = "waiting"

    @property
    def ended(self) -> bool:
        return self.state in ("finished", "given up")


class Supervisor:
    """Starts, watches, restarts and stops children.

    Args:
        children: What to run; started last stage first, so that receivers are there.
        health: Where the state of each child is reported; None: nowhere.
        policy: Makes the restart policy of one child.
        drain_s: Longest wait for the children of one stage to end, seconds; then SIGKILL.
        now_s: Monotonic seconds.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        health: Health | None = None,
        policy: Callable[[], RestartPolicy] = RestartPolicy,
        drain_s: float = 15.0,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._running = [_Running(child, policy()) for child in children]
        self._health = health
        self._drain_s = drain_s
        self._now_s = now_s
        self._stop = self._hurry = self._reload = False
        self._environment = child_environment()
        self._pipe: tuple[int, int] | None = None

    def run(self) -> int:
        """Run until every child has ended or a stop was asked for; the exit code.

        Handles SIGTERM, SIGINT and SIGHUP (handed on) when called from the main thread.
        """
        before = self._handle_signals()
        self._pipe = os.pipe()
        try:
            for running in sorted(self._running, key=lambda r: -r.child.stage):
                self._start(running)
            while not self._stop and not self._finished():
                self._look(self._running)
                if self._reload:
                    self._reload = False
                    self._signal(self._running, signal.SIGHUP)
                time.sleep(_POLL_S)
            self._stop_all()
        finally:
            self._kill_all()
            for end in self._pipe:
                os.close(end)
            for number, action in before.items():
                signal.signal(number, action)
        given_up = any(running.state == "given up" for running in self._running)
        return UNAVAILABLE if given_up else 0

    def stop(self) -> None:
        """Ask to stop in order, a second time: at once. From any thread or signal handler."""
        self._hurry = self._stop
        self._stop = True

    def pids(self) -> dict[str, int]:
        """Process ids of the children that run now, by name."""
        return {
            r.child.name: r.process.pid
            for r in self._running
            if r.process is not None and r.process.poll() is None
        }

    def states(self) -> dict[str, str]:
        """State of each child by name: waiting, running, finished, given up."""
        return {running.child.name: running.state for running in self._running}

    def restarts(self) -> dict[str, int]:
        """How often each child was started again, by name."""
        return {running.child.name: running.restarts for running in self._running}

    def _handle_signals(self) -> dict[signal.Signals, Any]:
        if threading.current_thread() is not threading.main_thread():
            return {}

        def ask(_number: int, _frame: FrameType | None) -> None:
            self.stop()

        def reload(_number: int, _frame: FrameType | None) -> None:
            self._reload = True

        actions = {signal.SIGTERM: ask, signal.SIGINT: ask, signal.SIGHUP: reload}
        return {number: signal.signal(number, action) for number, action in actions.items()}

    def _start(self, running: _Running) -> None:
        child = running.child
        if self._pipe is None:
            return
        environment = {**self._environment, PARENT_PIPE: str(self._pipe[0]), **child.environment}
        running.started_s = self._now_s()
        running.start_at_s = None
        try:
            running.process = subprocess.Popen(
                child.command,
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=(self._pipe[0],),
                start_new_session=True,
            )
        except OSError as error:
            self._give_up(running, f"cannot be started: {error.strerror}")
            return
        self._report(running, "running")
        log.info("child started", child=child.name, pid=running.process.pid)

    def _look(self, runnings: Sequence[_Running]) -> None:
        for running in runnings:
            if running.process is not None and (code := running.process.poll()) is not None:
                running.process = None
                self._ended(running, code)
            elif running.start_at_s is not None and self._now_s() >= running.start_at_s:
                running.restarts += 1
                self._start(running)

    def _ended(self, running: _Running, code: int) -> None:
        now_s = self._now_s()
        how = f"exit code {code}" if code >= 0 else f"killed by {_signal_name(-code)}"
        if code == 0:
            log.info("child finished", child=running.child.name)
            self._report(running, "finished")
            return
        delay_s = None
        if code not in _HOPELESS:
            delay_s = running.policy.delay_s(now_s, now_s - running.started_s)
        if delay_s is None:
            self._give_up(running, how)
            return
        log.warning("child ended", child=running.child.name, how=how, restart_in_s=delay_s)
        running.start_at_s = now_s + delay_s
        self._report(running, "waiting", how)

    def _give_up(self, running: _Running, how: str) -> None:
        running.start_at_s = None
        log.error("child given up", child=running.child.name, how=how, restarts=running.restarts)
        self._report(running, "given up", how)

    def _report(self, running: _Running, state: str, detail: str = "") -> None:
        running.state = state
        if self._health is not None:
            ok = state in ("running", "finished")
            text = state + (f", {detail}" if detail else "")
            self._health.ready(running.child.name, ok, text)
            self._health.alive(running.child.name, state != "given up", text)

    def _finished(self) -> bool:
        first = min((running.child.stage for running in self._running), default=CAPTURE)
        leading = [running for running in self._running if running.child.stage == first]
        return all(running.state == "finished" for running in leading) or all(
            running.ended for running in self._running
        )

    def _stop_all(self) -> None:
        for stage in sorted({running.child.stage for running in self._running}):
            alive = [r for r in self._running if r.child.stage == stage and r.process is not None]
            later = [r for r in self._running if r.child.stage > stage]  # take in what drains
            self._signal(alive, signal.SIGTERM)
            deadline_s = self._now_s() + self._drain_s
            while alive and not self._hurry and self._now_s() < deadline_s:
                time.sleep(_POLL_S)
                self._look(later)
                alive = [r for r in alive if not self._has_stopped(r)]
            self._signal(alive, signal.SIGKILL)

    def _has_stopped(self, running: _Running) -> bool:
        code = running.process.poll() if running.process is not None else 0
        if code is None:
            return False
        running.process = None
        if code:
            log.warning("child did not stop in order", child=running.child.name, code=code)
        self._report(running, "finished")
        return True

    def _signal(self, runnings: Sequence[_Running], number: signal.Signals) -> None:
        for running in runnings:
            if running.process is not None and running.process.poll() is None:
                if number == signal.SIGKILL:
                    log.warning("child killed, it did not drain", child=running.child.name)
                running.process.send_signal(number)

    def _kill_all(self) -> None:
        alive = [running for running in self._running if running.process is not None]
        self._signal(alive, signal.SIGKILL)
        for running in alive:
            if running.process is not None:
                running.process.wait()
                running.process = None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
