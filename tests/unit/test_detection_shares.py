from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.detection.explanation_needs import needs, spoken_relation
from pipeline.detection.explanation_shares import EXACT_UP_TO, contributions, exact, sampled

STREAMS = ("a", "b", "c", "d", "e", "f", "g", "h")
few = hypothesis_settings(max_examples=60, deadline=None, derandomize=True)
a_score = st.floats(min_value=0.0, max_value=15.0, allow_nan=False)


@st.composite
def games(draw, least=1, most=5):
    """Streams, and a score for every set of them; nobody scores nothing."""
    streams = STREAMS[: draw(st.integers(least, most))]
    sets = [frozenset(c) for n in range(len(streams) + 1) for c in combinations(streams, n)]
    return streams, {one: draw(a_score) if one else 0.0 for one in sets}


def close(value):
    return pytest.approx(value, abs=1e-9)


@few
@given(games())
def test_contributions_sum_up_to_the_score(game):
    streams, scores = game
    assert sum(exact(streams, scores.__getitem__).values()) == close(scores[frozenset(streams)])


@few
@given(games(least=2))
def test_streams_that_add_the_same_get_the_same(game):
    streams, scores = game
    first, second = streams[:2]
    swap = {first: second, second: first}

    def value(heard):
        other = frozenset(swap.get(name, name) for name in heard)
        return scores[heard] + scores[other]

    shares = exact(streams, value)
    assert shares[first] == close(shares[second])


@few
@given(games())
def test_a_stream_that_never_adds_anything_gets_nothing(game):
    streams, scores = game

    def value(heard):
        return scores[heard - {streams[0]}]

    assert exact(streams, value)[streams[0]] == close(0.0)


@few
@given(games(), st.randoms(use_true_random=False))
def test_the_order_of_streams_changes_nothing(game, random):
    streams, scores = game
    mixed = random.sample(streams, len(streams))
    assert exact(mixed, scores.__getitem__) == close(exact(streams, scores.__getitem__))


def crowded(heard):
    return float(len(heard)) ** 2 - ("a" in heard)


@few
@given(games(least=2))
def test_contributions_of_summed_games_are_summed(game):
    streams, scores = game
    first, second = exact(streams, scores.__getitem__), exact(streams, crowded)
    both = exact(streams, lambda heard: scores[heard] + crowded(heard))
    assert both == close({name: first[name] + second[name] for name in streams})


@few
@given(games())
def test_sampled_contributions_sum_up_and_leave_out_who_adds_nothing(game):
    streams, scores = game

    def value(heard):
        return scores[heard - {streams[0]}]

    shares = sampled(streams, value, 4)
    assert shares[streams[0]] == close(0.0)
    assert sum(shares.values()) == close(value(frozenset(streams)))
    assert sampled(streams, value, 4) == shares, "the same call gives the same"


def smallest(heard):
    """A score as the merged one behaves: the largest, less the more could have been."""
    levels = dict(zip(STREAMS, (6.0, 1.0, 0.5, 3.0, 0.2, 0.1, 2.0, 0.4), strict=True))
    best = max((levels[name] for name in heard), default=0.0)
    return max(best - 0.1 * len(heard), 0.0)


def test_many_streams_are_estimated_and_few_are_not():
    assert contributions(STREAMS[:EXACT_UP_TO], smallest)[1] is False
    assert contributions(STREAMS, smallest)[1] is True


def test_estimates_are_near_the_exact_values():
    found, truth = contributions(STREAMS, smallest)[0], exact(STREAMS, smallest)
    assert max(abs(found[name] - truth[name]) for name in STREAMS) < 0.3
    assert max(found, key=found.__getitem__) == "a"


def test_two_that_show_something_only_together_share_it():
    shares = exact(("a", "b", "c"), lambda heard: 4.0 if {"a", "b"} <= heard else 0.0)
    assert shares == close({"a": 2.0, "b": 2.0, "c": 0.0})


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("video:cam/local", {"cam"}),
        ("sensor:plc/knn", {"plc"}),
        ("between/cam|mic", {"cam", "mic"}),
        ("between/cam|mic+log", {"cam", "mic", "log"}),
        ("between/cam", {"cam", "mic", "plc"}),
        ("joint/knn", {"cam", "mic", "plc"}),
        ("odd/mic", {"cam", "mic", "plc"}),
    ],
)
def test_a_sub_detector_tells_which_streams_it_needs(name, needed):
    assert needs(name, frozenset({"cam", "mic", "plc"})) == needed


def test_the_relation_is_told_with_the_stream_that_disagrees():
    assert spoken_relation("between/cam", ("mic", "cam")) == "cam|mic"
    assert spoken_relation("between/cam|mic", ("mic", "cam")) == "cam|mic"
    assert spoken_relation("between/cam", ()) == "cam"
    assert spoken_relation("between/cam", ("mic", "plc")) == "cam"
