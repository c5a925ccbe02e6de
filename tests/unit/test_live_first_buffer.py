from __future__ import annotations

from pathlib import Path

from pipeline.core.ledger import DropReason
from pipeline.core.sample import Modality, StreamInfo
from pipeline.transport.protocol import Resume
from tests.spooling_bench import Bench, numbered

LATE = "a~backlog"


def live_first(folder: Path, session: str = "one", **rules: str) -> Bench:
    return Bench(folder, session=session, order="live_first", **rules)


def after_an_outage(folder: Path) -> Bench:
    """Twenty samples that waited for long, five that are new."""
    bench = live_first(folder)
    bench.give(count=20)
    bench.wait_long()
    bench.give(count=5)
    return bench


def test_what_is_new_goes_first_and_the_backlog_behind_it_as_a_stream_of_its_own(
    tmp_path: Path,
) -> None:
    bench = after_an_outage(tmp_path)
    assert bench.send() == ["a", *numbered(20, 25), LATE, *numbered(0, 20, LATE)]
    bench.give()
    assert bench.send() == numbered(25, 26)
    assert bench.account() == (26, 0, 26, {})


def test_acks_of_what_is_new_leave_the_backlog_alone_and_the_other_way_round(
    tmp_path: Path,
) -> None:
    bench = after_an_outage(tmp_path)
    bench.send()
    bench.buffer.acked("a", 24)
    bench.turn()
    assert bench.account() == (25, 5, 20, {})
    assert bench.spool.segments
    bench.buffer.acked(LATE, 19)
    assert bench.account() == (25, 25, 0, {})
    bench.turn()
    assert bench.spool.segments == []


def test_after_a_broken_link_both_go_on_from_where_the_receiver_is(tmp_path: Path) -> None:
    bench = after_an_outage(tmp_path)
    bench.send()
    bench.buffer.rewind({"a": Resume(23, 22), LATE: Resume(12, 10, {11: DropReason.FUTURE})})
    assert bench.account() == (25, 12, 12, {"future": 1})
    assert bench.send() == ["a", *numbered(23, 25), LATE, *numbered(12, 20, LATE)]
    bench.buffer.acked(LATE, 19)
    bench.buffer.acked("a", 24)
    assert bench.account() == (25, 24, 0, {"future": 1})


def test_a_backlog_that_was_not_through_goes_on_in_the_next_life_behind_what_is_new(
    tmp_path: Path,
) -> None:
    bench = after_an_outage(tmp_path)
    assert bench.send(most=17) == ["a", *numbered(20, 25), LATE, *numbered(0, 10, LATE)]
    bench.buffer.acked("a", 22)
    bench.buffer.acked(LATE, 7)
    bench.end()
    again = live_first(tmp_path, "two")
    assert again.account() == (14, 0, 14, {})
    again.give(count=3)
    assert again.send() == [
        "a",
        *numbered(0, 3),
        LATE,
        *numbered(8, 20, LATE),
        *numbered(23, 25, LATE),
    ]
    again.buffer.acked("a", 2)
    again.buffer.acked(LATE, 13)
    assert again.account() == (17, 17, 0, {})
    again.turn()
    assert again.spool.segments == []


def test_the_order_can_be_changed_between_two_lives(tmp_path: Path) -> None:
    bench = after_an_outage(tmp_path)
    bench.send(most=17)
    bench.buffer.acked("a", 24)
    bench.buffer.acked(LATE, 7)
    bench.end()
    again = Bench(tmp_path, session="two")
    ((_, again.buffer),) = again.spooling.earlier
    assert again.send() == ["a", *numbered(8, 20), "a ended"]


def test_a_changed_description_is_said_where_the_backlog_changes(tmp_path: Path) -> None:
    bench = live_first(tmp_path)
    bench.give(count=3)
    bench.buffer.describe(StreamInfo("a", Modality.SENSOR, None, (3,), "float64", "mm"))
    bench.give(count=3)
    bench.wait_long()
    sent = [LATE, *numbered(0, 3, LATE), LATE, *numbered(3, 6, LATE)]
    assert bench.send() == ["a", "a", *sent]
    bench.buffer.rewind({})
    assert bench.send() == ["a", *sent]


def test_a_stream_that_blocks_is_never_late(tmp_path: Path) -> None:
    bench = live_first(tmp_path, a="block")
    bench.give(count=10)
    bench.wait_long()
    assert bench.spool.segments
    assert bench.send() == ["a", *numbered(0, 10)]


def test_what_is_let_go_of_or_damaged_while_it_waits_is_in_the_books(tmp_path: Path) -> None:
    bench = after_an_outage(tmp_path)
    bench.send()
    for path in tmp_path.glob("*.spool"):
        path.unlink()
    bench.buffer.rewind({"a": Resume(25, 0)})
    assert bench.send() == ["a", LATE]
    assert bench.account() == (25, 0, 5, {"spool_full": 20})


def test_an_earlier_session_all_of_which_was_refused_leaves_the_disk(tmp_path: Path) -> None:
    bench = live_first(tmp_path)
    bench.give(count=3)
    bench.end()
    again = live_first(tmp_path, "two")
    assert again.send() == ["a", LATE, *numbered(0, 3, LATE)]
    again.buffer.rejected(LATE, frozenset(range(3)), DropReason.REFUSED)
    again.turn()
    assert again.account() == (3, 0, 0, {"refused": 3})
    assert again.spool.segments == []
