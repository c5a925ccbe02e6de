"""Answers clock probes over UDP, beside the receiver.

A probe is 40 bytes: magic, a random number, and room. The answer has the same size and
carries the two times of this side, and which timeline they are of; nobody can use the
responder to make much out of little. It answers nothing that is not a probe, and keeps nothing.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import struct
import threading
from pathlib import Path

import structlog

from pipeline.core.clock import Clock, NodeClock
from pipeline.core.errors import TransportError
from pipeline.transport.arrival_stamps import ArrivalStamps, ask_for_stamps, receive

log = structlog.get_logger(__name__)

PROBE = struct.Struct("<8sQqqq")
MAGIC_ASK = b"FWCLKAS2"
MAGIC_ANSWER = b"FWCLKAN2"
_WAIT_S = 0.2
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ClockResponder:
    """Answers probes from a thread of its own.

    Args:
        host: Address to listen on; empty: every address.
        port: UDP port; 0: any free one.
        clock: Site time.

    Raises:
        TransportError: The port is taken.
    """

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        self._clock = clock
        self._timeline = timeline_of(clock)
        self._stamps = ArrivalStamps(clock)
        self._socket = _listening(host, port)
        self.port: int = self._socket.getsockname()[1]
        self.refused = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock-responder", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._closing.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                data, stamp_ns, address = receive(self._socket, PROBE.size + 1)
            except OSError:  # nothing came, or an ICMP error of an earlier answer
                continue
            received = self._stamps.arrival_ns(stamp_ns)
            if len(data) != PROBE.size or data[:8] != MAGIC_ASK:
                self.refused += 1
                continue
            number = PROBE.unpack(data)[1]
            now_ns = self._clock.now_ns()
            answer = PROBE.pack(MAGIC_ANSWER, number, self._timeline, received, now_ns)
            try:
                self._socket.sendto(answer, address)
            except OSError as error:
                log.debug("clock probe not answered", error=error.strerror)


def timeline_of(clock: Clock) -> int:
    """A number of 63 bits that two clocks share only if they always show the same.

    Clocks of one boot of one machine are the same when they have the same offset to it. Of
    other clocks nothing is known, and each time is another number.
    """
    if isinstance(clock, NodeClock) and clock.is_of_this_machine:
        try:
            boot = _BOOT_ID.read_bytes()
        except OSError:
            return secrets.randbits(63)
        found = hashlib.blake2b(boot + str(clock.offset_ns).encode(), digest_size=8).digest()
        return int.from_bytes(found, "little") >> 1
    return secrets.randbits(63)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host or not host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_DGRAM)
    if not host:
        found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise TransportError(
            f"cannot answer clock probes: {error.strerror}", where=f"udp {host}:{port}"
        ) from error
    ask_for_stamps(found)
    found.settimeout(_WAIT_S)
    return found
