"""Keeps one source going: opens it, listens to it, replaces it when it is lost or hangs.

One thread, the supervisor, talks to the outlet and never to the device. The device is read
by a reader of its own, in a thread, or for kinds that can hang in foreign code in a process
that can be killed (`pipeline.sources.reader_link`). A reader lives for one opening; what it
says last decides what follows: *ended* ends the runner, anything else opens the source again
after a backoff. Epochs of samples never repeat: each reopening begins one above the highest
seen.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

import structlog

from pipeline.core.clock import Clock
from pipeline.core.errors import FusewatchError
from pipeline.core.sample import StreamInfo
from pipeline.sources.base import SourceSettings
from pipeline.sources.handover import (
    Alive,
    Announced,
    Batch,
    Ended,
    Lost,
    Message,
    Opened,
    Rejected,
)
from pipeline.sources.reader_link import ReaderLink, connect
from pipeline.sources.supervision import (
    SECOND_NS,
    Backoff,
    Limits,
    Outlet,
    SourceState,
    SourceStatus,
    Watch,
)

__all__ = ["Limits", "Outlet", "SourceRunner", "SourceState", "SourceStatus"]

log = structlog.get_logger(__name__)

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a reader must be replaced.

    Attributes:
        reason: In words, without secrets.
        stalled: Whether it was silent or hung, rather than lost.
    """

    reason: str
    stalled: bool = False


class SourceRunner:
    """Runs one source until it ends or is stopped.

    Args:
        name: Name of the source in status and logs.
        settings: Its settings; their kind says whether it is read in a thread or a process.
        clock: Node time, also for backoff and stall limits.
        outlet: Who takes what it gives; called from one thread only.
        limits: How patient to be.
    """

    def __init__(
        self,
        name: str,
        settings: SourceSettings,
        clock: Clock,
        outlet: Outlet,
        *,
        limits: Limits | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._outlet = outlet
        self._limits = limits or Limits()
        self._backoff = Backoff(self._limits.first_backoff_s, self._limits.last_backoff_s)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"source {name}", daemon=True)
        self._infos: tuple[StreamInfo, ...] | None = None
        self._epoch_base = 0
        self._openings = 0
        self._late = 0  # openings in a row that took too long
        self._status = SourceStatus(name, settings.type, SourceState.OPENING, clock.now_ns())

    @property
    def status(self) -> SourceStatus:
        """How the source fares now; may be read from any thread."""
        return self._status

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Let the reader hand over its last samples, then end it.

        Returns:
            False when the outlet still blocks after `timeout_s`.
        """
        self._stopping.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            fault = self._live_once()
            if self._stopping.is_set():
                break
            if fault is None:
                self._report(SourceState.ENDED)
                self._outlet.ended()
                return
            self._back_off(fault)
        self._report(SourceState.STOPPED)

    def _live_once(self) -> Fault | None:
        """One life of a reader. Why it must be replaced; None when it need not be."""
        watch = self._watch()
        try:
            link = connect(self._settings, self._clock, self._status.name)
        except FusewatchError as error:
            return Fault(str(error))
        self._report(SourceState.OPENING, pid=link.pid)
        try:
            fault = self._follow(link, watch)
            if fault is None and self._stopping.is_set():
                self._drain(link, watch)
            return fault
        finally:
            link.kill()
            if watch.was_healthy(self._clock.now_ns()):
                self._backoff.begin_anew()

    def _follow(self, link: ReaderLink, watch: Watch) -> Fault | None:
        """Listen until the source ends (None), must be replaced (why), or we stop (None)."""
        while not self._stopping.is_set():
            try:
                message = link.take(POLL_S)
            except FusewatchError as error:
                return Fault(str(error))
            match message:
                case Ended():
                    return None
                case Lost(reason):
                    return Fault(reason)
                case None if link.finished:
                    return Fault(link.epitaph())
                case None:
                    pass
                case _:
                    self._pass_on(message, watch)
            if broken := watch.fault(self._clock.now_ns()):
                self._late = 0 if watch.is_open else self._late + 1
                return Fault(broken, stalled=True)
        return None

    def _pass_on(self, message: Message, watch: Watch) -> None:
        """Tell the outlet, then note the time: a slow outlet is not the reader's silence."""
        match message:
            case Opened(infos):
                self._late = 0
                self._on_opened(infos)
                watch.opened(self._clock.now_ns())
            case Announced(infos):
                self._tell(infos)
                watch.sign(self._clock.now_ns())
            case Batch(samples):
                for sample in samples:
                    sample.epoch += self._epoch_base
                self._note_epoch(max(s.epoch for s in samples))
                self._outlet.samples(samples)
                watch.sample(self._clock.now_ns())
            case Rejected(stream, reason, detail, count):
                for _ in range(count):
                    self._outlet.rejected(stream, reason, detail)
                watch.sign(self._clock.now_ns())
            case Alive():
                watch.sign(self._clock.now_ns())

    def _on_opened(self, infos: tuple[StreamInfo, ...]) -> None:
        self._epoch_base = self._status.epoch + 1 if self._openings else 0
        self._openings += 1
        self._note_epoch(self._epoch_base)
        self._tell(infos)
        self._report(SourceState.RUNNING, pid=self._status.pid)

    def _tell(self, infos: tuple[StreamInfo, ...]) -> None:
        if infos != self._infos:
            self._infos = infos
            self._outlet.opened(infos)

    def _note_epoch(self, epoch: int) -> None:
        if epoch > self._status.epoch:
            self._status = replace(self._status, epoch=epoch)

    def _drain(self, link: ReaderLink, watch: Watch) -> None:
        """Give the reader a moment to hand over what it already has."""
        link.ask_to_stop()
        until = time.monotonic() + self._limits.drain_s
        while not link.finished and time.monotonic() < until:
            try:
                message = link.take(POLL_S)
            except FusewatchError:
                return
            if message is not None and not isinstance(message, Opened | Ended | Lost):
                self._pass_on(message, watch)

    def _back_off(self, fault: Fault) -> None:
        wait_s = self._backoff.next_s()
        self._status = replace(
            self._status,
            restarts=self._status.restarts + 1,
            stalls=self._status.stalls + fault.stalled,
            last_error=fault.reason,
        )
        due_ns = self._clock.now_ns() + int(wait_s * SECOND_NS)
        self._report(SourceState.WAITING)
        log.warning(
            "source lost, opening it again",
            source=self._status.name,
            streams=self._settings.stream_names(),
            reason=fault.reason,
            retry_s=round(wait_s, 2),
            restarts=self._status.restarts,
        )
        while self._clock.now_ns() < due_ns and not self._stopping.wait(POLL_S):
            pass

    def _report(self, state: SourceState, pid: int | None = None) -> None:
        self._status = replace(self._status, state=state, since_ns=self._clock.now_ns(), pid=pid)
        self._outlet.status(self._status)

    def _watch(self) -> Watch:
        own = self._settings.stall_s
        return Watch(
            limits=self._limits,
            stall_s=self._settings.default_stall_s if own is None else own,
            hang_s=self._limits.hang_s if own is None else own,
            begun_ns=self._clock.now_ns(),
            late=self._late,
        )
