"""Keeps the processes of a deployment running on one machine.

Each child runs in a session of its own, so that Ctrl-C reaches the supervisor alone and
children stop in order: those of the first stage are asked, then waited for, then the next.
A child that ends with an error is started again with backoff; see `RestartPolicy` for when it
is given up. One that is given up stays down and is reported, the others go on. A child that
ends with 0 has finished. When all of the first stage have finished, nothing more can come and
the others are stopped, in order.

The supervisor exits with 69, and says which child and why, when at its end one was given up,
was down or in a crash loop, or failed while it stopped. A child that was killed once and is
back does not count.

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
    PAGE,
    Child,
    RestartPolicy,
    Running,
    child_environment,
    end_of,
    fusewatch_command,
)
from nodes.health import Health
from nodes.last_words import VARIABLE as LAST_WORDS
from nodes.last_words import LastWordsHeard
from nodes.runner import PARENT_PIPE
from pipeline.core.errors import ConfigError

__all__ = [
    "ALERT",
    "CAPTURE",
    "FUSION",
    "PAGE",
    "Child",
    "RestartPolicy",
    "Supervisor",
    "fusewatch_command",
]

UNAVAILABLE = 69
_HOPELESS = frozenset({64, ConfigError.exit_code})  # the same command would fail the same way
_IN_ORDER = frozenset({0, -signal.SIGTERM, 128 + signal.SIGTERM, 128 + signal.SIGINT})
POLL_S = 0.05

log = structlog.get_logger(__name__)


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
        self._running = [Running(child, policy()) for child in children]
        self._health = health
        self._drain_s = drain_s
        self._now_s = now_s
        self._stop = self._hurry = self._reload = False
        self._environment = child_environment()
        self._pipe: tuple[int, int] | None = None
        self._troubles: dict[str, str] = {}

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
                time.sleep(POLL_S)
            self._stop_all()
        finally:
            self._kill_all()
            for end in self._pipe:
                os.close(end)
            for number, action in before.items():
                signal.signal(number, action)
        return UNAVAILABLE if self._tell_troubles() else 0

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

    def last_ends(self) -> dict[str, str]:
        """How each child last ended, in words, by name; empty: it never did."""
        return {running.child.name: running.last_end for running in self._running}

    def _handle_signals(self) -> dict[signal.Signals, Any]:
        if threading.current_thread() is not threading.main_thread():
            return {}

        def ask(_number: int, _frame: FrameType | None) -> None:
            self.stop()

        def reload(_number: int, _frame: FrameType | None) -> None:
            self._reload = True

        actions = {signal.SIGTERM: ask, signal.SIGINT: ask, signal.SIGHUP: reload}
        return {number: signal.signal(number, action) for number, action in actions.items()}

    def _start(self, running: Running) -> None:
        child = running.child
        if self._pipe is None:
            return
        running.started_s = self._now_s()
        running.start_at_s = None
        running.words = words = LastWordsHeard()
        pipes = {PARENT_PIPE: str(self._pipe[0]), LAST_WORDS: str(words.write)}
        try:
            running.process = subprocess.Popen(
                child.command,
                env={**self._environment, **pipes, **child.environment},
                stdin=subprocess.DEVNULL,
                pass_fds=(self._pipe[0], words.write),
                start_new_session=True,
            )
        except OSError as error:
            running.note_end(f"cannot be started: {error.strerror}", self._now_s())
            self._give_up(running)
            return
        finally:
            words.close_write()
        self._report(running, "running")
        log.info("child started", child=child.name, pid=running.process.pid)

    def _look(self, runnings: Sequence[Running]) -> None:
        self._reap(runnings)
        for running in runnings:
            if running.start_at_s is not None and self._now_s() >= running.start_at_s:
                running.restarts += 1
                self._start(running)

    def _reap(self, runnings: Sequence[Running]) -> None:
        for running in runnings:
            if running.process is not None and (code := running.process.poll()) is not None:
                running.process = None
                self._ended(running, code)

    def _ended(self, running: Running, code: int) -> None:
        if code == 0:
            log.info("child finished", child=running.child.name)
            running.close()
            self._report(running, "finished")
            return
        now_s = self._now_s()
        ran_s = running.note_end(end_of(code), now_s)
        delay_s = None if code in _HOPELESS else running.policy.delay_s(now_s, ran_s)
        if delay_s is None:
            self._give_up(running)
            return
        how = running.last_end
        log.warning("child ended", child=running.child.name, how=how, restart_in_s=delay_s)
        running.start_at_s = now_s + delay_s
        self._report(running, "waiting", how)

    def _give_up(self, running: Running) -> None:
        running.start_at_s = None
        how = running.last_end
        log.error("child given up", child=running.child.name, how=how, restarts=running.restarts)
        self._report(running, "given up", how)

    def _report(self, running: Running, state: str, detail: str = "") -> None:
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
        self._reap(self._running)
        self._note_troubles(self._running)
        for stage in sorted({running.child.stage for running in self._running}):
            self._note_troubles([r for r in self._running if r.child.stage == stage])
            alive = [r for r in self._running if r.child.stage == stage and r.process is not None]
            later = [r for r in self._running if r.child.stage > stage]  # take in what drains
            self._signal(alive, signal.SIGTERM)
            deadline_s = self._now_s() + self._drain_s
            while alive and not self._hurry and self._now_s() < deadline_s:
                time.sleep(POLL_S)
                self._look(later)
                alive = [r for r in alive if not self._has_stopped(r)]
            self._signal(alive, signal.SIGKILL)

    def _has_stopped(self, running: Running) -> bool:
        code = running.process.poll() if running.process is not None else 0
        if code is None:
            return False
        running.process = None
        if code not in _IN_ORDER:
            running.note_end(end_of(code), self._now_s())
            self._troubles.setdefault(running.child.name, "failed while it stopped")
        self._report(running, "finished")
        return True

    def _note_troubles(self, runnings: Sequence[Running]) -> None:
        for running in runnings:
            what = ""
            if running.state == "given up":
                what = "given up"
            elif running.state == "waiting":
                what = "down"
            elif self._stop and running.is_in_crash_loop(self._now_s()):
                what = "failing again and again"
            if what:
                self._troubles.setdefault(running.child.name, what)

    def _tell_troubles(self) -> bool:
        """Say what was wrong at the end; whether anything was."""
        for running in self._running:
            if what := self._troubles.get(running.child.name):
                name, error = running.child.name, running.last_end
                n = running.restarts
                log.error("not well at the end", child=name, state=what, error=error, restarts=n)
        return bool(self._troubles)

    def _signal(self, runnings: Sequence[Running], number: signal.Signals) -> None:
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
        for running in self._running:
            running.close()
