"""The disk under a capture node's spool: full, cut short, changed, without power.

What a power cut does to the disk is simulated: what came after the last fsync is taken away, or
half of it written, or zeros where it should be. What is promised is in `pipeline.transport.spool`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.core.ledger import Ledger
from pipeline.transport.sender import Sender
from pipeline.transport.spool_segment import QUARANTINE, read_content
from tests.requirements import missing
from tests.spool_samples import SECOND_NS, Writer, open_spool, sequences
from tests.system.spool_link import MEMORY, VIB, Fusion, exact, give, reading, spooling_sender
from tests.waiting import wait_until

pytestmark = pytest.mark.system

DISK_BYTES = 256 << 10
COUNT = 4000


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/link"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        missing("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_never_stalls_capture_and_what_it_costs_is_in_the_books(
    small_disk: Path, endpoint: str
) -> None:
    ledger = Ledger()
    sender = spooling_sender(small_disk / "spool", endpoint, ledger)
    sender.add_stream(VIB)
    count = 0
    while not ledger.snapshot().get("vib") or not ledger.snapshot()["vib"].dropped:
        sender.send(reading(count))
        count += 1
        if count % 50 == 0:  # as long as the disk takes it, memory is not the limit
            wait_until(lambda: sender.status.buffer_used < MEMORY // 2 or refused(sender))
    assert refused(sender)
    captured, _, spooled, dropped = exact(ledger)
    assert captured == count > 2 * DISK_BYTES // 200
    assert dropped == {"buffer_full": count - spooled}
    fusion = Fusion(endpoint)
    wait_until(lambda: exact(ledger)[2] == 0)
    give(sender, range(count, count + 500))  # the disk has room again
    sender.end("vib")
    assert sender.drain(20)
    sender.close()
    fusion.close()
    got = fusion.values("vib")
    assert got == sorted(set(got))
    assert len(got) == exact(ledger)[1] == count + 500 - dropped["buffer_full"]
    assert list((small_disk / "spool").glob("*.spool")) == []


def refused(sender: Sender) -> bool:
    """Whether the disk refused something."""
    return sender.status.counters["spool_failed"] > 0


def left_on_disk(folder: Path, endpoint: str) -> list[Path]:
    """The segments of a node that was stopped with all it captured in its spool."""
    sender = spooling_sender(folder, endpoint, Ledger())
    sender.add_stream(VIB)
    give(sender, range(COUNT))
    sender.close(0.1)
    segments = sorted(folder.glob("*.spool"))
    assert len(segments) > 4
    return segments


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def bit_flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def zeros_inside(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:8192] = bytes(4096)
    path.write_bytes(data)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [cut_short, bit_flipped, zeros_inside, emptied])
def test_a_damaged_spool_costs_what_was_damaged_and_the_rest_arrives_in_order(
    tmp_path: Path, endpoint: str, spoil: Callable[[Path], None]
) -> None:
    segments = left_on_disk(tmp_path / "spool", endpoint)
    held = len(read_content(segments[2], segments[2].read_bytes()).records)
    spoil(segments[2])
    ledger = Ledger()
    sender = spooling_sender(tmp_path / "spool", endpoint, ledger)
    sender.add_stream(VIB)
    sender.send(reading(COUNT))
    fusion = Fusion(endpoint)
    sender.end("vib")
    assert sender.drain(20)
    counters = sender.status.counters
    sender.close()
    fusion.close()
    got = fusion.values("vib")
    lost = COUNT + 1 - len(got)
    assert got == sorted(set(got))
    assert got[-1] == COUNT
    assert 0 < lost <= held
    captured, delivered, spooled, dropped = exact(ledger)
    assert (delivered, spooled) == (len(got), 0)
    assert dropped in ({}, {"corrupt": lost})  # those of a file that was closed were counted
    assert captured == delivered + sum(dropped.values())
    if spoil in (bit_flipped, zeros_inside):
        assert dropped == {"corrupt": lost}
        assert counters["spool_damaged"] == 1
        assert len(list((tmp_path / "spool" / QUARANTINE).iterdir())) == 1
    elif spoil is cut_short:
        assert counters["spool_torn"] == 1


def nothing(_data: bytearray) -> None:
    pass


def half_written(data: bytearray) -> None:
    del data[len(data) // 2 :]


def never_filled(data: bytearray) -> None:
    data[:] = bytes(len(data))


def all_gone(data: bytearray) -> None:
    data.clear()


@pytest.mark.parametrize("power_cut", [all_gone, half_written, never_filled, nothing])
def test_a_power_cut_costs_at_most_what_was_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, power_cut: Callable[[bytearray], None]
) -> None:
    synced: dict[int, int] = {}  # how much of each file a power cut leaves for certain
    fsync = os.fsync

    def noted(file: int) -> None:
        fsync(file)
        synced[os.fstat(file).st_ino] = os.fstat(file).st_size

    monkeypatch.setattr("os.fsync", noted)
    spool = open_spool(tmp_path, segment_bytes=4000)
    writer = Writer(spool)
    for tick in range(100):
        writer.write(3, now_ns=tick * SECOND_NS // 4)
        spool.flush(tick * SECOND_NS // 4)
    for path in tmp_path.glob("*.spool"):
        keeps = synced.get(path.stat().st_ino, 0)
        tail = bytearray(path.read_bytes()[keeps:])
        power_cut(tail)
        path.write_bytes(path.read_bytes()[:keeps] + tail)
    found = sequences(open_spool(tmp_path, segment_bytes=4000))
    assert found == list(range(len(found)))
    assert 300 - 4 * 3 <= len(found) <= 300  # no more than was written within ``fsync_ns``


def test_a_node_that_keeps_crashing_while_it_opens_a_damaged_spool_loses_no_more(
    tmp_path: Path, endpoint: str
) -> None:
    segments = left_on_disk(tmp_path / "spool", endpoint)
    for spoil, path in zip((cut_short, bit_flipped, emptied), segments[1:], strict=False):
        spoil(path)
    expected = sequences(open_spool(tmp_path / "spool"))
    for _ in range(3):
        spooling_sender(tmp_path / "spool", endpoint, Ledger()).close(0.1)
        assert sequences(open_spool(tmp_path / "spool")) == expected
