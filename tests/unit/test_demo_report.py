from nodes.demo_report import Found, Truth, match
from tests.event_samples import event


def truth(start_s: float, end_s: float) -> Truth:
    return Truth(start_s, end_s, "V", ("video",))


def found(start_s: float, end_s: float) -> Found:
    return Found(start_s, end_s, event())


def test_an_event_finds_what_it_overlaps_most_and_nothing_else():
    truths = [truth(27, 31), truth(36, 40), truth(57, 60)]
    lasting, late, wrong = found(30.8, 35.3), found(41.5, 42), found(50, 51)
    result = match(truths, [lasting, late, wrong])
    assert [events for _, events in result.found] == [(lasting,), (late,), ()]
    assert result.false_alarms == [wrong]
    assert result.hits == 2


def test_what_shows_between_modalities_alone_is_told_when_it_was_missed():
    silent = Truth(36, 40, "X1", ("audio", "video"))
    assert match([truth(9, 14), silent], [found(10, 11)]).missed_between
    assert not match([truth(9, 14), silent], [found(37, 38)]).missed_between


def test_two_events_may_find_the_same():
    both = [found(10, 11), found(13, 14)]
    result = match([truth(9, 14)], both)
    assert result.found[0][1] == tuple(both)
    assert not result.false_alarms
