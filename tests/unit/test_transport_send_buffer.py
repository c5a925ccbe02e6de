from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.codec import describe
from pipeline.core.ledger import DropReason, Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.kept import Described, Ended, cost_of
from pipeline.transport.protocol import Resume
from pipeline.transport.send_buffer import SendBuffer

CELL = cost_of(24)


class Bench:
    """A buffer with a ledger, fed by hand."""

    def __init__(self, cells: float = 100, **rules: str) -> None:
        self.ledger = Ledger()
        self.buffer = SendBuffer(int(cells * CELL), self.ledger)
        for name, rule in (rules or {"a": "drop_oldest"}).items():
            self.buffer.describe(StreamInfo(name, Modality.SENSOR, None, (3,), "float64"), rule)
        self.taken(len(self.buffer.streams))

    def give(self, stream: str, count: int = 1) -> bool:
        taken = True
        for _ in range(count):
            self.ledger.captured(stream)
            sample = Sample(stream, 0, 0, np.zeros(3), Encoding.FLOAT)
            _, header, payload = describe(sample)
            record = self.buffer.streams[stream]
            taken = self.buffer.reserve(record, CELL)
            if taken:
                self.buffer.push(record, header, payload)
            else:
                self.buffer.refuse(record, DropReason.BUFFER_FULL)
        return taken

    def taken(self, times: int = 1) -> list[object]:
        found: list[object] = []
        for _ in range(times):
            item = self.buffer.take(10**9, 1)
            if isinstance(item, list):
                found += [(k.stream.name, k.header.sequence) for k in item]
            elif isinstance(item, Described):
                found.append(("stream", item.info.name))
            elif isinstance(item, Ended):
                found.append(("end", item.stream.name))
        return found

    def account(self, stream: str = "a") -> tuple[int, int, int, dict[str, int]]:
        a = self.ledger.snapshot()[stream]
        assert a.missing == 0
        return a.captured, a.delivered, a.spooled, a.dropped


def test_samples_leave_in_the_order_given_with_sequences_per_stream() -> None:
    bench = Bench(a="drop_oldest", b="drop_oldest")
    for name in "abba":
        bench.give(name)
    assert bench.taken(5) == [("a", 0), ("b", 0), ("b", 1), ("a", 1)]


def test_drop_oldest_gives_up_the_oldest_waiting_of_the_same_stream() -> None:
    bench = Bench(3, a="drop_oldest", b="drop_oldest")
    bench.give("b")
    bench.give("a", 4)
    assert bench.taken(9) == [("b", 0), ("a", 2), ("a", 3)]
    assert bench.account() == (4, 0, 2, {"buffer_full": 2})


def test_drop_oldest_takes_from_the_largest_when_its_own_stream_has_none() -> None:
    bench = Bench(3, a="drop_oldest", b="drop_oldest")
    bench.give("b", 3)
    assert bench.give("a")
    assert bench.taken(9) == [("b", 1), ("b", 2), ("a", 0)]


def test_drop_newest_gives_up_the_incoming_one_and_leaves_a_gap() -> None:
    bench = Bench(2, a="drop_newest")
    bench.give("a", 3)
    assert bench.taken(2) == [("a", 0), ("a", 1)]
    bench.buffer.acked("a", 1)
    bench.give("a")
    assert bench.taken() == [("a", 3)]
    assert bench.account() == (4, 2, 1, {"buffer_full": 1})


def test_a_blocking_stream_loses_nothing_to_others() -> None:
    bench = Bench(2, a="block", b="drop_oldest")
    bench.give("a", 2)
    assert not bench.give("b")
    assert bench.taken(2) == [("a", 0), ("a", 1)]


def test_sent_samples_make_room_before_anything_is_dropped() -> None:
    bench = Bench(10)
    bench.give("a", 10)
    bench.taken(10)
    assert bench.give("a")
    assert bench.account() == (11, 0, 11, {})


def test_what_was_forgotten_counts_as_delivered_once_acked() -> None:
    bench = Bench(10)
    bench.give("a", 10)
    bench.taken(10)
    bench.give("a")
    bench.taken()
    bench.buffer.acked("a", 10)
    assert bench.account() == (11, 11, 0, {})
    assert bench.buffer.used == 0


def test_what_was_forgotten_and_then_lost_counts_as_dropped() -> None:
    bench = Bench(10)
    bench.give("a", 10)
    bench.taken(10)
    bench.give("a")
    bench.buffer.rewind({"a": Resume(0, 0)})
    again = bench.taken(12)
    assert again[0] == ("stream", "a")
    account = bench.account()
    forgotten = account[3]["buffer_full"]
    assert forgotten >= 1
    assert again[1:] == [("a", n) for n in range(forgotten, 11)]


def test_a_rewind_sends_again_from_the_resume_points_in_the_first_order() -> None:
    bench = Bench(a="drop_oldest", b="drop_oldest")
    for name in "abab":
        bench.give(name)
    bench.taken(4)
    bench.give("a")
    bench.buffer.rewind({"a": Resume(1, 1), "b": Resume(2, 0)})
    assert bench.taken(9) == [("stream", "a"), ("stream", "b"), ("a", 1), ("a", 2)]
    assert bench.account("a")[1] == 1
    assert bench.account("b")[:3] == (2, 0, 2)
    bench.buffer.acked("b", 1)
    assert bench.account("b")[:3] == (2, 2, 0)


def test_rejected_samples_are_dropped_even_if_the_message_about_them_was_missed() -> None:
    bench = Bench()
    bench.give("a", 3)
    bench.taken(3)
    bench.buffer.rewind({"a": Resume(3, 0, {1: DropReason.FUTURE})})
    bench.buffer.acked("a", 2)
    assert bench.account() == (3, 2, 0, {"future": 1})


def test_descriptions_and_ends_keep_their_places_in_a_rewind() -> None:
    bench = Bench()
    bench.give("a")
    changed = StreamInfo("a", Modality.SENSOR, 5.0, (3,), "float64")
    bench.buffer.describe(changed)
    bench.give("a")
    bench.buffer.end("a")
    line = [("a", 0), ("stream", "a"), ("a", 1), ("end", "a")]
    assert bench.taken(4) == line
    bench.buffer.rewind({})
    assert bench.taken(5) == [("stream", "a"), *line]
    bench.buffer.acked("a", 1)
    bench.buffer.rewind({"a": Resume(2, 2)})
    assert bench.taken(5) == [("stream", "a"), ("end", "a")]


def test_announcing_the_same_stream_again_says_nothing_new() -> None:
    bench = Bench()
    bench.buffer.describe(bench.buffer.streams["a"].info)
    assert bench.buffer.idle


def test_at_most_as_many_wait_as_the_stream_allows() -> None:
    bench = Bench()
    bench.buffer.describe(bench.buffer.streams["a"].info, None, 1)
    bench.give("a", 5)
    assert bench.taken(2) == [("a", 4)]
    assert bench.account() == (5, 0, 1, {"buffer_full": 4})


def test_giving_up_drops_everything_that_is_not_acked() -> None:
    bench = Bench()
    bench.give("a", 4)
    bench.taken(2)
    bench.buffer.acked("a", 0)
    bench.buffer.give_up(DropReason.SHUTDOWN)
    assert bench.account() == (4, 1, 0, {"shutdown": 3})
    assert bench.buffer.used == bench.buffer.pending == 0


def test_a_long_outage_leaves_no_litter() -> None:
    bench = Bench(10, a="drop_oldest", b="block")
    bench.give("b")
    bench.give("a", 20_000)
    assert len(bench.buffer._line) < 5_000
    assert len(bench.buffer.streams["a"].waiting) < 5_000
    assert bench.buffer.used <= 10 * CELL


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("gtakre"), st.integers(0, 6)), max_size=60),
    st.integers(2, 12),
)
def test_the_books_and_the_memory_are_right_after_any_history(
    history: list[tuple[str, int]], cells: int
) -> None:
    bench = Bench(cells, a="drop_oldest", b="drop_newest")
    buffer = bench.buffer
    sent: dict[str, int] = {"a": -1, "b": -1}
    for action, number in history:
        name = "ab"[number % 2]
        if action == "g":
            bench.give(name, number)
        elif action == "t":
            for item in bench.taken(number):
                if item[0] in sent:
                    assert item[1] >= 0
                    sent[item[0]] = max(sent[item[0]], item[1])
        elif action in "ak":
            buffer.acked(name, sent[name] - number)
        elif action == "r":
            wanted = max(0, sent[name] + 1 - number)
            buffer.rewind({name: Resume(wanted, max(0, wanted - number))})
        elif action == "e":
            buffer.rejected(name, frozenset((sent[name],)), DropReason.FUTURE)
        accounts = bench.ledger.snapshot()
        assert all(account.missing == 0 for account in accounts.values())
        assert buffer.pending == sum(account.spooled for account in accounts.values())
        assert 0 <= buffer.used <= cells * CELL
    buffer.give_up(DropReason.SHUTDOWN)
    assert buffer.used == 0
    assert all(account.spooled == 0 for account in bench.ledger.snapshot().values())


@pytest.mark.parametrize("size", [0, 1, 7, 8, 99_999, 100_000, 100_001])
def test_the_cost_of_a_payload_is_what_the_codec_makes_of_it(size: int) -> None:
    from pipeline.core.codec import encode_sample, size_of

    frames = encode_sample(Sample("a", 0, 0, bytes(size), Encoding.JPEG))
    assert cost_of(size) == 128 + sum(size_of(frame) for frame in frames[1:])


def test_what_came_before_the_offset_was_known_is_put_on_site_time_once() -> None:
    bench = Bench()
    record = bench.buffer.streams["a"]
    for node_ns, placed in ((100, False), (200, False), (5300, True)):
        bench.ledger.captured("a")
        sample = Sample("a", 0, node_ns, np.zeros(3), Encoding.FLOAT, uncertainty_ns=1)
        _, header, payload = describe(sample)
        assert bench.buffer.reserve(record, CELL)
        bench.buffer.push(record, header, payload, placed=placed)
    assert bench.buffer.unplaced == 2
    bench.buffer.place(lambda node_ns: (5000, node_ns // 100))
    bench.buffer.place(lambda _: (9000, 9))
    assert bench.buffer.unplaced == 0
    kept = bench.buffer.take(10**9, 10)
    assert isinstance(kept, list)
    stamps = [(k.header.timestamp_ns, k.header.uncertainty_ns) for k in kept]
    assert stamps == [(5100, 2), (5200, 3), (5300, 1)]


def test_nothing_waits_for_the_offset_once_it_was_dropped() -> None:
    bench = Bench(cells=2)
    record = bench.buffer.streams["a"]
    for _ in range(5):
        bench.ledger.captured("a")
        _, header, payload = describe(Sample("a", 0, 0, np.zeros(3), Encoding.FLOAT))
        assert bench.buffer.reserve(record, CELL)
        bench.buffer.push(record, header, payload, placed=False)
    assert bench.buffer.unplaced == 2
    bench.buffer.give_up(DropReason.SHUTDOWN)
    assert bench.buffer.unplaced == 0
    assert bench.account() == (5, 0, 0, {"buffer_full": 3, "shutdown": 2})
