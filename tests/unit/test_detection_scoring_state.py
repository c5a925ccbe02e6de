"""Recalibration inside the real scorer and engine, on the toy site."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from pipeline.alignment.aligner import AlignerSettings
from pipeline.core.arrival import Arrival, SampleArrived, StreamEnded, StreamOpened
from pipeline.core.errors import StoreError
from pipeline.core.event import Event, to_json
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.engine import Engine, Scene
from pipeline.detection.kept_scoring import ScoringState, watched_in
from pipeline.detection.outcome import SceneState
from pipeline.detection.recalibration_settings import RecalibrationSettings
from pipeline.detection.scorer import Scorer
from tests.toy_site import CAMERA, HOP_NS, MICROPHONE, SENSORS, WINDOWS, Site, commissioned
from tests.toy_stream import live

START_NS = 3_400_000_000 * HOP_NS
STREAMS = (CAMERA, MICROPHONE, SENSORS)
# A budget so low that alarms are over it, and steps so large that a minute shows them.
ALARM = AlarmSettings(budget="1/week")
ON = RecalibrationSettings(enabled=True, horizon_s=20, per_hour=50, guard_s=1)


def scorer(rules: RecalibrationSettings = ON) -> Scorer:
    made = Scorer({"hall": commissioned()[0]}, "cpu")
    made.follow("hall", rules, ALARM)
    return made


def learnt(machine: Scorer) -> Scorer:
    """The scorer with something learnt, as far as the bounds let it."""
    recalibrator = machine.live("hall").recalibrator
    assert recalibrator is not None
    state = recalibrator.state()
    for one in state.learnt.values():
        one.factor = 0.8
    recalibrator.restore(state)
    return machine


def test_what_was_learnt_is_restored_and_changes_scores() -> None:
    window = Site(seed=3, wrong="sensor", wrong_from=0, wrong_to=20).window(10)
    first, plain = learnt(scorer()), scorer()
    assert first.score([window])[0].p > plain.score([window])[0].p
    second = scorer()
    second.restore("hall", first.state("hall"))
    later = Site(seed=3, wrong="sensor", wrong_from=0, wrong_to=20).window(11)
    assert second.score([later]) == first.score([later])


def test_switched_off_it_is_the_commissioned_calibration_at_once() -> None:
    window = Site(seed=3, wrong="object", wrong_from=0, wrong_to=20).window(10)
    off = scorer(RecalibrationSettings(enabled=False))
    off.restore("hall", learnt(scorer()).state("hall"))
    assert off.score([window]) == Scorer({"hall": commissioned()[0]}, "cpu").score([window])
    assert msgspec.msgpack.decode(off.state("hall"), type=ScoringState).recalibration is None


def test_what_was_learnt_of_another_model_is_let_go() -> None:
    saved = learnt(scorer()).state("hall")
    other = Scorer({"hall": replace(commissioned()[0], digest="another")}, "cpu")
    other.follow("hall", ON, ALARM)
    other.restore("hall", saved)
    recalibrator = other.live("hall").recalibrator
    assert recalibrator is not None
    assert set(recalibrator.factors.values()) == {1.0}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x00broken", "cannot be read"),
        (msgspec.msgpack.encode(ScoringState(1, "yard")), "scene 'yard'"),
        (msgspec.msgpack.encode(ScoringState(99, "hall")), "version 99"),
    ],
)
def test_a_state_that_is_not_its_own_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        scorer().restore("hall", data)


def test_a_state_with_fields_of_a_newer_version_is_read_for_what_it_knows() -> None:
    body = {"version": 1, "scene": "hall", "watched": [(5, 9)], "context": b"later"}
    assert watched_in("hall", msgspec.msgpack.encode(body)).spans == [(5, 9)]
    assert watched_in("hall", b"").spans == []


def test_only_windows_in_which_something_was_seen_are_watched() -> None:
    machine = scorer()
    seen = [Site().window(i) for i in (WINDOWS, WINDOWS + 1)]
    blind = Site(missing=frozenset(s.name for s in Site().streams)).window(WINDOWS + 2)
    machine.score([*seen, blind])
    (span,) = machine.live("hall").watched.spans
    assert span == (seen[0].end_ns - HOP_NS, seen[1].end_ns)


def arrivals(hops: int) -> list[Arrival]:
    """A live run of the toy site in which the sensors go wrong for a while."""
    found: list[Arrival] = [StreamOpened(START_NS, "n", info) for info in STREAMS]
    for at_ns, sample in live(hops, START_NS):
        wrong = sample.stream == "plc" and hops // 3 < sample.sequence // 5 < hops // 3 + 12
        shown = replace(sample, data=sample.data + 9.0) if wrong else sample
        found.append(SampleArrived(at_ns, "n", shown))
    return [*found, *(StreamEnded(found[-1].arrival_ns, "n", s.name) for s in STREAMS)]


def engine() -> Engine:
    machine = scorer()
    threshold = machine.budget("hall", ALARM).threshold / 2  # so that there is much to tell
    names = tuple(s.name for s in STREAMS)
    aligner = AlignerSettings(scene="hall", streams=names).build()
    alarm = Alarm(ALARM, "hall", threshold, HOP_NS)
    return Engine([Scene("hall", aligner, alarm)], {"hall": names}, machine)


def told(steps: list[Arrival], machine: Engine, every: int) -> tuple[list[Event], list[SceneState]]:
    events, states = [], []
    for number, arrival in enumerate(steps):
        machine.take(arrival)
        if number % every == 0 or arrival is steps[-1]:
            outcome = machine.collect()
            events += outcome.events
            states += outcome.states.values()
    return events, states


def test_a_replay_tells_the_same_events_byte_for_byte_however_it_is_shared_out() -> None:
    steps = arrivals(80)
    events, states = told(steps, engine(), every=1)
    again, last = told(steps, engine(), every=97)
    assert [to_json(e) for e in events] == [to_json(e) for e in again]
    assert events
    assert last[-1] == states[-1]
    saved = msgspec.msgpack.decode(states[-1].scoring, type=ScoringState)
    assert saved.recalibration is not None
    assert any(one.factor < 1 for one in saved.recalibration.learnt.values())
