"""What every node process shares: signals, health, logs, its run file, the last ``except``.

A node is started, stepped until it says that it is finished or somebody asks it to stop,
drained, closed. ``SIGTERM`` and ``SIGINT`` ask it to stop, a second one ends it at once;
``SIGHUP`` reloads; the end of the process that started it (see `nodes.supervisor`) counts as
``SIGTERM``. Who is asked before it has started does not start. An error in any thread ends the
process: a node that half works is worse than one that is started again. Two nodes of one name
cannot work on one data folder, see `nodes.lock`.

Exit codes: 0 after an orderly end, the error's own for ours, 70 for any other.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry

from nodes.health import Health, HealthServer
from nodes.last_words import LastWords
from nodes.lock import hold
from nodes.memory_return import MemoryRounds
from nodes.run_files import RunFile, write_run_file
from nodes.system_clock import SystemClockWatch
from pipeline.config.http_settings import HttpSettings
from pipeline.core.clock import NodeClock
from pipeline.core.errors import FusewatchError

CLOCK_OFFSET = "FUSEWATCH_CLOCK_OFFSET_NS"
PARENT_PIPE = "FUSEWATCH_PARENT_PIPE"
INTERNAL = 70
_BEAT_LIMIT_S = 30.0

log = structlog.get_logger(__name__)


class Node(Protocol):
    """One of the processes of a deployment. All methods are called from one thread."""

    @property
    def name(self) -> str:
        """Name of the process: in logs, and of its run file."""
        ...

    def register(self, health: Health, registry: CollectorRegistry) -> None:
        """Take what health and metrics are reported to; called first."""
        ...

    def start(self) -> None:
        """Open what is needed and begin to work."""
        ...

    def step(self, timeout_s: float) -> bool:
        """Work, or wait for work, no longer than `timeout_s`; False when finished for good."""
        ...

    def drain(self, timeout_s: float) -> None:
        """Take in nothing new and finish what is under way, within `timeout_s`."""
        ...

    def close(self) -> None:
        """Let go of everything; called after every start, also one that failed."""
        ...


@dataclass(slots=True)
class RunOptions:
    """How a node is run.

    Attributes:
        data: The deployment's data folder.
        http: Address of the health server; None: off.
        outside: Token and certificate, for an address that other machines can reach.
        reload: Called on SIGHUP; raises `FusewatchError` when the new state is refused.
        step_s: Longest wait in one step, seconds.
        drain_s: Longest time to drain, seconds.
    """

    data: Path
    http: str | None = "127.0.0.1:0"
    outside: HttpSettings | None = None
    reload: Callable[[], None] | None = None
    step_s: float = 0.25
    drain_s: float = 10.0


def run_node(node: Node, options: RunOptions) -> int:
    """Run a node until it ends; the exit code of the process.

    Must be called from the main thread, after `nodes.logs.configure_logs`.
    """
    requests = Requests()
    last_words = LastWords.of_this_process()
    try:
        with requests.listening(), hold(options.data, node.name):
            _run(node, options, requests)
            if requests.failure is not None:
                raise requests.failure
    except FusewatchError as error:
        log.error("node failed", node=node.name, error=str(error))
        last_words.say(str(error))
        return error.exit_code
    except Exception as error:
        log.exception("node failed unexpectedly", node=node.name)
        last_words.say(f"{type(error).__name__}: {error}")
        return INTERNAL
    return 0


def node_clock() -> NodeClock:
    """The clock of this node, shared with the process that started this one, if any."""
    offset = os.environ.get(CLOCK_OFFSET, "")
    return NodeClock(int(offset) if offset.lstrip("-").isdecimal() else None)


def _run(node: Node, options: RunOptions, requests: Requests) -> None:
    if requests.stop:  # it would take up, for a moment, what is somebody else's by now
        log.info("node not started", node=node.name, reason=requests.reason)
        return
    health = Health()
    server = HealthServer(options.http, health, options.outside) if options.http else None
    port = server.start() if server else None
    run_file = options.data / "run" / f"{node.name}.json"
    try:
        node.register(health, health.registry)
        node.start()
        write_run_file(run_file, RunFile(node.name, os.getpid(), port, time.time_ns()))
        health.ready("node", True)
        log.info("node started", node=node.name, http=port)
        _work(node, options, requests, health)
        health.ready("node", False, "draining")
        if requests.failure is None:
            node.drain(options.drain_s)
    finally:
        node.close()
        run_file.unlink(missing_ok=True)
        if server:
            server.close()
    log.info("node stopped", node=node.name)


def _work(node: Node, options: RunOptions, requests: Requests, health: Health) -> None:
    clock = node_clock()
    system_clock = SystemClockWatch(clock, health.registry)
    memory = MemoryRounds(clock)
    while not requests.stop:
        health.beat("loop", options.step_s + _BEAT_LIMIT_S)
        system_clock.look()
        memory.look()
        if requests.reload:
            requests.reload = False
            _reload(node, options)
        if not node.step(options.step_s):
            return
    log.info("node stopping", node=node.name, reason=requests.reason)


def _reload(node: Node, options: RunOptions) -> None:
    if options.reload is None:
        log.warning("reload is not supported", node=node.name)
        return
    try:
        options.reload()
    except FusewatchError as error:
        log.error("reload refused, going on as before", node=node.name, error=str(error))
    else:
        log.info("reloaded", node=node.name)


class Requests:
    """What others want of this process: signals, the end of its parent, a thread that failed.

    Plain flags, because a signal handler must not take the lock of an `threading.Event` that
    the interrupted code may hold.
    """

    def __init__(self) -> None:
        self.stop = False
        self.reload = False
        self.reason = ""
        self._asked = 0
        self.failure: BaseException | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen, and put everything back at the end."""
        wanted = {
            signal.SIGTERM: self._on_stop,
            signal.SIGINT: self._on_stop,
            signal.SIGHUP: self._on_reload,
        }
        before = {number: signal.signal(number, action) for number, action in wanted.items()}
        hook, threading.excepthook = threading.excepthook, self._on_thread_failure
        self._watch_parent()
        try:
            yield
        finally:
            threading.excepthook = hook
            for number, action in before.items():
                signal.signal(number, action)

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        self._asked += 1
        if self._asked > 1:
            os._exit(128 + number)
        self.reason = signal.Signals(number).name
        self.stop = True

    def _on_reload(self, _number: int, _frame: FrameType | None) -> None:
        self.reload = True

    def _on_thread_failure(self, failed: threading.ExceptHookArgs) -> None:
        name = failed.thread.name if failed.thread else "?"
        if failed.exc_value is not None:
            # Said at once: what fails while the node is closed must not hide the cause.
            log.error("thread failed", thread=name, exc_info=failed.exc_value)
            self.failure = self.failure or failed.exc_value
        self.reason = f"thread {name} failed"
        self.stop = True

    def _watch_parent(self) -> None:
        pipe = os.environ.pop(PARENT_PIPE, "")
        if not pipe.isdecimal():
            return
        if select.select([int(pipe)], [], [], 0)[0]:
            self._await_end(int(pipe))
        else:
            threading.Thread(target=self._await_end, args=(int(pipe),), daemon=True).start()

    def _await_end(self, pipe: int) -> None:
        """The parent holds the other end and never writes: a read returns when it is gone."""
        os.read(pipe, 1)
        self.reason = "parent ended"
        self.stop = True
