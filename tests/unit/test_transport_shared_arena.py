from __future__ import annotations

import gc
import os
import random

import numpy as np
import pytest

from pipeline.core.codec import decode_sample, encode_sample
from pipeline.core.errors import ProtocolError
from pipeline.core.sample import Encoding, Sample
from pipeline.transport.shared_arena import SharedArena, SharedReader


def pattern(size: int, value: int) -> np.ndarray:
    return np.full(size, value % 251, np.uint8)


def test_a_payload_is_seen_on_the_other_side_without_a_copy() -> None:
    arena = SharedArena(1 << 20)
    reader = SharedReader(arena.offer)
    lease = arena.lease(200_000)
    lease.write(pattern(200_000, 7))
    view = reader.view(lease.offset, lease.size)
    assert bytes(view) == bytes(pattern(200_000, 7))
    assert view.readonly
    lease.write(pattern(200_000, 8))
    assert view[0] == 8


def test_a_part_is_used_again_only_when_both_sides_are_done() -> None:
    arena = SharedArena(100 * 4096)
    reader = SharedReader(arena.offer)
    lease = arena.lease(100 * 4096)
    lease.lend()
    view = reader.view(lease.offset, lease.size)
    lease.free()
    assert arena.lease(1) is None
    del view
    gc.collect()
    arena.returned(reader.done())
    assert arena.lease(1) is not None


def test_whatever_is_made_of_a_view_keeps_the_part() -> None:
    arena = SharedArena(1 << 20)
    reader = SharedReader(arena.offer)
    frame = np.zeros((200, 200, 3), np.uint8)
    frames = encode_sample(Sample("cam", 0, 0, frame, Encoding.RAW))
    lease = arena.lease(frame.nbytes)
    lease.write(frames[2])
    data = decode_sample([*frames[:2], reader.view(lease.offset, lease.size)]).data
    corner = data[10:20, 10:20][::2]
    del data, frames
    gc.collect()
    assert reader.done() == []
    last = memoryview(corner)
    del corner
    gc.collect()
    assert reader.done() == []
    del last
    gc.collect()
    assert reader.done() == [lease.offset]


def test_leases_never_overlap_and_everything_comes_back() -> None:
    arena, rng = SharedArena(64 * 4096), random.Random(3)
    held = []
    for number in range(2_000):
        if held and rng.random() < 0.5:
            lease, value = held.pop(rng.randrange(len(held)))
            assert set(lease.view()) == {value}
            lease.free()
        lease = arena.lease(rng.randrange(1, 40_000))
        if lease is not None:
            lease.write(pattern(lease.size, number))
            held.append((lease, number % 251))
    for lease, value in held:
        assert set(lease.view()) == {value}
        lease.free()
    assert arena.lease(64 * 4096) is not None


def test_only_the_arena_that_was_offered_is_opened(tmp_path) -> None:
    arena = SharedArena(4096)
    pid, fd, token = arena.offer.split(":")
    other = tmp_path / "secret"
    other.write_bytes(b"x" * 8192)
    with other.open("rb") as file:
        for offer in (
            "",
            "../../etc/passwd",
            f"{pid}:{fd}:{'0' * 32}",
            f"{pid}:{file.fileno()}:{token}",
            f"{pid}:999999:{token}",
            f"1:0:{token}",
        ):
            with pytest.raises(ProtocolError):
                SharedReader(offer)


def test_an_arena_that_could_shrink_is_refused() -> None:
    fd = os.memfd_create("fusewatch-arena", os.MFD_ALLOW_SEALING)
    os.write(fd, b"0" * 8192)
    with pytest.raises(ProtocolError, match="shrink"):
        SharedReader(f"{os.getpid()}:{fd}:{'0' * 32}")
    os.close(fd)


def test_parts_outside_the_memory_are_refused() -> None:
    arena = SharedArena(4096)
    reader = SharedReader(arena.offer)
    for offset, size in ((0, 10), (4096, 4097), (2**40, 1)):
        with pytest.raises(ProtocolError):
            reader.view(offset, size)
