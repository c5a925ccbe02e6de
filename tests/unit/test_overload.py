"""A node that cannot keep up widens the hops of who needs most, and no more than it must."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.detection.overload import Overload, fair_level
from pipeline.detection.overload_settings import OverloadSettings
from pipeline.detection.workload import Workload

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
HOP_S = 0.5
RULES = OverloadSettings()


class Node:
    """A node with scenes of some cost, in simulated time; it works or waits, and may fall behind.

    Each scene gives a window every half second, and ten arrivals in that time; what there is no
    time for waits.
    """

    def __init__(self, window_s: dict[str, float], arrival_s: dict[str, float] | None = None):
        self.window_s = window_s
        self.arrival_s = arrival_s or dict.fromkeys(window_s, 0.0)
        self.work = Workload(dict.fromkeys(window_s, HOP_S))
        self.rule = Overload(RULES, self.work, dict.fromkeys(window_s, 4))
        self.times = dict.fromkeys(window_s, 1)
        self.now_ns = START
        self.lag_s = 0.0
        self.told: list[tuple[float, dict[str, int]]] = []

    def cost_s(self) -> float:
        """What half a second of all scenes costs."""
        return sum(
            10 * self.arrival_s[name] + cost / self.times[name]
            for name, cost in self.window_s.items()
        )

    def run(self, seconds: float) -> None:
        end_ns = self.now_ns + round(seconds * SECOND)
        number = 0
        while self.now_ns < end_ns:
            number += 1
            cost_s = self.cost_s()
            for name, seconds_each in self.arrival_s.items():
                for _ in range(10):
                    self.work.arrived([name], seconds_each)
            cut = dict.fromkeys(self.window_s, 1)
            scored = Counter(name for name, times in self.times.items() if number % times == 0)
            scoring_s = {name: self.window_s[name] for name in scored}
            self.lag_s = max(0.0, self.lag_s + cost_s - HOP_S)
            self.now_ns += round(max(cost_s, HOP_S if not self.lag_s else 0) * SECOND)
            self.work.turned(cut, scored, scoring_s, 0.0, self.now_ns)
            lags = dict.fromkeys(self.window_s, round(self.lag_s * SECOND))
            changed = self.rule.look(self.now_ns, lags, self.times)
            self.times |= changed
            if changed:
                self.told.append(((self.now_ns - START) / SECOND, changed))


def test_a_node_that_keeps_up_scores_every_window() -> None:
    node = Node({"a": 0.1, "b": 0.2})
    node.run(120)
    assert not node.told


def test_a_node_beyond_its_time_widens_until_it_keeps_up_and_narrows_when_there_is_time() -> None:
    node = Node({"a": 0.35, "b": 0.35})  # 1.4 of its time
    node.run(60)
    assert max(node.times.values()) > 1
    assert node.cost_s() <= RULES.full * HOP_S
    node.run(60)
    assert node.lag_s < RULES.lag_s
    first_s = node.told[0][0]
    assert RULES.after_s <= first_s < 30
    node.window_s = {"a": 0.1, "b": 0.1}
    node.run(120)
    assert node.times == {"a": 1, "b": 1}
    assert len(node.told) <= 4, "it does not go to and fro"


def test_it_rests_where_it_keeps_up_and_does_not_go_to_and_fro() -> None:
    node = Node({"a": 0.3, "b": 0.3})
    node.run(600)
    assert len(node.told) == 1


def test_after_a_cut_with_time_to_catch_up_nothing_is_left_out() -> None:
    node = Node({"a": 0.2, "b": 0.1})
    node.lag_s = 60.0
    node.run(400)
    assert not node.told
    assert node.lag_s == 0.0


def test_who_needs_most_is_widened_and_who_needs_less_than_its_share_is_not() -> None:
    node = Node({"heavy": 0.5, "light": 0.1})
    node.run(60)
    assert node.times["light"] == 1
    assert node.times["heavy"] > 1


def test_a_flood_of_samples_that_a_wider_hop_does_not_help_widens_nobody_else() -> None:
    node = Node({"flood": 0.05, "calm": 0.1}, {"flood": 0.08, "calm": 0.001})
    node.run(60)
    assert node.times["calm"] == 1
    assert node.times["flood"] == 4


def test_scenes_that_are_alike_are_widened_one_after_the_other() -> None:
    node = Node({name: 0.1 for name in "abcdefgh"})  # 1.6 of its time
    node.run(60)
    assert set(node.times.values()) == {1, 2} or set(node.times.values()) == {2}
    assert node.cost_s() <= RULES.full * HOP_S


def test_the_widest_hop_is_no_longer_than_the_window() -> None:
    work = Workload({"a": HOP_S})
    rule = Overload(RULES.model_copy(update={"widest": 64}), work, {"a": 2})
    times = {"a": 1}
    for number in range(200):
        work.turned({"a": 1}, {"a": 1}, {"a": 5.0}, 0.0, START + number * SECOND)
        times |= rule.look(START + number * SECOND, {"a": 60 * SECOND}, times)
    assert times == {"a": 2}


def test_a_scene_of_which_nothing_comes_any_more_is_narrowed() -> None:
    node = Node({"a": 0.5, "b": 0.5})
    node.run(60)
    wide = dict(node.times)
    assert max(wide.values()) > 1
    for number in range(100):
        node.work.turned({}, {}, {}, 0.0, node.now_ns + number * SECOND)
        node.times |= node.rule.look(node.now_ns + number * SECOND, {"a": 0}, node.times)
    assert node.times == {"a": 1, "b": 1}


def test_limits_that_would_make_it_go_to_and_fro_are_refused() -> None:
    with pytest.raises(ValidationError, match="to and fro"):
        OverloadSettings(slack=0.9, full=0.9)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 2), min_size=1, max_size=12), st.floats(0.1, 2))
def test_the_fair_share_is_all_that_there_is_and_nobody_has_more_than_it_needs(
    needs: list[float], room: float
) -> None:
    level = fair_level(needs, room)
    given_out = sum(min(need, level) for need in needs)
    assert given_out == pytest.approx(min(room, sum(needs)), abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.001, 1.5), min_size=1, max_size=8))
def test_whatever_the_scenes_cost_only_who_is_over_its_share_is_widened_and_no_further_than_asked(
    costs: list[float],
) -> None:
    names = [f"s{i}" for i in range(len(costs))]
    work = Workload(dict.fromkeys(names, HOP_S))
    for name, cost in zip(names, costs, strict=True):
        for _ in range(20):
            work.turned({name: 1}, {name: 1}, {}, cost * HOP_S, START)
    rule = Overload(RULES, work, dict.fromkeys(names, 4))
    times = dict.fromkeys(names, 1)
    needs = rule.needed(times)
    level = fair_level(list(needs.values()), RULES.full)
    lags = dict.fromkeys(names, 10 * SECOND)
    rule.look(START, lags, times)
    changed = rule.look(START + 11 * SECOND, lags, times)
    assert all(needs[name] > level for name in changed)
    assert bool(changed) == (sum(needs.values()) > RULES.full)
    then = sum(rule.needed(times | changed).values())
    over = [name for name in names if needs[name] > level]
    assert then <= RULES.full or all(changed.get(name) == 4 for name in over if needs[name] > 0.1)
