"""The lines that system tests lay do to packets what they say."""

from __future__ import annotations

import pytest

from tests.system.line_queue import BUSY_WIFI, MILLISECOND_NS, LineQueue, Way

PACKET = bytes(1250)  # 10,000 bits


def sent(queue: LineQueue, count: int, every_ms: float) -> tuple[list[float], list[int]]:
    """Milliseconds that each packet which came out was on its way, and which those were."""
    took, which = [], []
    for number in range(count):
        now_ns = round(number * every_ms * MILLISECOND_NS)
        while queue.due_ns is not None and queue.due_ns <= now_ns:
            took, which = noted(queue, queue.due_ns, every_ms, took, which)
        queue.push(number.to_bytes(4) + PACKET[4:], now_ns)
    while queue.due_ns is not None:
        took, which = noted(queue, queue.due_ns, every_ms, took, which)
    return took, which


def noted(
    queue: LineQueue, now_ns: int, every_ms: float, took: list[float], which: list[int]
) -> tuple[list[float], list[int]]:
    numbers = [int.from_bytes(packet[:4]) for packet in queue.pop(now_ns)]
    ages = [now_ns / MILLISECOND_NS - number * every_ms for number in numbers]
    return [*took, *ages], [*which, *numbers]


def test_a_packet_takes_the_delay_and_no_longer_than_the_jitter_allows() -> None:
    took, which = sent(LineQueue(BUSY_WIFI[0], 1), 3000, 40.0)
    assert all(1.0 <= one <= 30.0 for one in took)
    assert min(took) < 1.1
    assert max(took) > 20.0
    assert 8.0 < sum(took) / len(took) < 8.5
    assert len(which) / 3000 == pytest.approx(0.98, abs=0.01)


def test_no_packet_passes_another() -> None:
    took, which = sent(LineQueue(Way(1.0, 29.0), 2), 3000, 0.5)
    assert which == list(range(3000))
    assert max(took) <= 30.0


def test_a_line_sends_no_faster_than_its_rate_and_drops_what_would_wait_too_long() -> None:
    queue = LineQueue(Way(5.0, rate_mbps=1.0, queue_ms=100.0), 3)  # 10 ms a packet
    took, which = sent(queue, 200, 5.0)
    assert took[0] == 15.0
    assert max(took) <= 5.0 + 100.0 + 10.0
    assert queue.counts["overflowed"] == 200 - len(which) > 80


def test_a_cut_line_loses_what_is_on_its_way_and_what_comes_until_it_is_mended() -> None:
    queue = LineQueue(Way(10.0), 4)
    queue.push(PACKET, 0)
    queue.cut = True
    queue.push(PACKET, MILLISECOND_NS)
    assert queue.pop(20 * MILLISECOND_NS) == []
    queue.cut = False
    queue.push(PACKET, 30 * MILLISECOND_NS)
    assert queue.pop(39 * MILLISECOND_NS) == []
    assert queue.pop(40 * MILLISECOND_NS) == [PACKET]
    assert queue.counts == {"taken": 3, "cut": 2, "given": 1}


def test_the_same_seed_gives_the_same_luck() -> None:
    first, second = (sent(LineQueue(BUSY_WIFI[0], 5), 200, 10.0) for _ in range(2))
    assert first == second
    assert first != sent(LineQueue(BUSY_WIFI[0], 6), 200, 10.0)
