"""The engine with the real aligner and alarm, and a scorer that only looks at a level."""

import random
from itertools import pairwise

import numpy as np
import pytest

from pipeline.alignment.aligner import AlignerSettings
from pipeline.core.arrival import LedgerReport, SampleArrived, StreamEnded, StreamOpened
from pipeline.core.errors import BadReading, ModelError
from pipeline.core.event import Phase, to_json
from pipeline.core.ledger import StreamAccount
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.engine import Engine, Scene
from pipeline.detection.evidence import EvidenceKeeper
from pipeline.detection.outcome import SceneState
from pipeline.detection.score import WindowScore

SECOND = 1_000_000_000
HOP = SECOND // 2
START = 1_700_000_000 * SECOND
STREAMS = ("a", "b")
ELSEWHERE = "c"  # of another scene


class LevelScorer:
    """p falls with the highest value in the window."""

    def prepare(self, sample):
        if sample.encoding is Encoding.JPEG:
            raise BadReading("damaged")
        return sample

    def check(self, scene, infos):
        for info in infos:
            if info.unit == "wrong":
                raise ModelError(f"{info.name} is wrong")

    def score(self, windows):
        return [self._one(window) for window in windows]

    def state(self, scene):
        return b"scored"

    def restore(self, scene, state):
        assert (scene, state) == ("room", b"scored")

    def _one(self, window):
        values = [np.nan_to_num(s.values).max() for s in window.slices.values() if s.values.size]
        level = float(max(values, default=0.0))
        p = 10.0**-level
        detectors = {f"sensor:{name}": p for name in window.slices}
        return WindowScore("room", window.index, window.start_ns, window.end_ns, p, detectors)


def engine(hop_ns=HOP):
    alarm = Alarm(AlarmSettings(clear_after_s=1.0), "room", threshold=3.0, hop_ns=hop_ns)
    aligner = AlignerSettings(scene="room", streams=STREAMS, hop_ns=hop_ns).build()
    return Engine(
        [Scene("room", aligner, alarm)], {"room": STREAMS}, LevelScorer(), EvidenceKeeper(5.0)
    )


def info(name, unit=""):
    return StreamInfo(
        name, Modality.SENSOR, 10.0, (1,), "float64", unit=unit, channels=("x",), stamp="exact"
    )


def arrivals(seconds=20, loud=(8.0, 11.0), seed=0):
    """Two sensors at 10 Hz; the level is 5 in the loud span; arrival is a little later."""
    found = [StreamOpened(START, "n", info(s)) for s in STREAMS]
    chance = random.Random(seed)
    for i in range(seconds * 10):
        t = i / 10
        level = 5.0 if loud[0] <= t < loud[1] else 0.1
        for stream in STREAMS:
            stamp = START + i * SECOND // 10
            sample = Sample(stream, i, stamp, np.array([level]), Encoding.FLOAT)
            late = chance.randrange(5_000_000)
            found.append(SampleArrived(stamp + 20_000_000 + late, "n", sample))
        if i % 10 == 9:
            accounts = {s: StreamAccount(i + 1, i - 5, 6) for s in (*STREAMS, ELSEWHERE)}
            found.append(LedgerReport(found[-1].arrival_ns, "n", accounts))
    found.sort(key=lambda a: a.arrival_ns)
    last = found[-1].arrival_ns
    return [*found, *(StreamEnded(last, "n", s) for s in STREAMS)]


def run(steps, machine=None, every=1):
    machine = machine or engine()
    events, scores = [], []
    for i, arrival in enumerate(steps):
        machine.take(arrival)
        if i % every == 0:
            outcome = machine.collect()
            events += outcome.events
            scores += outcome.scores
    outcome = machine.collect()
    return events + outcome.events, scores + outcome.scores


def test_a_loud_span_becomes_one_event_at_its_time():
    events, _ = run(arrivals())
    assert [e.phase for e in events] == [Phase.RAISED, Phase.CLEARED]
    first = events[0]
    assert abs((first.start_ns - START) / SECOND - 8.0) <= 0.6
    assert first.ledger["a"].captured > 0
    assert first.ledger.keys() == set(STREAMS)
    assert first.summary


def test_the_way_scores_are_collected_changes_nothing():
    lines = [[to_json(e) for e in run(arrivals(), every=n)[0]] for n in (1, 7, 100_000)]
    assert lines[0] == lines[1] == lines[2]


def test_what_arrives_with_the_end_of_a_scene_changes_nothing_in_what_it_says():
    steps = arrivals(seconds=12, loud=(8.0, 12.0))  # an event stands when all has ended
    last_ns = steps[-1].arrival_ns
    steps.append(LedgerReport(last_ns + 1, "n", {s: StreamAccount(999, 999, 0) for s in STREAMS}))
    steps += [StreamOpened(last_ns + 2, "n", info(s)) for s in STREAMS]
    events = [run(steps, every=n)[0] for n in (1, 100_000)]
    assert [to_json(e) for e in events[0]] == [to_json(e) for e in events[1]]
    assert [e.phase for e in events[0]] == [Phase.RAISED, Phase.CLEARED]
    assert events[0][1].ledger["a"].captured == 120


def test_timers_called_in_between_change_nothing():
    calm, restless = engine(), engine()
    steps = arrivals()
    for before, arrival in pairwise(steps):
        restless.take(before)
        between = (before.arrival_ns + arrival.arrival_ns) // 2
        restless.advance(between)
    restless.take(steps[-1])
    events, scores = run(steps, calm)
    outcome = restless.collect()
    assert [to_json(e) for e in outcome.events] == [to_json(e) for e in events]
    assert outcome.scores == scores


@pytest.mark.parametrize("crash_at", range(20, 400, 31))
def test_killed_anywhere_and_restored_it_tells_the_same_events(crash_at):
    steps = arrivals()
    whole, _ = run(steps)
    machine, told, state, released = engine(), [], {}, {}
    for arrival in steps[:crash_at]:
        machine.take(arrival)
        outcome = machine.collect()
        told += outcome.events
        state.update(outcome.states)
        released |= machine.newly_released()
    machine = engine()
    machine.restore(state, steps[crash_at - 1].arrival_ns)
    resent = [
        a
        for a in steps
        if not isinstance(a, SampleArrived) or a.sample.sequence > released.get(a.sample.stream, -1)
    ]
    later, _ = run(_resent_at(resent, steps[crash_at - 1].arrival_ns), machine)
    keys = {e.key for e in told}
    ledgers_aside = [(e.key, e.phase, e.start_ns, e.end_ns, e.p) for e in whole]
    got = told + [e for e in later if e.key not in keys]
    assert [(e.key, e.phase, e.start_ns, e.end_ns, e.p) for e in got] == ledgers_aside


def _resent_at(steps, crash_ns):
    """What is sent again arrives in a burst one second after the crash, in its old order."""
    burst_ns = crash_ns + SECOND
    return [_moved(a, max(burst_ns, a.arrival_ns)) for a in steps]


def _moved(arrival, arrival_ns):
    match arrival:
        case StreamOpened(node=node, info=known):
            return StreamOpened(arrival_ns, node, known)
        case SampleArrived(node=node, sample=sample):
            return SampleArrived(arrival_ns, node, sample)
        case StreamEnded(node=node, stream=stream):
            return StreamEnded(arrival_ns, node, stream)
        case LedgerReport(node=node, accounts=accounts):
            return LedgerReport(arrival_ns, node, accounts)


@pytest.mark.parametrize("stop_s", [6.0, 9.5])  # quiet; with an alarm that stands
@pytest.mark.parametrize("hop_ns", [2 * HOP, HOP // 2, 7 * HOP // 5])
def test_with_another_hop_it_goes_on_at_the_same_time(stop_s, hop_ns):
    steps, stop_ns = arrivals(), START + round(stop_s * SECOND)
    first, then = engine(), engine(hop_ns)
    states, events = {}, []
    for arrival in steps:
        if arrival.arrival_ns < stop_ns:
            first.take(arrival)
            outcome = first.collect()
            states.update(outcome.states)
            events += outcome.events
    then.restore(states, stop_ns)
    opened = steps[: len(STREAMS)]
    late = [s for s in steps if s.arrival_ns >= stop_ns - 3 * SECOND]  # what was not acked
    more, scores = run([*opened, *late], then)
    events += more
    due_ns = states["room"].next_window * HOP
    assert due_ns <= scores[0].start_ns < due_ns + hop_ns
    assert len(scores) >= (START + 17 * SECOND - due_ns) // hop_ns
    assert [e.phase for e in events] == [Phase.RAISED, Phase.CLEARED]
    assert events[0].id == events[1].id
    assert 0 <= START + 13 * SECOND - events[1].end_ns <= hop_ns


def test_a_place_from_before_the_hop_was_kept_counts_by_the_hop_of_now():
    assert SceneState(10).next_window_at(HOP) == 10
    assert SceneState(10, hop_ns=HOP).next_window_at(2 * HOP) == 5
    assert SceneState(11, hop_ns=HOP).next_window_at(2 * HOP) == 6


def test_after_a_restart_a_slow_stream_is_waited_for():
    steps = arrivals(seconds=10, loud=(0.0, 0.0))
    machine = engine()
    machine.restore({"room": SceneState(START // HOP + 2)}, START)
    for arrival in steps:
        if getattr(arrival, "stream", "") == "b" or _stream_of(arrival) == "b":
            continue
        machine.take(arrival)
    assert machine.collect().windows == []
    for arrival in steps:
        if _stream_of(arrival) == "b":
            machine.take(_moved(arrival, START + 9 * SECOND))
    windows = machine.collect().windows
    assert windows
    assert all(w.complete for w in windows[:-4])


def _stream_of(arrival):
    if isinstance(arrival, SampleArrived):
        return arrival.sample.stream
    if isinstance(arrival, StreamOpened):
        return arrival.info.name
    return getattr(arrival, "stream", "")


@pytest.mark.parametrize("seconds", [20, 1])  # one is too short for anything to be let go before
def test_everything_is_released_when_the_streams_have_ended(seconds):
    machine = engine()
    run(arrivals(seconds), machine)
    assert machine.newly_released() == dict.fromkeys(STREAMS, seconds * 10 - 1)


def test_what_ended_is_released_although_the_other_stream_never_came():
    machine = engine()
    run([a for a in arrivals(2) if _stream_of(a) == "a"], machine)
    assert machine.newly_released() == {"a": 19}


def test_what_ended_is_released_once_the_other_stream_has_been_silent():
    machine = engine()
    steps = arrivals(12)
    last_ns = steps[-1].arrival_ns
    run([a for a in steps if not (isinstance(a, StreamEnded) and a.stream == "b")], machine)
    released = machine.newly_released()
    assert released["a"] < 119
    machine.take(LedgerReport(last_ns + 4 * SECOND, "n", {}))
    released |= machine.newly_released()
    assert released["a"] == 119
    assert released["b"] < 119


def test_a_stream_of_which_another_scene_needs_everything_is_not_released():
    scenes = [
        Scene(name, AlignerSettings(scene=name, streams=("a",), **more).build())
        for name, more in (("quick", {}), ("slow", {"window_ns": 100 * SECOND}))
    ]
    machine = Engine(scenes, {"quick": ("a",), "slow": ("a",)}, scorer=None)
    run([a for a in arrivals() if _stream_of(a) == "a" and not isinstance(a, StreamEnded)], machine)
    assert machine.newly_released() == {}


def test_a_stream_that_the_model_cannot_use_is_left_out_and_the_rest_goes_on():
    machine = engine()
    steps = arrivals()
    steps[1] = StreamOpened(START, "n", info("b", unit="wrong"))
    events, scores = run(steps, machine)
    assert machine.unfit.keys() == {("room", "b")}
    assert [e.phase for e in events] == [Phase.RAISED, Phase.CLEARED]
    assert machine.newly_released()["b"] == 199
    assert scores


def test_a_stream_of_another_modality_is_left_out_of_a_scene_without_a_model():
    aligner = AlignerSettings(scene="room", streams=STREAMS).build()
    machine = Engine([Scene("room", aligner)], {"room": STREAMS}, None, EvidenceKeeper(5.0))
    steps, windows = arrivals(), []
    at = {
        s: next(i for i, a in enumerate(steps) if a.arrival_ns > START + s * SECOND)
        for s in (5, 10)
    }
    other = StreamInfo("b", Modality.VIDEO, 10.0, (4, 4, 3), "uint8")
    changed = StreamOpened(steps[at[5]].arrival_ns, "n", other)
    for i, arrival in enumerate(steps):
        if i == at[5]:
            machine.take(changed)
            assert "b: " in machine.unfit["room", "b"]
        if i == at[10]:
            machine.take(steps[1])
            assert not machine.unfit
        machine.take(arrival)
        windows += machine.collect().windows
    assert len(windows) > 30
    without = [w for w in windows if not w.slices["b"].coverage]
    assert 5 <= len(without) <= 10
    assert all(w.slices["a"].coverage for w in without)


def test_a_stream_that_fits_again_is_released_as_one_that_always_did():
    steps, wrong = arrivals(), StreamOpened(START, "n", info("b", unit="wrong"))
    again = next(i for i, a in enumerate(steps) if a.arrival_ns > START + 5 * SECOND)
    released = []
    for opened in (steps[:2], [steps[0], wrong]):
        machine, seen = engine(), {}
        for arrival in [*opened, *steps[2:again], steps[1], *steps[again:-2]]:
            machine.take(arrival)
            machine.collect()
            seen.update(machine.newly_released())
        assert not machine.unfit
        released.append(seen)
    assert released[0] == released[1]
    assert min(released[0].values()) > 150


def test_a_stream_without_a_scene_is_released_at_once():
    machine = engine()
    sample = Sample("stray", 7, START, np.array([1.0]), Encoding.FLOAT)
    machine.take(SampleArrived(START, "n", sample))
    assert machine.newly_released()["stray"] == 7
