from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodes.children import RestartPolicy


def test_the_delay_doubles_up_to_its_limit() -> None:
    policy = RestartPolicy(limit=100, first_s=1.0, longest_s=5.0)
    assert [policy.delay_s(float(n), 0.1) for n in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_long_run_begins_anew() -> None:
    policy = RestartPolicy(first_s=1.0, steady_s=30.0)
    assert [policy.delay_s(0.0, 0.1), policy.delay_s(1.0, 0.1)] == [1.0, 2.0]
    assert policy.delay_s(40.0, 31.0) == 1.0


def test_five_restarts_a_minute_are_allowed_and_no_more() -> None:
    policy = RestartPolicy()
    assert all(policy.delay_s(float(n), 1.0) is not None for n in range(5))
    assert policy.delay_s(59.9, 1.0) is None
    assert policy.delay_s(60.0, 1.0) is not None
    assert policy.delay_s(60.5, 1.0) is None


def test_ends_that_are_rare_go_on_forever() -> None:
    policy = RestartPolicy()
    assert all(policy.delay_s(13.0 * n, 12.0) is not None for n in range(1000))


@given(st.lists(st.floats(0, 20), min_size=1, max_size=60))
def test_no_period_ever_holds_more_restarts_than_the_limit(gaps: list[float]) -> None:
    policy, now_s, restarts = RestartPolicy(), 0.0, []
    for gap_s in gaps:
        now_s += gap_s
        if policy.delay_s(now_s, gap_s) is not None:
            restarts.append(now_s)
    for start in restarts:
        assert sum(start <= at < start + 60.0 for at in restarts) <= 5
