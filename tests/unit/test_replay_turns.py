"""A replay that takes arrivals some seconds at a time gives what one after the other gives."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from nodes.assembly import build_engine
from nodes.replay import arrivals_of, drive, driven, start_of
from nodes.turn_span import TURN_NS
from pipeline.core.arrival import Arrival, fusion_began
from pipeline.core.event import Event, to_json
from pipeline.detection.engine import Engine
from pipeline.detection.score import WindowScore
from tests.backtest_site import SECOND_NS, loaded, record

WRONG = [(20.0, 26.0), (41.0, 43.0)]
SECONDS = 60


def arrivals(recordings: list[Path]) -> list[Arrival]:
    return [*arrivals_of(recordings, start_of(recordings), None, None)]


def engine(folder: Path) -> Engine:
    return build_engine(loaded(folder)).engine


def test_taken_in_turns_the_same_is_told_to_the_bit(tmp_path):
    taken = arrivals(record(tmp_path / "recordings", SECONDS, WRONG))
    events: list[Event] = []
    scores: list[WindowScore] = []
    one_by_one = engine(tmp_path)
    for arrival in taken:
        outcome = drive(one_by_one, arrival)
        events += outcome.events
        scores += outcome.scores
    turns = [outcome for _, outcome in driven(engine(tmp_path), taken)]
    assert max(len(turn.scores) for turn in turns) > 4
    assert [score for turn in turns for score in turn.scores] == scores
    told = [to_json(event) for turn in turns for event in turn.events]
    assert told == [to_json(event) for event in events]
    assert len([one for one in events if not one.health]) >= 2 * len(WRONG)


def test_a_backlog_that_arrived_at_once_is_taken_in_as_many_turns(tmp_path):
    taken = arrivals(record(tmp_path / "recordings", SECONDS, WRONG))
    at_ns = max(one.arrival_ns for one in taken)
    at_once = [replace(one, arrival_ns=at_ns) for one in taken]
    turns = [outcome for _, outcome in driven(engine(tmp_path), at_once)]
    spans = [turn.windows[-1].end_ns - turn.windows[0].end_ns for turn in turns if turn.windows]
    assert len(spans) >= SECONDS * SECOND_NS // TURN_NS - 1
    assert max(spans) <= 2 * TURN_NS


def test_a_turn_ends_after_some_seconds_at_a_bound_and_where_time_goes_back(tmp_path):
    taken = arrivals(record(tmp_path / "recordings", SECONDS, WRONG))
    begin_ns = taken[0].arrival_ns
    bound_ns = begin_ns + 9 * SECOND_NS
    early = [one for one in taken if one.arrival_ns < begin_ns + 20 * SECOND_NS]
    firsts = [at_ns for at_ns, _ in driven(engine(tmp_path), early, [bound_ns])]
    assert firsts[0] == begin_ns
    assert all(0 < later - earlier <= TURN_NS + SECOND_NS for earlier, later in pairwise(firsts))
    assert min(at for at in firsts if at >= bound_ns) - bound_ns < SECOND_NS
    back = [fusion_began(bound_ns), fusion_began(begin_ns)]
    assert [at_ns for at_ns, _ in driven(engine(tmp_path), back)] == [bound_ns, begin_ns]
