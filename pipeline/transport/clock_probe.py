"""Asks the other side for its time over UDP, beside the sender; see `clock_responder`.

The prober believes only answers to its own random number from the address it asked. Probes go
in pairs: the first finds both processes asleep and their caches cold, which takes longer on one
side than on the other; the second tells the time. The first `FAST_PROBES` pairs follow at once,
so that there is an estimate within 100 ms; then one every `INTERVAL_S`. When UDP gives nothing
for `FALLBACK_NS`, the exchanges that ride on the link's heartbeats count instead, and the
address is looked up again.

What was heard is forgotten, counted in `ClockSync.forgotten`, and asked for fast again

* when a clock stepped, or may have (`clock_sync`);
* when the answers come from another timeline: the receiver was started anew, and has another
  offset to UTC (one that its parent starts again goes on with the same);
* when this machine slept: its time went on, but by a clock that is less exact.

Until the next answer the last estimate holds, with a bound wider by `DOUBT_NS`; a step is not
known before it, and a receiver that comes back hours off lies outside until then. Where both
sides have the same timeline (processes of one deployment on one machine) the offset is 0 and
known to be; the source is ``same`` then.
"""

from __future__ import annotations

import secrets
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

import structlog

from pipeline.core.clock import SLEPT_NS, Clock, slept_ns
from pipeline.transport.arrival_stamps import ArrivalStamps, ask_for_stamps, receive
from pipeline.transport.clock_responder import MAGIC_ANSWER, MAGIC_ASK, PROBE, timeline_of
from pipeline.transport.clock_sync import DOUBT_NS, ClockEstimate, ClockEstimator, Why
from pipeline.transport.held_offset import HeldOffset
from pipeline.transport.protocol import ClockAnswer

log = structlog.get_logger(__name__)

FAST_PROBES = 8
FAST_S = 0.008
INTERVAL_S = 0.125
PAIR = 2
FALLBACK_NS = 10_000_000_000


class ClockSync:
    """Keeps an estimate of the clock offset to a receiver, from a thread of its own.

    Args:
        endpoint: Address of the receiver's link; probes go to the same port on UDP. An
            address without a port (ipc) is asked over the link alone.
        clock: Node time.
        slept_ns: How long the machine was suspended so far.
    """

    def __init__(self, endpoint: str, clock: Clock, slept_ns: Callable[[], int] = slept_ns) -> None:
        self._clock = clock
        self._slept_ns = slept_ns
        self._slept_before_ns = slept_ns()
        self._lock = threading.Lock()
        self._udp = ClockEstimator("udp")
        self._link = ClockEstimator("zmq")
        self._forgotten: Counter[Why] = Counter()
        self._estimate: ClockEstimate | None = None
        self._held = HeldOffset()
        self._heard = 0
        self._timeline = timeline_of(clock)
        self._others: int | None = None
        self._closing = threading.Event()
        self._look_up = threading.Event()
        self._target = probe_target(endpoint)
        self._stamps = ArrivalStamps(clock)
        self._open: dict[int, int] = {}
        self._fast = FAST_PROBES
        self._thread = threading.Thread(target=self._run, name="clock-sync", daemon=True)
        if self._target is not None:
            self._thread.start()

    def estimate(self) -> ClockEstimate | None:
        """The offset now; None before the first exchange."""
        with self._lock:
            self._look_for_sleep()
            found = self._estimate
        return found.at(self._clock.now_ns()) if found else None

    def held(self) -> ClockEstimate | None:
        """The offset to stamp by now, which does not jump, see `HeldOffset`."""
        with self._lock:
            self._look_for_sleep()
            if self._estimate is None:
                return None
            steps = self._held.steps
            found = self._held.follow(self._estimate.at(self._clock.now_ns()))
            if self._held.steps > steps:
                log.warning("stamps follow another clock now", offset_s=found.offset_ns / 1e9)
            return found

    @property
    def settled(self) -> bool:
        """Whether enough was heard that the estimate will not be bettered by much."""
        with self._lock:
            return self._heard >= FAST_PROBES

    @property
    def forgotten(self) -> Counter[Why]:
        """How often what was known of the offset was forgotten, by reason."""
        with self._lock:
            return self._forgotten.copy()

    def add_link_exchange(self, answer: ClockAnswer, heard_ns: int) -> None:
        """An exchange that came over the link; used when UDP does not pass."""
        with self._lock:
            self._look_for_sleep()
            before = self._link.forgotten.copy()
            self._link.add(answer.asked_ns, answer.received_ns, answer.answered_ns, heard_ns)
            self._tell(self._link, before)
            if self._is_silent(heard_ns):
                self._estimate = self._link.estimate()

    def restart(self) -> None:
        """The receiver is another process now, and may have another clock or be elsewhere."""
        with self._lock:
            before = self._link.forgotten.copy()
            self._link.forget("restart")
            if self._is_silent(self._clock.now_ns()):  # else its answers tell whether it moved
                self._tell(self._link, before)
            self._doubt()
        self._look_up.set()

    def move(self, endpoint: str) -> None:
        """The receiver is elsewhere now, and by another clock."""
        began = self._target is not None
        self._target = probe_target(endpoint)
        if began:
            self.restart()
        elif self._target is not None:
            self._thread.start()

    def close(self) -> None:
        """Stop asking."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                with self._connected() as udp:
                    self._probe(udp)
            except OSError as error:  # no route, no such host: try again later
                log.debug("no clock probes", error=error.strerror)
                self._closing.wait(1.0)

    def _connected(self) -> socket.socket:
        host, port = self._target or ("", 0)
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[
            0
        ]
        udp = socket.socket(family, kind, protocol)
        try:
            udp.connect(address)
            udp.setblocking(False)
            ask_for_stamps(udp)
        except OSError:
            udp.close()
            raise
        return udp

    def _probe(self, udp: socket.socket) -> None:
        """Ask and hear until the address is to be looked up again."""
        self._look_up.clear()
        self._open.clear()
        begun_ns = self._clock.now_ns()
        while not self._closing.is_set() and not self._look_up.is_set():
            for _ in range(PAIR):
                self._ask(udp)
            self._fast = max(0, self._fast - 1)
            now_ns = self._clock.now_ns()
            until_ns = now_ns + int((FAST_S if self._fast else INTERVAL_S) * 1e9)
            while (left_ns := until_ns - self._clock.now_ns()) > 0 and not self._closing.is_set():
                ready, _, _ = select.select([udp], [], [], left_ns / 1e9)
                if ready:
                    self._hear(udp)
                    if self._fast:
                        until_ns = min(until_ns, self._clock.now_ns() + int(FAST_S * 1e9))
            if now_ns - max(begun_ns, self._udp.newest_ns or 0) > FALLBACK_NS:
                return

    def _ask(self, udp: socket.socket) -> None:
        while len(self._open) > 2 * PAIR * FAST_PROBES:
            self._open.pop(next(iter(self._open)))
        number = secrets.randbits(64)
        probe = PROBE.pack(MAGIC_ASK, number, 0, 0, 0)
        asked = self._clock.now_ns()
        with suppress(ConnectionRefusedError):  # tells that the probe before found nobody
            udp.send(probe)
        self._open[number] = asked

    def _hear(self, udp: socket.socket) -> None:
        try:
            data, stamp_ns, _ = receive(udp, PROBE.size + 1)
        except (BlockingIOError, ConnectionRefusedError):
            return
        heard_ns = self._stamps.arrival_ns(stamp_ns)
        if len(data) != PROBE.size or data[:8] != MAGIC_ANSWER:
            return
        _, number, timeline, received, answered = PROBE.unpack(data)
        asked = self._open.pop(number, None)
        if asked is not None:
            self._take((asked, received, answered, heard_ns), timeline)

    def _take(self, times: tuple[int, int, int, int], timeline: int) -> None:
        asked, received, answered, heard = times
        with self._lock:
            self._look_for_sleep()
            before = self._udp.forgotten.copy()
            if self._others not in (None, timeline):
                self._udp.forget("restart")
            self._others = timeline
            self._heard += self._udp.add(*times)
            self._tell(self._udp, before)
            if timeline == self._timeline and asked <= received <= answered <= heard:
                self._estimate = ClockEstimate(0, 0, 0.0, 0.0, heard, "same")
            else:
                self._estimate = self._udp.estimate()

    def _look_for_sleep(self) -> None:
        slept_ns = self._slept_ns()
        if slept_ns - self._slept_before_ns <= SLEPT_NS:
            return
        log.info("this machine slept", for_s=(slept_ns - self._slept_before_ns) / 1e9)
        self._slept_before_ns = slept_ns
        self._forgotten["suspend"] += 1
        self._udp.forget("suspend")
        self._link.forget("suspend")
        self._doubt()

    def _doubt(self) -> None:
        self._fast = FAST_PROBES
        if self._estimate is not None:
            self._estimate = self._estimate.doubted(DOUBT_NS)

    def _tell(self, estimator: ClockEstimator, before: Counter[Why]) -> None:
        """Count and say what was forgotten since, and ask fast for a while."""
        for why in estimator.forgotten - before:
            self._forgotten[why] += 1
            self._fast = FAST_PROBES
            log.info("clock offset found anew", reason=why, every_s=10)

    def _is_silent(self, now_ns: int) -> bool:
        """Whether UDP does not pass."""
        newest_ns = self._udp.newest_ns
        return newest_ns is None or now_ns - newest_ns > FALLBACK_NS


def probe_target(endpoint: str) -> tuple[str, int] | None:
    """Host and UDP port of a ``tcp://`` address; None for any other."""
    if not endpoint.startswith("tcp://"):
        return None
    parts = urlsplit(endpoint)
    return (parts.hostname, parts.port) if parts.hostname and parts.port else None
