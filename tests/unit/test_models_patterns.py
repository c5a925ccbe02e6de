import pytest

from pipeline.models.patterns import patterns_of


@pytest.mark.parametrize(
    ("streams", "expected"),
    [
        (1, ()),
        (2, ((0, 1),)),
        (3, ((0, 1, 2), (0, 1), (0, 2), (1, 2))),
    ],
)
def test_sets_of_two_or_more_the_largest_first(streams, expected):
    assert patterns_of(streams) == expected


def test_of_four_streams_every_set_is_judged_and_of_more_only_one_may_be_away():
    assert len(patterns_of(4)) == 1 + 4 + 6
    assert [len(patterns_of(n)) for n in (5, 6, 12)] == [6, 7, 13]
