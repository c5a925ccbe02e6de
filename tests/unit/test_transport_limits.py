from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.transport.limits import BURST_S, Bucket

SECOND_NS = 1_000_000_000


def test_a_rate_passes_for_ever_and_a_burst_once() -> None:
    bucket = Bucket(10.0, 0)
    assert all(bucket.take(0) for _ in range(int(10 * BURST_S)))
    assert not bucket.take(0)
    assert all(bucket.take(n * SECOND_NS // 10) for n in range(1, 100))
    assert not bucket.take(99 * SECOND_NS // 10)


def test_what_is_refused_costs_what_is_left() -> None:
    bucket = Bucket(10.0, 0)
    assert not bucket.take(0, 50.0)
    assert not bucket.take(0)
    assert bucket.take(SECOND_NS // 10)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket(1.0, SECOND_NS)
    assert bucket.take(SECOND_NS, 2.0)
    assert not bucket.take(0)
    assert bucket.take(SECOND_NS)


@given(
    st.floats(0.1, 1e4),
    st.lists(st.integers(0, SECOND_NS), min_size=1, max_size=200),
)
def test_never_more_passes_than_the_rate_and_one_burst(per_s: float, gaps: list[int]) -> None:
    bucket, now_ns, passed = Bucket(per_s, 0), 0, 0
    for gap_ns in gaps:
        now_ns += gap_ns
        passed += bucket.take(now_ns)
    assert passed <= max(1.0, per_s * BURST_S) + per_s * now_ns / 1e9 + 1e-6
