"""The supervisor's end of a reader: in a thread, or in a process that can be killed.

Both kinds of link offer the same: `take` messages, ask the reader to stop, kill it, and say
what it died of. A thread cannot be killed: it is abandoned, its source closed from outside,
and whatever it still says is not heard.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from typing import Protocol

import pydantic
import structlog
from pydantic_core import to_jsonable_python

from pipeline.core.clock import Clock, NodeClock, since_boot_ns
from pipeline.core.errors import SourceUnavailable
from pipeline.core.redact import redact_url
from pipeline.sources.base import SourceSettings
from pipeline.sources.handover import Handover, Message
from pipeline.sources.reader_loop import ReaderLoop
from pipeline.sources.reader_wire import MessageReader

log = structlog.get_logger(__name__)

SOCKET_BYTES = 1 << 20
STOP = b"s"
KILL_S = 1.0


class ReaderLink(Protocol):
    """One life of one reader, seen from the supervisor."""

    pid: int | None

    def take(self, timeout_s: float) -> Message | None:
        """The next message, or None when none came in time."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the reader is gone and every message was taken."""
        ...

    def ask_to_stop(self) -> None:
        """Ask the reader to finish its read, hand over what it has, and end."""
        ...

    def kill(self) -> None:
        """Be rid of the reader, at once and without its help; may be called twice."""
        ...

    def epitaph(self) -> str:
        """What a reader that is gone without a word died of."""
        ...


def connect(settings: SourceSettings, clock: Clock, name: str) -> ReaderLink:
    """Start a reader the way its kind wants it."""
    if settings.isolated:
        return ProcessLink(settings, clock, name)
    return ThreadLink(settings, clock, name)


class ThreadLink:
    """A reader in a thread of this process."""

    def __init__(self, settings: SourceSettings, clock: Clock, name: str) -> None:
        self.pid: int | None = None
        self._name = name
        self._handover = Handover(waits=settings.waits_for_taker())
        self._loop = ReaderLoop(settings, clock, self._handover)
        self._thread = threading.Thread(target=self._loop.run, name=f"read {name}", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> Message | None:
        """See `ReaderLink`."""
        return self._handover.take(timeout_s)

    @property
    def finished(self) -> bool:
        """See `ReaderLink`."""
        return self._handover.finished

    def ask_to_stop(self) -> None:
        """See `ReaderLink`."""
        self._loop.stop()

    def kill(self) -> None:
        """Leave a thread that hangs to itself; closing its source may hang as well."""
        self._thread.join(timeout=0.1)
        if self._thread.is_alive():
            closer = f"close {self._name}"
            threading.Thread(target=self._loop.abandon, name=closer, daemon=True).start()

    def epitaph(self) -> str:
        """See `ReaderLink`."""
        return "its reader thread ended by an error it did not expect (traceback on stderr)"


class ProcessLink:
    """A reader in a process of its own, see `pipeline.sources.reader_process`."""

    def __init__(self, settings: SourceSettings, clock: Clock, name: str) -> None:
        self._name = name
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        self._socket = ours
        self._messages = MessageReader(ours)
        self._gone = False
        with theirs:
            self._process = _spawn(theirs.fileno())
        self.pid: int | None = self._process.pid
        self._last_words: deque[str] = deque(maxlen=20)
        self._listener = threading.Thread(target=self._listen, name=f"hear {name}", daemon=True)
        self._listener.start()
        self._brief(settings, clock)

    def take(self, timeout_s: float) -> Message | None:
        """See `ReaderLink`."""
        if self._gone:
            return None
        try:
            return self._messages.read(timeout_s)
        except EOFError:
            self._gone = True
            return None

    @property
    def finished(self) -> bool:
        """See `ReaderLink`."""
        return self._gone

    def ask_to_stop(self) -> None:
        """See `ReaderLink`."""
        try:
            self._socket.send(STOP)
        except OSError:
            self._gone = True

    def kill(self) -> None:
        """SIGKILL the process, unless it is gone already, and collect it."""
        if self._process.poll() is None:
            self._process.kill()
        try:
            self._process.wait(timeout=KILL_S)
        except subprocess.TimeoutExpired:
            log.warning("reader process stuck in the kernel", source=self._name, pid=self.pid)
        self._listener.join(timeout=0.5)
        self._socket.close()
        self._gone = True

    def epitaph(self) -> str:
        """See `ReaderLink`."""
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return "its reader process closed its connection"
        self._listener.join(timeout=0.5)
        words = f": {self._last_words[-1]}" if self._last_words and code else ""
        if code < 0:
            return f"its reader process was killed by {signal.Signals(-code).name}{words}"
        return f"its reader process ended with exit code {code}{words}"

    def _brief(self, settings: SourceSettings, clock: Clock) -> None:
        """Hand over settings on stdin: a URL may hold a password and argv is public."""
        order = {"settings": settings.model_dump(), "offset_ns": offset_of(clock)}
        text = json.dumps(order, default=_plain)
        if self._process.stdin is None:
            return
        try:
            with self._process.stdin as stdin:
                stdin.write(text.encode())
        except BrokenPipeError:
            log.debug("reader process died at birth", source=self._name)

    def _listen(self) -> None:
        """Keep what the process and its libraries print: for the log, and as last words."""
        if self._process.stdout is None:
            return
        with self._process.stdout as output:
            for raw in output:
                if line := redact_url(raw.decode(errors="replace").rstrip()):
                    self._last_words.append(line)
                    relay(line, self._name)


def relay(line: str, name: str) -> None:
    """Log what a reader process printed: its warnings as such, what libraries say as debug."""
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if isinstance(entry, dict) and entry.get("level") in {"warning", "error", "critical"}:
        event = str(entry.get("event", ""))
        fields = {k: v for k, v in entry.items() if k not in {"event", "level", "source"}}
        log.warning(event, source=name, **fields)
    else:
        log.debug("reader process says", source=name, text=line)


def offset_of(clock: Clock) -> int:
    """What `NodeClock` needs to show the same time as `clock` in another process."""
    if isinstance(clock, NodeClock):
        return clock.offset_ns
    return clock.now_ns() - since_boot_ns()


def _spawn(fd: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "pipeline.sources.reader_process", str(fd)]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(fd,),
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    except OSError as error:
        raise SourceUnavailable(f"its reader process cannot be started: {error}") from error


def _plain(value: object) -> object:
    """JSON form of what json.dumps cannot write itself; secrets in clear, for the child."""
    if isinstance(value, (pydantic.SecretStr, pydantic.SecretBytes)):
        return to_jsonable_python(value.get_secret_value())
    return to_jsonable_python(value)
