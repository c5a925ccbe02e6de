"""Where groups of scenes go: all are placed, few are moved, a new machine gets its share."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from nodes.cluster.placement import Machine, Need, place

ONE, TWO, THREE = (Machine(str(n), f"10.0.0.{n}", 4.0, 1.0) for n in (1, 2, 3))
CPU = Need()


def even(*groups: str) -> dict[str, int]:
    return dict.fromkeys(groups, 1)


def test_groups_are_spread_over_the_machines() -> None:
    assert Counter(place(even("a", "b", "c", "d"), [ONE, TWO], CPU).values()) == {"1": 2, "2": 2}


def test_nothing_moves_without_a_reason() -> None:
    now = {"a": "1", "b": "2", "c": "1"}
    assert place(even(*now), [ONE, TWO], CPU, now=now) == now


def test_only_what_was_on_a_lost_machine_moves() -> None:
    now = {"a": "1", "b": "2", "c": "3"}
    assert place(even(*now), [ONE, TWO], CPU, now=now) == {"a": "1", "b": "2", "c": "1"}


def test_a_machine_that_joins_gets_its_share_by_as_few_moves_as_can_be() -> None:
    now = {"a": "1", "b": "1", "c": "1", "d": "2", "e": "2", "f": "2"}
    found = place(even(*now), [ONE, TWO, THREE], CPU, now=now)
    assert Counter(found.values()) == {"1": 2, "2": 2, "3": 2}
    assert sum(found[group] != now[group] for group in now) == 2


def test_a_group_goes_back_to_where_it_was_if_that_is_free() -> None:
    found = place(even("a", "b"), [ONE, TWO], CPU, now={"a": "1"}, last={"b": TWO.address})
    assert found == {"a": "1", "b": "2"}
    assert place(even("a"), [ONE], CPU, last={"a": TWO.address}) == {"a": "1"}


def test_a_group_that_was_asked_to_be_somewhere_stays_there() -> None:
    now = {"a": "1", "b": "2"}
    found = place(even(*now), [ONE, TWO], CPU, now=now, asked={"b": "1"})
    assert found == {"a": "2", "b": "1"}, "and the other makes room, as that is even"
    assert place(even("b"), [TWO], CPU, now={"b": "2"}, asked={"b": "1"}) == {"b": "2"}


def test_heavy_groups_and_strong_machines_are_weighed() -> None:
    strong = Machine("9", "10.0.0.9", 8.0)
    weights = {"big": 8, **dict.fromkeys("abcd", 1)}
    found = place(weights, [ONE, strong], CPU)
    assert found["big"] == "9"
    assert {found[g] for g in "abcd"} == {"1"}


def test_parts_of_a_gpu_are_counted() -> None:
    found = place(even(*"abcde"), [ONE], Need(cpus=0.5, gpus=0.25))
    assert len(found) == 4, "the fifth waits for another machine"
    assert place(even("a"), [Machine("x", "h", 4.0)], Need(gpus=0.25)) == {}


@given(
    weights=st.dictionaries(st.sampled_from("abcdefghij"), st.integers(1, 9), min_size=1),
    cpus=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    draws=st.randoms(use_true_random=False),
)
def test_what_was_placed_is_where_it_should_be(weights, cpus, draws) -> None:
    machines = [Machine(str(n), f"h{n}", float(c)) for n, c in enumerate(cpus)]
    now = {g: str(draws.randrange(len(cpus) + 1)) for g in weights if draws.random() < 0.7}
    found = place(weights, machines, CPU, now=now)
    taken = Counter(found.values())
    assert all(taken[m.id] <= m.cpus for m in machines)
    assert len(found) == min(len(weights), sum(cpus)), "all that fit are placed"
    assert place(weights, machines, CPU, now=found) == found, "and then nothing moves"
