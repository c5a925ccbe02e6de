from __future__ import annotations

import socket
import struct
import threading
import time

import numpy as np
import pytest

from pipeline.core.clock import NodeClock
from pipeline.transport.clock_probe import ClockResponder, ClockSync

pytestmark = pytest.mark.system


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
    started = time.monotonic()
    sync = ClockSync(f"tcp://127.0.0.1:{responder.port}", NodeClock(2_000_000_000))
    first = estimate_of(sync)
    print(f"first answer after {(time.monotonic() - started) * 1e3:.1f} ms")
    assert abs(first.offset_ns - 3_000_000_000) <= first.uncertainty_ns
    gate, errors = threading.Event(), []
    for _ in range(20):
        gate.wait(0.1)
        found = sync.estimate()
        errors.append(abs(found.offset_ns - 3_000_000_000))
        assert errors[-1] <= found.uncertainty_ns
    assert found.source == "udp"
    print(f"error p50 {np.median(errors) / 1e3:.1f} us, max {max(errors) / 1e3:.1f} us")
    assert np.median(errors) < 1_000_000
    sync.close()


def test_the_responder_answers_probes_only_and_never_with_more(responder: ClockResponder) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.settimeout(10)
        stranger.connect(("127.0.0.1", responder.port))
        probe = struct.pack("<8sQqqq", b"FWCLKAS1", 7, 1, 0, 0)
        for junk in (b"", b"x", probe[:-1], probe + b"x", b"FWCLKAN1" + probe[8:], bytes(9_000)):
            stranger.send(junk)
        stranger.send(probe)
        answer = stranger.recv(10_000)
        assert len(answer) == len(probe)
        assert struct.unpack("<8sQqqq", answer)[:3] == (b"FWCLKAN1", 7, 1)
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
                struct.pack("<8sQqqq", b"FWCLKAN1", number ^ 1, asked, asked, asked), address
            )
            liar.sendto(b"FWCLKAN1", address)
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
