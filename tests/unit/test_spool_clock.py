from __future__ import annotations

from pathlib import Path

from pipeline.core.clock import ManualClock, NodeClock
from pipeline.transport.spool_clock import clock_base
from pipeline.transport.spool_format import ClockBase
from tests.spool_samples import SECOND_NS
from tests.spooling_bench import Bench

FIRST = ClockBase("boot-1", 1000 * SECOND_NS)
LATER = ClockBase("boot-1", 1007 * SECOND_NS)  # measured by another process, after a step
REBOOTED = ClockBase("boot-2", 1000 * SECOND_NS)


def offset_at(node_ns: int) -> tuple[int, int]:
    return 100, node_ns // SECOND_NS


def stamps(bench: Bench) -> list[tuple[int, int]]:
    """Stamps of all that is sent, and how unsure they are."""
    found = []
    while (item := bench.next(100)) is not None:
        for kept in item if isinstance(item, list) else ():
            found.append((kept.header.timestamp_ns, kept.header.uncertainty_ns))
    return found


def test_what_came_before_the_clock_offset_is_spooled_and_put_on_site_time_later(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, cells=20, base=FIRST)
    for _ in range(50):
        bench.give(placed=False)
        bench.turn(1.0)
    assert bench.account() == (50, 0, 50, {})
    assert bench.buffer.used <= 20 * 128 * 2
    assert bench.buffer.waits_for_clock
    bench.buffer.place(offset_at)
    assert not bench.buffer.waits_for_clock
    assert stamps(bench) == [(second * SECOND_NS + 100, second) for second in range(50)]


def left_behind(folder: Path, base: ClockBase | None) -> Bench:
    """What the next process has when ten samples in node time were left in the spool."""
    bench = Bench(folder, base=FIRST)
    bench.give(count=10, placed=False)
    bench.end()
    assert bench.account() == (10, 0, 10, {})
    again = Bench(folder, session="two", base=base)
    ((_, again.buffer),) = again.spooling.earlier
    assert again.buffer.waits_for_clock
    again.buffer.place(offset_at)
    return again


def test_another_process_of_the_same_boot_can_still_tell_when_it_was(tmp_path: Path) -> None:
    again = left_behind(tmp_path, LATER)
    assert stamps(again) == [(7 * SECOND_NS + 100, 7)] * 10
    assert again.account() == (10, 0, 10, {})


def test_after_a_boot_nobody_can_and_it_is_counted(tmp_path: Path) -> None:
    again = left_behind(tmp_path, REBOOTED)
    assert stamps(again) == []
    assert again.account() == (10, 0, 0, {"untimed": 10})


def test_without_a_clock_that_can_be_told_later_it_stays_in_memory(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.give(placed=False)
    bench.wait_long()
    assert bench.spool.segments == []
    bench.buffer.place(offset_at)
    bench.wait_long()
    assert bench.buffer.pending == 0
    assert stamps(bench) == [(100, 0)]


def test_only_the_clock_of_this_machine_counts_from_its_boot(tmp_path: Path) -> None:
    boot = tmp_path / "boot_id"
    clock = NodeClock(offset_ns=5)
    assert clock_base(clock, boot) is None
    boot.write_text("b\n")
    assert clock_base(clock, boot) == ClockBase("b", 5)
    assert clock_base(NodeClock(since_boot_ns=lambda: 0), boot) is None
    assert clock_base(ManualClock(), boot) is None
