"""Logging: events with fields, readable on a terminal, JSON lines everywhere else.

A line that can repeat says so by a field: ``log.warning("camera lost", stream=s, every_s=30)``
is written at most once in 30 s per event and stream (node, sink, ...), and the next line that
is written says how many were left out (``suppressed``). The field works without importing
anything; it is taken out here.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, TextIO

import structlog

from pipeline.core.redact import redact_url

LEVELS = ("debug", "info", "warning", "error")
FORMAT = "FUSEWATCH_LOG_FORMAT"
LEVEL = "FUSEWATCH_LOG_LEVEL"
EVERY = "every_s"
_SECRET_KEYS = frozenset(
    {"password", "passwd", "token", "secret", "secret_key", "authorization", "api_key", "hmac_key"}
)
_WHO = ("node", "logger", "stream", "source", "scene", "sink", "peer", "topic", "file", "device")
_SHORTEST_SECRET = 4

EventDict = MutableMapping[str, Any]


def configure_logs(
    node: str,
    *,
    level: str | None = None,
    json: bool | None = None,
    secrets: Iterable[str] = (),
    file: TextIO | None = None,
) -> None:
    """Set up logging of this process, structlog's and the standard library's.

    Args:
        node: Bound to every line.
        level: One of `LEVELS`; None: ``FUSEWATCH_LOG_LEVEL``, or info.
        json: JSON lines, or text for people; None: ``FUSEWATCH_LOG_FORMAT`` (json, text), or
            JSON unless `file` is a terminal.
        secrets: Values that never appear in a line.
        file: Where lines go; None: stderr.
    """
    out = file or sys.stderr
    number = logging.getLevelNamesMapping()[(level or os.environ.get(LEVEL) or "info").upper()]
    as_json = _wants_json(out) if json is None else json
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _bound_to(node),
        RateLimit(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([structlog.processors.format_exc_info] if as_json else []),
        Redact(secrets),
    ]
    renderer = _renderer(as_json, out)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    _configure_standard_library(out, shared, renderer, max(number, logging.WARNING))


class RateLimit:
    """Drops lines that carry ``every_s`` and came too soon after the same one.

    Args:
        now_s: Monotonic seconds.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self._last: dict[tuple[str, ...], float] = {}
        self._left_out: dict[tuple[str, ...], int] = {}

    def __call__(self, logger: object, method: str, event: EventDict) -> EventDict:
        """Let the line pass, with a count of those left out, or drop it."""
        every_s = event.pop(EVERY, None)
        if every_s is None:
            return event
        key = (str(event.get("event")), *(str(event.get(name, "")) for name in _WHO))
        now_s = self._now_s()
        with self._lock:
            last_s = self._last.get(key)
            if last_s is not None and now_s - last_s < every_s:
                self._left_out[key] = self._left_out.get(key, 0) + 1
                raise structlog.DropEvent
            self._last[key] = now_s
            suppressed = self._left_out.pop(key, 0)
        if suppressed:
            event["suppressed"] = suppressed
        return event


class Redact:
    """Takes credentials in URLs, values of secret keys and known secrets out of a line.

    Args:
        secrets: Known secret values; shorter ones than 4 characters are not looked for.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        long_enough = {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}
        self._secrets = sorted(long_enough, key=len, reverse=True)

    def __call__(self, logger: object, method: str, event: EventDict) -> EventDict:
        """The line without secrets."""
        for key, value in event.items():
            event[key] = "***" if key.lower() in _SECRET_KEYS and value else self.clean(value)
        return event

    def clean(self, value: Any) -> Any:  # noqa: ANN401 - a log field may be anything
        """A value without secrets; containers are cleaned through."""
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, "***")
            return redact_url(value)
        if isinstance(value, Mapping):
            return {key: self.clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.clean(item) for item in value]
        if isinstance(value, BaseException):
            return self.clean(str(value) or type(value).__name__)
        return value


def _wants_json(out: TextIO) -> bool:
    wanted = os.environ.get(FORMAT, "")
    return wanted == "json" if wanted in ("json", "text") else not out.isatty()


def _bound_to(node: str) -> Callable[[object, str, EventDict], EventDict]:
    def bind(_logger: object, _method: str, event: EventDict) -> EventDict:
        event.setdefault("node", node)
        return event

    return bind


def _renderer(as_json: bool, out: TextIO) -> Any:  # noqa: ANN401 - structlog's processors
    if as_json:
        return structlog.processors.JSONRenderer(sort_keys=False, default=str)
    return structlog.dev.ConsoleRenderer(
        colors=out.isatty() and "NO_COLOR" not in os.environ,
        exception_formatter=structlog.dev.plain_traceback,
    )


def _configure_standard_library(out: TextIO, shared: list[Any], renderer: Any, level: int) -> None:  # noqa: ANN401
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
