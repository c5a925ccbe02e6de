from __future__ import annotations

from pipeline.transport.backlog_pace import LEAST_BYTES, MOST_BYTES, TARGET_NS, BacklogPace
from pipeline.transport.kept import Kept

CREDIT = 32 << 20
BATCH = 16 << 10


class Line:
    """A line of so many bytes a second, with an endless backlog at one end."""

    def __init__(self, bytes_s: int) -> None:
        self.bytes_s = bytes_s
        self.pace = BacklogPace()
        self.pace.begin(CREDIT)
        self.sent_total = 0
        self._arrived = 0.0

    def take_behind(self, max_bytes: int, _max_samples: int) -> list[Kept]:
        self.sent_total += min(max_bytes, BATCH)
        return []

    def run(self, seconds: float, step_s: float = 0.01) -> None:
        """Let it carry; credit is told ten times a second."""
        for step in range(round(seconds / step_s)):
            self.pace.now_ns += round(step_s * 1e9)
            self._arrived = min(self.sent_total, self._arrived + step_s * self.bytes_s)
            if step % 10 == 0:
                self.pace.granted(CREDIT + int(self._arrived))
            left = CREDIT + int(self._arrived) - self.sent_total
            while self.pace.take(self, left, 100) is not None:
                pass

    def worst_wait_s(self) -> float:
        """Longest time that something new would wait behind backlog, within five seconds."""
        worst = 0.0
        for _ in range(500):
            self.run(0.01)
            worst = max(worst, self.sent_total - self._arrived)
        return worst / self.bytes_s


def test_over_any_line_what_is_new_waits_for_little_of_the_backlog() -> None:
    for bytes_s in (300_000, 1_000_000, 20_000_000):
        line = Line(bytes_s)
        line.run(20)
        assert line.worst_wait_s() <= 2 * TARGET_NS / 1e9


def test_when_a_line_becomes_thinner_less_is_sent() -> None:
    line = Line(20_000_000)
    line.run(20)
    line.bytes_s = 1_000_000
    line.run(20)
    assert line.worst_wait_s() <= 2 * TARGET_NS / 1e9


def test_a_line_that_has_nothing_else_to_do_is_used() -> None:
    for bytes_s in (300_000, 1_000_000, 20_000_000):
        line = Line(bytes_s)
        line.run(20)
        before = line.sent_total
        line.run(10)
        assert line.sent_total - before > 0.3 * 10 * bytes_s


def test_half_of_the_credit_is_for_what_is_new() -> None:
    line = Line(0)
    line.pace.window = MOST_BYTES
    assert line.pace.take(line, CREDIT // 2, 100) is None
    assert line.pace.take(line, CREDIT // 2 + 1, 100) is not None
    assert line.sent_total == 1


def test_a_new_connection_begins_a_new_round() -> None:
    line = Line(0)
    line.run(1)
    assert line.sent_total == LEAST_BYTES
    line.pace.begin(CREDIT)
    assert line.pace.take(line, CREDIT, 100) is not None
