"""What a spool is spared where the disk is full, a byte is damaged or a node began twice."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.clock import ManualClock
from pipeline.core.ledger import DropReason, Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport import spool, spool_segment
from pipeline.transport.protocol import Resume
from pipeline.transport.sender import Sender
from pipeline.transport.spool_segment import Segment
from tests.spooling_bench import Bench


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def flip(segment: Segment) -> None:
    data = bytearray(segment.path.read_bytes())
    data[len(data) // 2] ^= 255
    segment.path.write_bytes(data)


def test_of_two_earlier_lives_none_is_deleted_while_its_samples_are_on_their_way(
    tmp_path: Path,
) -> None:
    for session in ("one", "two"):
        life = Bench(tmp_path, session=session, order="live_first")
        life.give(count=10)
        life.wait_long()
        life.end()
    bench = Bench(tmp_path, session="three", order="live_first")
    bench.send()
    bench.turn()
    assert len(bench.spool.segments) == 2
    bench.buffer.rewind({})  # the link broke before anything was acked
    bench.send()
    assert bench.account() == (20, 0, 20, {})


@pytest.mark.parametrize("spooled", [False, True])
def test_what_was_refused_is_not_delivered_wherever_it_lies(tmp_path: Path, spooled: bool) -> None:
    bench = Bench(tmp_path)
    bench.give(count=10)
    if spooled:
        bench.wait_long()
    else:
        bench.send()
    bench.buffer.rewind({"a": Resume(10, 10, {3: DropReason.FUTURE})})
    bench.send()
    assert bench.account() == (10, 9, 0, {"future": 1})


def test_a_damaged_byte_costs_one_sample_though_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    bench.give(count=100)
    bench.wait_long()
    flip(bench.spool.segments[0])
    monkeypatch.setattr(spool_segment, "_write", no_room)
    assert len(bench.send()) == 100
    assert bench.account() == (100, 0, 99, {"corrupt": 1})


def test_a_damaged_spool_opens_though_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    bench.give(count=20)
    bench.wait_long()  # killed here: the last file has no summary
    flip(bench.spool.segments[-1])
    with monkeypatch.context() as full:
        full.setattr(spool_segment, "_write", no_room)
        assert Bench(tmp_path, session="two").account() == (19, 0, 19, {})
    assert Bench(tmp_path, session="three").account() == (19, 0, 19, {})


def test_what_is_acked_makes_room_on_a_full_disk_for_what_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, most = spool._append, 0

    def used() -> int:
        return sum(path.stat().st_size for path in tmp_path.glob("*.spool"))

    def bounded(file: int, parts: list[bytes], at: int) -> int:
        if most and used() + sum(map(len, parts)) > most:
            no_room()
        return append(file, parts, at)

    monkeypatch.setattr(spool, "_append", bounded)
    bench = Bench(tmp_path, cells=40)
    bench.give(count=100)
    for _ in range(3):
        bench.give(count=35)
        bench.wait_long()
    most, before = used(), bench.spool.segments[0]
    for _ in range(8):
        bench.send(30)
        bench.buffer.acked("a", max(sequence for _, sequence in bench.wire))
        bench.give(count=30)
        bench.turn(6)
    assert before not in bench.spool.segments
    assert bench.buffer.disk.unread > 0  # it is written to again


def test_a_sample_larger_than_the_buffer_is_refused_by_itself() -> None:
    ledger = Ledger()
    sender = Sender(
        "n", "tcp://127.0.0.1:9", clock=ManualClock(1), ledger=ledger,
        buffer_bytes=1 << 20, clock_sync=False,
    )  # fmt: skip
    try:
        sender.add_stream(StreamInfo("a", Modality.SENSOR, None, (3,), "float64"))
        sender.add_stream(StreamInfo("cam", Modality.VIDEO, 25.0, (720, 1280, 3), "uint8"))
        for number in range(10):
            sender.send(Sample("a", 0, number, np.zeros(3), Encoding.FLOAT))
        sender.send(Sample("cam", 0, 1, np.zeros((720, 1280, 3), np.uint8), Encoding.RAW))
        told = ledger.snapshot()
        assert told["cam"].dropped == {DropReason.TOO_LARGE: 1}
        assert told["a"].dropped == {}
    finally:
        sender.close(0.0)
