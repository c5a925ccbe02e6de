"""Bytes that are nearly right: valid ones with a few things done to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import strategies as st

Change = tuple[int, int, int]
"""What to do, where (a share of the length in 1/65536), and how much."""

_CHANGES = st.tuples(st.integers(0, 5), st.integers(0, 65_535), st.integers(0, 255))
_LENGTHS = (b"\xff" * 8, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\xff" * 7 + b"\x7f", bytes(8))


def nearly(valid: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Valid inputs changed in one to four places, and now and then any bytes at all."""
    changes = st.lists(_CHANGES, min_size=1, max_size=4)
    changed = st.builds(_changed, st.sampled_from(list(valid)), changes)
    return st.one_of(changed, changed, changed, st.binary(max_size=300))


def _changed(data: bytes, changes: Sequence[Change]) -> bytes:
    for what, where, much in changes:
        if data:
            data = _WAYS[what](data, where * len(data) >> 16, much)
    return data


def _flip(data: bytes, at: int, much: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << much % 8]) + data[at + 1 :]


def _put(data: bytes, at: int, much: int) -> bytes:
    return data[:at] + bytes([much]) + data[at + 1 :]


def _cut(data: bytes, at: int, much: int) -> bytes:
    return data[:at]


def _length(data: bytes, at: int, much: int) -> bytes:
    number = _LENGTHS[much % len(_LENGTHS)]
    return data[:at] + number + data[at + len(number) :]


def _repeat(data: bytes, at: int, much: int) -> bytes:
    return data[: at + much] + data[at:]


def _leave_out(data: bytes, at: int, much: int) -> bytes:
    return data[:at] + data[at + much :]


_WAYS: tuple[Callable[[bytes, int, int], bytes], ...] = (
    _flip,
    _put,
    _cut,
    _length,
    _repeat,
    _leave_out,
)
