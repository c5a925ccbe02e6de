from __future__ import annotations

import socket
import struct
import threading
import time

import pytest

from pipeline.core.clock import NodeClock
from pipeline.transport.clock_probe import ClockSync
from pipeline.transport.clock_responder import ClockResponder
from tests.waiting import wait_until

pytestmark = pytest.mark.system


class CountingClock(NodeClock):
    """Counts how often it is read, which is with every probe answered."""

    count = 0
    is_of_this_machine = True

    def now_ns(self) -> int:
        self.count += 1
        return super().now_ns()


@pytest.fixture
def responder():
    found = ClockResponder("127.0.0.1", 0, NodeClock(5_000_000_000))
    yield found
    found.close()


def estimate_of(sync: ClockSync, timeout_s: float = 20.0):
    deadline, gate = time.monotonic() + timeout_s, threading.Event()
    while (found := sync.estimate()) is None and time.monotonic() < deadline:
        gate.wait(0.001)
    return found


def test_the_offset_of_two_clocks_is_found_within_its_bound(responder: ClockResponder) -> None:
    sync = ClockSync(f"tcp://127.0.0.1:{responder.port}", NodeClock(2_000_000_000))
    first = estimate_of(sync)
    assert abs(first.offset_ns - 3_000_000_000) <= first.uncertainty_ns
    gate = threading.Event()
    for _ in range(20):
        gate.wait(0.1)
        found = sync.estimate()
        assert abs(found.offset_ns - 3_000_000_000) <= found.uncertainty_ns < 50_000_000
    assert found.source == "udp"
    assert not sync.forgotten
    sync.close()


def test_processes_of_one_machine_with_one_clock_know_that_it_is_the_same(
    responder: ClockResponder,
) -> None:
    sync = ClockSync(f"tcp://127.0.0.1:{responder.port}", NodeClock(5_000_000_000))
    found = estimate_of(sync)
    assert (found.offset_ns, found.uncertainty_ns, found.source) == (0, 0, "same")
    sync.close()


def test_a_receiver_that_comes_back_with_another_time_is_followed_at_once() -> None:
    first = ClockResponder("127.0.0.1", 0, NodeClock(5_000_000_000))
    sync = ClockSync(f"tcp://127.0.0.1:{first.port}", NodeClock(2_000_000_000))
    estimate_of(sync)
    first.close()
    second = ClockResponder("127.0.0.1", first.port, NodeClock(5_001_000_000))
    wait_until(lambda: sync.forgotten)
    found = sync.estimate()
    assert abs(found.offset_ns - 3_001_000_000) <= found.uncertainty_ns < 50_000_000
    assert sync.forgotten == {"restart": 1}
    sync.close()
    second.close()


def test_a_receiver_that_comes_back_with_its_old_time_is_no_news() -> None:
    first = ClockResponder("127.0.0.1", 0, NodeClock(5_000_000_000))
    sync = ClockSync(f"tcp://127.0.0.1:{first.port}", NodeClock(2_000_000_000))
    estimate_of(sync)
    first.close()
    clock = CountingClock(5_000_000_000)
    second = ClockResponder("127.0.0.1", first.port, clock)
    before = clock.count
    wait_until(lambda: clock.count > before + 100)
    assert not sync.forgotten
    sync.close()
    second.close()


def test_after_a_sleep_the_offset_is_asked_for_again(
    responder: ClockResponder,
) -> None:
    slept = [0]
    clock = NodeClock(2_000_000_000)
    sync = ClockSync(f"tcp://127.0.0.1:{responder.port}", clock, lambda: slept[0])
    estimate_of(sync)
    slept[0] = 300_000_000_000
    wait_until(lambda: sync.forgotten)
    wait_until(lambda: sync.estimate().uncertainty_ns < 50_000_000)
    assert sync.forgotten == {"suspend": 1}
    sync.close()


def test_the_responder_answers_probes_only_and_never_with_more(responder: ClockResponder) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.settimeout(10)
        stranger.connect(("127.0.0.1", responder.port))
        probe = struct.pack("<8sQqqq", b"FWCLKAS2", 7, 1, 0, 0)
        for junk in (b"", b"x", probe[:-1], probe + b"x", b"FWCLKAN2" + probe[8:], bytes(9_000)):
            stranger.send(junk)
        stranger.send(probe)
        answer = stranger.recv(10_000)
        assert len(answer) == len(probe)
        assert struct.unpack("<8sQqqq", answer)[:2] == (b"FWCLKAN2", 7)
        assert responder.refused == 6


def test_answers_that_were_not_asked_for_are_ignored() -> None:
    clock = NodeClock(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
        liar.bind(("127.0.0.1", 0))
        liar.settimeout(20)
        sync = ClockSync(f"tcp://127.0.0.1:{liar.getsockname()[1]}", clock)
        for _ in range(5):
            probe, address = liar.recvfrom(100)
            _, number, asked, _, _ = struct.unpack("<8sQqqq", probe)
            liar.sendto(
                struct.pack("<8sQqqq", b"FWCLKAN2", number ^ 1, asked, asked, asked), address
            )
            liar.sendto(b"FWCLKAN2", address)
        assert sync.estimate() is None
        sync.close()


def test_a_receiver_that_is_down_is_asked_again() -> None:
    first = ClockResponder("127.0.0.1", 0, NodeClock(0))
    port = first.port
    first.close()
    sync = ClockSync(f"tcp://127.0.0.1:{port}", NodeClock(0))
    threading.Event().wait(0.2)
    assert sync.estimate() is None
    second = ClockResponder("127.0.0.1", port, NodeClock(0))
    assert estimate_of(sync) is not None
    sync.close()
    second.close()
