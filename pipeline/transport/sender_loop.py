"""The thread that owns a sender's socket."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence

import structlog
import zmq
from zmq.utils.monitor import recv_monitor_message

from pipeline.core.clock import Clock
from pipeline.core.errors import ProtocolError, TransportError
from pipeline.transport.clock_probe import ClockSync
from pipeline.transport.full_line import frames_of
from pipeline.transport.link import (
    READABLE,
    WRITABLE,
    Context,
    Socket,
    can,
    connect,
    receive_frames,
    send_frames,
)
from pipeline.transport.protocol import Message, decode, encode
from pipeline.transport.sample_message import message_of, parts_of
from pipeline.transport.security import CurveClient
from pipeline.transport.sender_session import LinkState, SenderSession
from pipeline.transport.spooling import Spooling
from pipeline.transport.whereabouts import Whereabouts

log = structlog.get_logger(__name__)

_TICK_MS = 50
_GOODBYE_NS = 1_000_000_000
_GONE = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)


class SenderLoop:
    """Runs a `SenderSession` over a socket.

    Args:
        where: Address of the receiver, which may change; closed with the loop.
        curve: Keys, or None.
        clock: Node time.
        sessions: What to say, one after the other, the live one last; used under `changed`.
        changed: Lock of the session and its buffer; notified when either changed.
        sync: Told of clock exchanges over the link; or None.
        spooling: Told the time at every turn; or None.
        max_message: Largest message accepted, bytes.

    Raises:
        TransportError: The address is not one.
    """

    def __init__(
        self,
        where: Whereabouts,
        curve: CurveClient | None,
        clock: Clock,
        *,
        sessions: Sequence[SenderSession],
        changed: threading.Condition,
        sync: ClockSync | None,
        spooling: Spooling | None,
        max_message: int,
    ) -> None:
        self._where = where
        self._curve = curve
        self._clock = clock
        self._sessions = deque(sessions)
        self._changed = changed
        self._sync = sync
        self._spooling = spooling
        self._max_message = max_message
        self._context: Context = zmq.Context()
        self._socket: Socket | None = None
        self._monitor: Socket | None = None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Closed with the object, not with the thread: others may be about to write to it.
        weakref.finalize(self, os.close, self._wake).atexit = False
        self._poller = zmq.Poller()
        self._poller.register(self._wake, READABLE)
        self._asleep = False
        self._closing = threading.Event()
        self._goodbye_s, self._goodbye_ns = 0.0, 0
        self._receiver = ""
        try:
            self._connect()
        except TransportError:
            where.close()
            self._release()
            raise
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._thread.start()
        where.start(self._interrupt)

    @property
    def session(self) -> SenderSession:
        """The session whose turn it is."""
        return self._sessions[0]

    def wake(self) -> None:
        """There is something to send."""
        if self._asleep:
            self._asleep = False
            os.eventfd_write(self._wake, 1)

    def close(self, timeout_s: float) -> None:
        """Say goodbye, wait no longer than `timeout_s` for the answer, end the thread."""
        self._where.close()
        self._goodbye_s = timeout_s
        self._closing.set()
        self._interrupt()
        self._thread.join()

    def _interrupt(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._turn()
            self._say_goodbye()
        finally:
            self._release()

    def _turn(self) -> None:
        """Send what can be sent, then wait for whatever comes next."""
        now_ns = self._clock.now_ns()
        with self._changed:
            due = self.session.tick(now_ns)
            again = self.session.wants_reconnect and now_ns >= self.session.reconnect_at_ns
        if again:
            self._where.lost()
        rekeyed = self._curve is not None and self._curve.changed(self.session.news)
        if again or rekeyed or self._where.moved:
            self._disconnect()
            self._connect()
        for message in due:
            self._say(message)
        if len(self._sessions) > 1:
            self._finish_earlier(now_ns)
        self._place()
        if self._spooling is not None:
            self._spooling.turn(now_ns, self._changed)
        blocked = self._send_waiting()
        self._wait(blocked)

    def _finish_earlier(self, now_ns: int) -> None:
        """An earlier session all of which is acked says goodbye; then the next one opens."""
        said: Sequence[Message] = ()
        with self._changed:
            if self.session.finished:
                said, self._goodbye_ns = self.session.close(), now_ns
            state = self.session.state
        for message in said:
            self._say(message)
        late = state is LinkState.CLOSING and now_ns - self._goodbye_ns > _GOODBYE_NS
        if late or state is LinkState.CLOSED:
            self._disconnect()
            self._sessions.popleft()
            self._connect()

    def _place(self) -> None:
        """Put samples that came before the clock offset was known on site time."""
        with self._changed:
            waiting = [one for one in self._sessions if one.waits_for_clock]
        estimate = self._sync.held() if self._sync is not None and waiting else None
        if estimate is not None:
            with self._changed:
                for session in waiting:
                    session.place(estimate)

    def _send_waiting(self) -> bool:
        """Send until there is nothing to send or no room; whether the socket is full."""
        while self._socket is not None:
            if not can(self._socket, WRITABLE):
                return True
            with self._changed:
                item = self.session.next()
                if isinstance(item, list):
                    arena = self.session.arena if self.session.shared else None
                    parts, leases = parts_of(item, arena)
                self._asleep = item is None and self.session.drained
                if self._asleep:
                    self._changed.notify_all()
                hungry = self.session.hungry
            if isinstance(item, list):
                send_frames(self._socket, message_of(parts, leases))
            elif item is not None:
                send_frames(self._socket, frames_of(item))
            elif not (hungry and self._spooling is not None and self._spooling.prepare()):
                return False
        return False

    def _say(self, message: Message) -> None:
        """Say something that will be said again; not now if the socket is full."""
        if self._socket is not None and can(self._socket, WRITABLE):
            send_frames(self._socket, [encode(message)])

    def _wait(self, blocked: bool) -> None:
        if self._socket is not None:
            self._poller.register(self._socket, READABLE | (WRITABLE if blocked else 0))
        ready = dict(self._poller.poll(_TICK_MS))
        self._asleep = False
        if self._wake in ready:
            os.eventfd_read(self._wake)
        if self._monitor in ready:
            self._hear_monitor()
        if self._socket in ready and ready[self._socket] & READABLE:
            self._hear()

    def _hear(self) -> None:
        socket, readable = self._socket, True
        while socket is not None and readable:
            frames = receive_frames(socket)
            readable = can(socket, READABLE)
            now_ns = self._clock.now_ns()
            try:
                message = decode(frames[0].buffer)
            except ProtocolError as error:
                log.warning("malformed message", error=error.message)
                continue
            with self._changed:
                self.session.receive(message, now_ns)
                answers = self.session.clock_answers()
                receiver = self.session.receiver
                self._changed.notify_all()
            if self._sync is not None:
                if self._receiver and receiver != self._receiver:
                    self._sync.restart()
                for answer, heard_ns in answers:
                    self._sync.add_link_exchange(answer, heard_ns)
            self._receiver = receiver

    def _hear_monitor(self) -> None:
        while self._monitor is not None and can(self._monitor, READABLE):
            event = recv_monitor_message(self._monitor)["event"]
            if event & _GONE:
                with self._changed:
                    failed = event != zmq.EVENT_DISCONNECTED
                    if failed:
                        self.session.counters["handshake_failed"] += 1
                    now_ns = self._clock.now_ns()
                    self.session.lost(now_ns, 1_000_000_000 if failed else 0)

    def _connect(self) -> None:
        endpoint = self._where.address()
        if endpoint is None:
            return
        self._socket = connect(self._context, endpoint, self._curve, self._max_message)
        self._monitor = self._socket.get_monitor_socket(_GONE)
        self._poller.register(self._monitor, READABLE)
        with self._changed:
            said = self.session.open(self._clock.now_ns())
        for message in said:
            self._say(message)

    def _disconnect(self) -> None:
        for socket in (self._socket, self._monitor):
            if socket is not None and socket in self._poller:
                self._poller.unregister(socket)
        if self._socket is not None:
            self._socket.disable_monitor()
            self._socket.close(0)
        if self._monitor is not None:
            self._monitor.close(0)
        self._socket = self._monitor = None

    def _say_goodbye(self) -> None:
        with self._changed:
            said = self.session.close()
        for message in said:
            if self._socket is not None and self._socket.poll(int(self._goodbye_s * 1e3), WRITABLE):
                self._say(message)
        until = self._clock.now_ns() + int(self._goodbye_s * 1e9)
        while self.session.state is LinkState.CLOSING and self._clock.now_ns() < until:
            self._wait(blocked=False)

    def _release(self) -> None:
        self._disconnect()
        self._context.term()
