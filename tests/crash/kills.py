"""Where a fusion node can be killed, named in one place and put around it from outside.

There is a point before every call that the turn makes to its parts, and before every statement
and commit of the store. What follows a step is the point before the next, as nothing but steps
leaves a trace. A run counts the points that it passes; one that is given numbers of points is
killed there.

=====================  =======================================================================
``receiver.poll``      take what arrived
``recorder.write``     record one arrival
``engine.take``        take one arrival
``engine.advance``     run the timers
``engine.collect``     score, alarm, and what is to be committed
``recorder.event``     record one event
``evidence.sealed``    take what is to be committed of evidence that is whole
``evidence.settle``    wait for the files that events name
``recorder.flush``     what is committed must be recorded before
``store.commit``       the transaction, and within it:
``sql NAME``           one statement
``sql COMMIT``         the database commits
``evidence.put_away``  note that it is committed
``receiver.ack``       ack one node's samples
``events.poll``        hear what the alert node has
``store.forwarded``    note it
``events.send``        hand one event on
``store.checkpoint``   one scene, at the start; ``store.phases``, ``store.resume_points`` likewise
=====================  =======================================================================
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine as SqlEngine
from sqlalchemy import event

WATCHED = {
    "receiver": ("poll", "ack"),
    "recorder": ("write", "event", "flush"),
    "engine": ("take", "advance", "collect"),
    "evidence": ("sealed", "settle", "put_away"),
    "store": ("commit", "forwarded", "checkpoint", "phases", "resume_points"),
    "events": ("send", "poll"),
}


class Killed(BaseException):
    """The process is gone; nobody catches it but the test."""


def end_life() -> None:
    """Die in this process: all that was in memory is forgotten, what is on disk stays."""
    raise Killed


def end_process() -> None:
    """Die as a process does that is sent SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


class Kills:
    """Counts the points that are passed, and kills at some.

    Args:
        at: Numbers of the points at which to kill.
        die: How.

    Attributes:
        passed: Names of all points passed, in order.
    """

    def __init__(self, at: Collection[int] = (), die: Callable[[], None] = end_life) -> None:
        self._at = frozenset(at)
        self._die = die
        self._inside: set[str] = set()
        self.passed: list[str] = []

    def point(self, name: str) -> None:
        """A place at which the process may be killed."""
        number = len(self.passed)
        self.passed.append(name)
        if number in self._at:
            self._inside.clear()
            self._die()

    def watch(self, kind: str, part: Any) -> Any:
        """The same object, with points before what the turn calls of it."""
        for method in WATCHED[kind]:
            setattr(part, method, self._around(f"{kind}.{method}", getattr(part, method)))
        return part

    def _around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        kind = name.partition(".")[0]

        @functools.wraps(call)
        def called(*given: Any, **named: Any) -> Any:
            if kind in self._inside:  # a part that calls itself is inside that step still
                return call(*given, **named)
            self.point(name)
            self._inside.add(kind)
            try:
                return call(*given, **named)
            finally:
                self._inside.discard(kind)

        return called

    @contextmanager
    def inside_transactions(self) -> Iterator[None]:
        """Points before each statement and each commit of any store."""

        def statement(_c: Any, _cursor: Any, text: str, *_rest: Any) -> None:
            self.point(f"sql {_verb(text)}")

        def commit(_connection: Any) -> None:
            self.point("sql COMMIT")

        hooks = (("before_cursor_execute", statement), ("commit", commit))
        for name, hook in hooks:
            event.listen(SqlEngine, name, hook)
        try:
            yield
        finally:
            for name, hook in hooks:
                event.remove(SqlEngine, name, hook)


def _verb(statement: str) -> str:
    words = statement.split()
    table = next((word for word in words if word.startswith("fus")), "")
    return f"{words[0]} {table}".strip()
