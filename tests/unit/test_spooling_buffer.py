from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.ledger import DropReason
from pipeline.core.sample import Modality, StreamInfo
from pipeline.transport.kept import Described
from pipeline.transport.protocol import Resume
from pipeline.transport.spooling import RETRY_NS
from tests.spool_samples import SECOND_NS
from tests.spooling_bench import CELL, Bench, numbered


def test_a_sample_goes_to_the_disk_once_it_has_waited_and_not_before(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.give(count=10)
    bench.turn()
    bench.turn(4.9)
    assert bench.buffer.pending == 10
    assert bench.spool.segments == []
    bench.turn(0.1)
    assert bench.buffer.pending == bench.buffer.used == 0
    assert bench.buffer.left == 10
    assert bench.send() == ["a", *numbered(0, 10)]
    assert bench.account() == (10, 0, 10, {})


def test_an_outage_longer_than_memory_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    bench = Bench(tmp_path, cells=20, a="drop_oldest", b="drop_newest")
    for _ in range(50):
        bench.give("a", 2)
        bench.give("b")
        bench.turn(0.05)
    assert bench.buffer.used <= 20 * CELL
    expected = ["a", "b"]
    for number in range(50):
        expected += [("a", 2 * number), ("a", 2 * number + 1), ("b", number)]
    assert bench.send() == expected
    assert bench.account("a") == (100, 0, 100, {})
    assert bench.account("b") == (50, 0, 50, {})


def test_what_was_sent_and_waits_for_its_ack_is_copied_and_sent_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.give(count=10)
    assert bench.send() == ["a", *numbered(0, 10)]
    bench.wait_long()
    assert bench.spool.segments
    assert bench.buffer.pending == 10
    assert bench.send() == []
    bench.buffer.acked("a", 9)
    bench.turn()
    assert bench.spool.segments == []
    assert bench.account() == (10, 10, 0, {})


def test_what_memory_let_go_of_is_sent_again_from_the_disk(tmp_path: Path) -> None:
    bench = Bench(tmp_path, cells=10)
    bench.give(count=10)
    bench.send()
    bench.wait_long()
    bench.give(count=1)  # the oldest that was sent makes room
    bench.buffer.rewind({})
    assert bench.send() == ["a", *numbered(0, 11)]
    assert bench.account() == (11, 0, 11, {})


def test_after_a_broken_link_everything_follows_from_where_the_receiver_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.give(count=30)
    bench.wait_long()
    assert bench.send(most=11) == ["a", *numbered(0, 10)]
    bench.give(count=5)
    bench.buffer.rewind({"a": Resume(6, 4)})
    assert bench.send() == ["a", *numbered(6, 35)]
    assert bench.account() == (35, 4, 31, {})
    bench.buffer.acked("a", 34)
    assert bench.account() == (35, 35, 0, {})


def test_what_is_acked_leaves_the_disk_and_is_not_there_after_a_restart(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.give(count=100)
    bench.wait_long()
    bench.send()
    before = bench.spool.size
    bench.buffer.acked("a", 79)
    bench.turn(1.0)
    assert bench.spool.size < before / 3
    bench.end()
    again = Bench(tmp_path, session="two")
    assert again.account() == (20, 0, 20, {})


def test_a_changed_description_keeps_its_place_between_samples_on_the_disk(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.give(count=3)
    bench.buffer.describe(StreamInfo("a", Modality.SENSOR, None, (3,), "float64", "mm"))
    bench.give(count=3)
    bench.wait_long()
    sent = ["a", *numbered(0, 3), "a", *numbered(3, 6)]
    assert bench.send() == sent
    bench.buffer.rewind({})
    assert bench.send() == sent
    bench.end()
    again = Bench(tmp_path, session="two")
    ((_, earlier),) = again.spooling.earlier
    again.buffer = earlier
    assert again.send() == [*sent, "a ended"]


def test_a_stream_that_blocks_keeps_its_samples_in_memory_as_well(tmp_path: Path) -> None:
    bench = Bench(tmp_path, cells=10, a="block")
    bench.give(count=10)
    bench.wait_long()
    assert bench.spool.segments
    assert bench.buffer.pending == 10
    assert not bench.buffer.reserve(bench.buffer.streams["a"], CELL)
    assert bench.send() == ["a", *numbered(0, 10)]


def test_what_the_ring_lets_go_of_is_dropped_with_its_own_reason(tmp_path: Path) -> None:
    bench = Bench(tmp_path, cells=20)
    for _ in range(100):
        bench.give(count=10)
        bench.turn(0.05)
    captured, _, spooled, dropped = bench.account()
    lost = dropped["spool_full"]
    assert dropped == {"spool_full": lost}
    assert lost > 500
    assert captured == spooled + lost == 1000
    assert bench.send() == ["a", *numbered(lost, 1000)]


def test_what_is_too_old_is_dropped_with_its_own_reason(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.give(count=10)
    bench.wait_long()
    bench.turn(3601)
    assert bench.account() == (10, 0, 0, {"spool_age": 10})
    assert bench.send() == ["a"]


def test_refused_samples_on_the_disk_of_an_earlier_session_are_not_sent(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.give(count=10)
    bench.end()
    again = Bench(tmp_path, session="two")
    ((session, earlier),) = again.spooling.earlier
    assert session == "one"
    assert again.account() == (10, 0, 10, {})
    earlier.rewind({"a": Resume(7, 3, {5: DropReason.FUTURE})})
    again.buffer = earlier
    assert again.send() == ["a", *numbered(7, 10), "a ended"]
    assert again.account() == (10, 3, 6, {"future": 1})
    earlier.acked("a", 9)
    again.turn()
    assert again.account() == (10, 9, 0, {"future": 1})
    assert again.spool.segments == []


def test_a_disk_that_fails_costs_nothing_while_memory_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)

    def no_room(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.writev", no_room)
        bench.give(count=10)
        bench.wait_long()
    assert bench.spooling.counters["spool_failed"] == 1
    assert bench.buffer.pending == 10
    bench.turn(RETRY_NS / SECOND_NS)
    assert bench.buffer.pending == 0
    assert bench.send() == ["a", *numbered(0, 10)]
    assert bench.account() == (10, 0, 10, {})


def test_a_file_that_is_deleted_under_the_spool_is_a_loss_in_the_books(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.give(count=10)
    bench.wait_long()
    for path in tmp_path.glob("*.spool"):
        path.unlink()
    assert bench.send() == ["a"]
    assert bench.account() == (10, 0, 0, {"corrupt": 10})


def test_the_disk_is_read_ahead_and_never_while_the_lock_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    bench.give(count=3)
    bench.wait_long()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda _: pytest.fail("read with the lock held"))
        assert isinstance(bench.buffer.take(10**9, 10), Described)
        assert bench.buffer.take(10**9, 10) is None
    assert bench.buffer.prepare()
    assert not bench.buffer.prepare()
    assert bench.send() == numbered(0, 3)
