"""The process an isolated source is read in: ``python -P -m pipeline.sources.reader_process FD``.

It reads its settings and the node's clock offset as JSON from stdin and talks over the socket
FD. It lives for one opening of the source: a lost source ends it, and the supervisor starts a
fresh one. It dies with its parent: by the kernel's parent-death signal, which works even when
foreign code hangs, and by end of file on the socket, which works everywhere.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import signal
import socket
import sys
import threading

import msgspec
import pydantic
import structlog

from pipeline.core.clock import NodeClock
from pipeline.core.errors import ConfigError, FusewatchError, PluginError
from pipeline.sources.base import SOURCES, SourceSettings
from pipeline.sources.handover import Handover, Lost
from pipeline.sources.reader_loop import ReaderLoop
from pipeline.sources.reader_wire import send

PR_SET_PDEATHSIG = 1


class _Order(msgspec.Struct):
    settings: msgspec.Raw
    offset_ns: int


_ORDER_DECODER = msgspec.json.Decoder(_Order)


def main() -> None:
    """Read the order, then read the source until it is lost or the node says stop."""
    faulthandler.enable()
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the node, which tells us
    configure_log()
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.setblocking(True)
    order = _ORDER_DECODER.decode(sys.stdin.buffer.read())
    try:
        settings = load_settings(bytes(order.settings))
    except FusewatchError as error:
        send(sock, Lost(str(error)))
        return
    _read(settings, NodeClock(order.offset_ns), sock)


def configure_log() -> None:
    """Log one JSON object a line to stderr, which the node reads and logs as its own."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )


def load_settings(data: bytes) -> SourceSettings:
    """Settings from JSON, of whatever kind their ``type`` names.

    Raises:
        PluginError: There is no such kind here.
        DependencyMissing: The kind needs a package that is not installed here.
        ConfigError: The settings do not fit the kind.
    """
    kind = str(json.loads(data)["type"])
    try:
        settings = SOURCES.settings(kind).model_validate_json(data)
    except pydantic.ValidationError as error:
        raise ConfigError(f"settings of {kind!r} do not read back: {error.error_count()}") from None
    if not isinstance(settings, SourceSettings):
        raise PluginError(f"{kind!r} is not a source")
    return settings


def die_with_parent() -> None:
    """Let the kernel kill this process when the thread that started it ends (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _read(settings: SourceSettings, clock: NodeClock, sock: socket.socket) -> None:
    handover = Handover(waits=settings.waits_for_taker())
    loop = ReaderLoop(settings, clock, handover)
    signal.signal(signal.SIGTERM, lambda *_: loop.stop())
    threading.Thread(target=_obey, args=(sock, loop), daemon=True).start()
    writer = threading.Thread(target=_write, args=(handover, sock), daemon=True)
    writer.start()
    loop.run()
    writer.join()  # however slow the node is; when it is gone, sending fails
    os._exit(0)  # without the libraries' exit hooks: with a lost device these can hang


def _obey(sock: socket.socket, loop: ReaderLoop) -> None:
    """Stop when the node says so; end at once when the node is gone."""
    try:
        word = sock.recv(1)
    except OSError:
        word = b""
    if not word:
        os._exit(0)
    loop.stop()


def _write(handover: Handover, sock: socket.socket) -> None:
    """Send what the reader hands over until it is finished or the node is gone."""
    try:
        while not handover.finished:
            if (message := handover.take(timeout_s=1.0)) is not None:
                send(sock, message)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        os._exit(0)


if __name__ == "__main__":
    main()
