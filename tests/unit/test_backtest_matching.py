"""Alarms of two sides matched by scene and time, and what follows from it."""

from __future__ import annotations

from nodes.backtest.figures import SECOND_NS, WEEK_S, Told, Truth, scene_result
from nodes.backtest.joining import join
from nodes.backtest.matching import match
from nodes.backtest.piece import DAY_NS, PieceResult
from pipeline.core.event import Event, Phase
from pipeline.detection.alarm import AlarmSettings
from pipeline.recording.coverage import Coverage
from pipeline.training.labels import Label
from tests.event_samples import event

SCENE = event(0).scene
DAY_S = DAY_NS // SECOND_NS


def alarm(start_s: float, end_s: float, **changes: object) -> Event:
    span = {"start_ns": round(start_s * SECOND_NS), "end_ns": round(end_s * SECOND_NS)}
    made = {"id": f"e{start_s:g}-{end_s:g}", "phase": Phase.CLEARED, **span, **changes}
    return event(0, **made)


def shape(old: list[Event], new: list[Event]) -> list[tuple[int, int]]:
    return [(len(m.old), len(m.new)) for m in match(SCENE, old, new)]


def test_what_overlaps_is_kept_and_what_one_side_alone_tells_is_gained_or_lost() -> None:
    old = [alarm(10, 20), alarm(100, 110)]
    new = [alarm(15, 25), alarm(200, 210)]
    assert shape(old, new) == [(1, 1), (1, 0), (0, 1)]


def test_events_that_nearly_touch_are_one_moment() -> None:
    assert shape([alarm(10, 20)], [alarm(22, 25)]) == [(1, 1)]
    assert shape([alarm(10, 20)], [alarm(22.5, 25)]) == [(1, 0), (0, 1)]


def test_a_long_event_that_became_several_is_one_moment() -> None:
    pieces = [alarm(12, 15), alarm(30, 40), alarm(55, 61)]
    assert shape([alarm(10, 60)], pieces) == [(1, 3)]
    assert shape(pieces, [alarm(10, 60)]) == [(3, 1)]


def test_two_events_of_one_side_stay_two_when_no_other_joins_them() -> None:
    assert shape([], [alarm(10, 20), alarm(21, 30)]) == [(0, 1), (0, 1)]


def truth(labels: list[Label] | None = None, until_s: float = 7 * DAY_S) -> Truth:
    return Truth(labels, 0, Coverage([(0, round(until_s * SECOND_NS))]))


def result(old: list[Event], new: list[Event], labels: list[Label] | None = None) -> object:
    told = (Told(events, AlarmSettings(budget="2/week")) for events in (old, new))
    watched = dict.fromkeys(range(7), DAY_S * 2)
    return scene_result(SCENE, *told, watched, 0.5, truth(labels))


def test_rates_are_of_a_week_with_an_interval_beside_the_budget() -> None:
    found = result([alarm(10, 20)], [alarm(s, s + 1) for s in range(0, 2000, 100)])
    assert found.watched_s == WEEK_S
    assert (found.old.per_week, found.new.per_week) == (1.0, 20.0)
    assert found.old.budget_per_week == 2.0
    assert found.old.standing == "too short to tell from the budget"
    assert found.new.standing == "over the budget"


def test_with_labels_only_what_finds_none_is_false() -> None:
    labels = [Label(9.0, 30.0, "fall"), Label(500.0, 510.0, "smoke")]
    found = result([alarm(10, 20)], [alarm(10, 20), alarm(300, 310)], labels)
    assert (found.old.found, found.old.false) == (1, 0)
    assert (found.new.found, found.new.false) == (1, 1)
    kept, gained = found.of("kept")[0], found.of("gained")[0]
    assert kept.new[0].label == "fall"
    assert gained.new[0].label is None
    assert found.normal_s == WEEK_S - (21 + 4) - (10 + 4)


def test_every_day_has_its_row() -> None:
    found = result([alarm(10, 20)], [alarm(DAY_S + 5, DAY_S + 9)])
    first, second = found.days[:2]
    assert (first.day, first.old, first.lost) == ("1970-01-01", 1, 1)
    assert (second.day, second.new, second.gained) == ("1970-01-02", 1, 1)
    assert len(found.days) == 7


def piece(number: int, **parts: object) -> PieceResult:
    return PieceResult("new", number, (SCENE,), **parts)


def test_an_event_that_stands_where_pieces_meet_is_one() -> None:
    whole, again = alarm(90, 130), alarm(95, 130)
    first = piece(0, events=[whole], standing_after=frozenset({whole.id}))
    joined = join([piece(1, carried=[again], events=[alarm(200, 210)]), first])
    assert [e.id for e in joined.events[SCENE]] == [whole.id, "e200-210"]
    assert not joined.seams[0].standing


def test_an_event_that_only_the_later_piece_saw_begin_is_not_lost() -> None:
    joined = join([piece(0), piece(1, carried=[alarm(95, 130)])])
    assert [e.id for e in joined.events[SCENE]] == ["e95-130"]


def test_an_event_that_both_pieces_raised_is_counted_once() -> None:
    joined = join([piece(0, events=[alarm(90, 130)]), piece(1, events=[alarm(101, 140)])])
    (one,) = joined.events[SCENE]
    assert (one.id, one.end_ns) == ("e90-130", 140 * SECOND_NS)
    assert joined.merged == 1


def test_seams_are_compared_by_the_scores_that_both_gave() -> None:
    first = piece(0, beyond={SCENE: {7: 0.1, 8: 0.01}})
    same = join([first, piece(1, first={SCENE: {7: 0.1, 8: 0.01, 9: 0.5}})]).seams[0]
    assert (same.compared, same.worst, same.fits) == (2, 0.0, True)
    other = join([first, piece(1, first={SCENE: {7: 0.1, 8: 0.001}})]).seams[0]
    assert not other.fits
    assert abs(other.worst - 1.0) < 1e-9
    none = join([first, piece(1)]).seams[0]
    assert none.compared == 0
    assert not none.fits
