"""While a fusion node cannot keep up it leaves windows out, says so, and a replay does the same."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace as with_

from pipeline.alignment.aligner import AlignerSettings
from pipeline.core.arrival import Arrival, HopSet, SampleArrived, StreamEnded, StreamOpened
from pipeline.core.event import Event, Phase, from_json, to_json
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import Window
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.calibration import budget_of
from pipeline.detection.engine import Engine, Scene
from pipeline.detection.peaks import peaks_of
from pipeline.detection.score import WindowScore
from pipeline.recording import Recording, RecordingWriter
from pipeline.recording.folder import RecordingFolder
from pipeline.recording.merge import read_many

SECOND = 1_000_000_000
HOP = SECOND // 2
START = 1_700_000_000 * SECOND
ROOM = AlarmSettings(clear_after_s=1.0)


class LevelScorer:
    """p falls with the highest value in the window."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = {}

    def prepare(self, sample: Sample) -> Sample:
        return sample

    def check(self, _scene: str, _infos: Sequence[StreamInfo]) -> None:
        pass

    def score(self, windows: Sequence[Window]) -> list[WindowScore]:
        return [self._one(window) for window in windows]

    def state(self, _scene: str) -> bytes:
        return b""

    def restore(self, _scene: str, _state: bytes) -> None:
        pass

    def _one(self, window: Window) -> WindowScore:
        level = float(np.nan_to_num(window.slices["a"].values).max())  # type: ignore[union-attr]
        span = (window.index, window.start_ns, window.end_ns)
        return WindowScore(
            "room", *span, 10.0**-level, {"sensor:a": 10.0**-level}, hops=window.hops
        )


def engine(widest: int = 4) -> Engine:
    alarm = Alarm(ROOM, "room", threshold=3.0, hop_ns=HOP, widest=widest)
    aligner = AlignerSettings(scene="room", streams=("a",)).build()
    scenes = [Scene("room", aligner, alarm)]
    return Engine(scenes, {"room": ("a",)}, LevelScorer())  # type: ignore[arg-type]


def arrivals(*said: tuple[float, int], seconds: int = 30) -> list[Arrival]:
    """A sensor at 10 Hz that is loud from 10 s to 14 s, and hops said at some seconds."""
    info = StreamInfo("a", Modality.SENSOR, 10.0, (1,), "float64", channels=("x",), stamp="exact")
    found: list[Arrival] = [StreamOpened(START, "n", info)]
    for i in range(seconds * 10):
        level = 5.0 if 10.0 <= i / 10 < 14.0 else 0.1
        at_ns = START + i * SECOND // 10
        sample = Sample("a", i, at_ns, np.array([level]), Encoding.FLOAT)
        found.append(SampleArrived(at_ns + 20_000_000, "n", sample))
    for at_s, times in said:
        at_ns = START + round(at_s * SECOND)
        start_ns = -(-(at_ns - SECOND) // HOP) * HOP
        found.append(HopSet(at_ns, "room", times, start_ns, 4 * SECOND))
    found.sort(key=lambda one: one.arrival_ns)
    return [*found, StreamEnded(found[-1].arrival_ns, "n", "a")]


def run(
    steps: Sequence[Arrival], machine: Engine | None = None, every: int = 1
) -> tuple[list[Event], list[WindowScore]]:
    machine = machine or engine()
    events, scores = [], []
    for number, arrival in enumerate(steps):
        machine.take(arrival)
        if number % every == 0 or number == len(steps) - 1:
            outcome = machine.collect()
            events += outcome.events
            scores += outcome.scores
    return events, scores


def of_scene(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if not event.health]


def test_without_a_word_of_the_hop_all_windows_are_scored_and_events_are_as_ever() -> None:
    events, scores = run(arrivals())
    assert [b.index - a.index for a, b in itertools.pairwise(scores)] == [1] * (len(scores) - 1)
    assert {score.hops for score in scores} == {1}
    assert b"widened" not in to_json(events[0])
    assert "overloaded" not in events[0].summary


def test_on_a_wider_hop_windows_between_are_left_out_and_no_moment_is() -> None:
    machine = engine()
    _, scores = run(arrivals((8.0, 2), (16.0, 4), (22.0, 1)), machine)
    steps = {b.index - a.index for a, b in itertools.pairwise(scores)}
    assert {1, 2, 4} <= steps
    assert all(b.hops == b.index - a.index for a, b in itertools.pairwise(scores)), (
        "each says how many were left out before it"
    )
    assert all(b.start_ns <= a.end_ns for a, b in itertools.pairwise(scores))
    wide = [score.index for score in scores if score.hops == 4]
    assert wide
    assert all(index % 4 == 0 for index in wide)


def test_it_never_gets_wider_than_the_window_is_long() -> None:
    _, scores = run(arrivals((5.0, 64)))
    assert max(score.hops for score in scores) == 4


def test_each_change_is_an_event_of_the_equipment_that_says_what_it_means() -> None:
    events, _ = run(arrivals((5.0, 2), (8.0, 4), (20.0, 1)))
    told = [event for event in events if event.health]
    assert [e.phase for e in told] == [Phase.RAISED, Phase.UPDATED, Phase.CLEARED]
    assert [e.widened for e in told] == [2, 4, 1]
    assert {e.alarm for e in told} == {"overload"}
    assert "every 1 s and not every 0.5 s" in told[0].summary
    assert "every 2 s" in told[1].summary
    assert "0.5 s apart as set" in told[2].summary
    assert told[0].p == 1.0


def test_an_alarm_raised_meanwhile_says_so_and_is_found_all_the_same() -> None:
    events, _ = run(arrivals((5.0, 4), (25.0, 1)))
    raised, cleared = of_scene(events)
    assert (raised.phase, cleared.phase) == (Phase.RAISED, Phase.CLEARED)
    assert raised.widened == 4
    assert "1 window in 4 is looked at" in raised.summary
    assert from_json(to_json(raised)) == raised
    assert abs(raised.start_ns - START - 10 * SECOND) <= 2 * SECOND, "within a hop"


def test_an_alarm_that_stands_when_the_hop_widens_goes_on() -> None:
    events, _ = run(arrivals((12.0, 4)))
    assert [e.phase for e in of_scene(events)] == [Phase.RAISED, Phase.CLEARED]
    assert len({e.id for e in of_scene(events)}) == 1
    whole = of_scene(run(arrivals())[0])
    assert of_scene(events)[0].id == whole[0].id
    assert abs(of_scene(events)[1].end_ns - whole[1].end_ns) <= 2 * SECOND


SAID = ((5.0, 2), (9.0, 4), (12.0, 2), (20.0, 1))


@pytest.mark.parametrize("every", [1, 7, 1000])
def test_however_often_it_is_collected_the_events_are_the_same(every: int) -> None:
    events, scores = run(arrivals(*SAID))
    again, scored = run(arrivals(*SAID), every=every)
    assert [to_json(e) for e in again] == [to_json(e) for e in events]
    assert scored == scores


def test_said_twice_it_means_the_same() -> None:
    steps = arrivals(*SAID)
    twice = [
        one for step in steps for one in ([step, step] if isinstance(step, HopSet) else [step])
    ]
    assert [to_json(e) for e in run(twice)[0]] == [to_json(e) for e in run(steps)[0]]


def test_a_recording_replays_to_the_same_events_bit_for_bit(tmp_path: Path) -> None:
    steps = arrivals(*SAID)
    events, scores = run(steps)
    with RecordingWriter(tmp_path / "r.mcap") as writer:
        for step in steps:
            writer.write(step)
    read = list(read_many([tmp_path / "r.mcap"]))
    assert [one for one in read if isinstance(one, HopSet)] == [
        one for one in steps if isinstance(one, HopSet)
    ]
    again, scored = run(read)
    assert [to_json(e) for e in again] == [to_json(e) for e in events]
    assert scored == scores
    with Recording(tmp_path / "r.mcap") as recording:
        assert recording.nodes == ("n",)
        late = next(iter(recording.arrivals(START + 10 * SECOND)))
        assert isinstance(late, StreamOpened)
        wide = [a for a in recording.arrivals(START + 10 * SECOND) if isinstance(a, HopSet)]
    assert [said.times for said in wide] == [4, 2, 1], "what holds then is said first"


def test_further_files_of_a_recording_say_how_wide_the_hop_is_and_together_they_say_it_once(
    tmp_path: Path,
) -> None:
    steps = arrivals((5.0, 2))
    folder = RecordingFolder(tmp_path, name="d", max_file_s=8.0)
    for step in steps:
        folder.write(step)
    folder.close()
    files = folder.files()
    assert len(files) > 2
    for file in files[1:]:
        assert [a.times for a in read_many([file]) if isinstance(a, HopSet)] == [2]
    assert sum(isinstance(a, HopSet) for a in read_many(files)) == 1
    again, _ = run(list(read_many(files)))
    assert [to_json(e) for e in again] == [to_json(e) for e in run(steps)[0]]


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("at_s", [6.0, 11.0, 13.2])
def test_a_decision_survives_a_crash_and_holds_from_the_same_window_on(
    at_s: float, said: bool
) -> None:
    """It is decided and committed; then the node is killed before or after it was said."""
    steps = arrivals()
    at = next(i for i, s in enumerate(steps) if s.arrival_ns > START + at_s * SECOND)
    whole = engine()
    events, scores = run(steps[:at], whole)
    states = whole.decide({"room": 4}, {"room": 5 * SECOND})
    (mark,) = whole.hops()["room"].said(steps[at - 1].arrival_ns)
    killed = engine()
    killed.restore(states, steps[at].arrival_ns)
    later, scored = run([mark, *steps[at:]], whole)
    (repeated,) = killed.hops()["room"].said(steps[at].arrival_ns)
    assert replace(repeated, arrival_ns=mark.arrival_ns) == mark
    resent = [s for s in steps if s.arrival_ns > mark.from_ns]
    resent = [steps[0], repeated, *resent] if said else [repeated, steps[0], *resent]
    after, scored_after = run([replace(s, arrival_ns=max(s.arrival_ns, steps[at].arrival_ns))
                               for s in resent], killed)  # fmt: skip
    assert scored_after == scored
    plain = [with_(e, ledger={}) for e in later]
    assert [with_(e, ledger={}) for e in after] == plain
    assert [e.key for e in (*events, *later)] == list(
        dict.fromkeys(e.key for e in (*events, *later))
    )
    assert {score.hops for score in scored} >= {4}
    assert scores


def test_a_node_that_begins_says_again_that_its_hop_is_wide() -> None:
    machine = engine()
    run(arrivals((5.0, 2)), machine)
    (said,) = machine.hops()["room"].said(START + 40 * SECOND)
    assert (said.scene, said.times) == ("room", 2)
    again = engine()
    run([*arrivals()[:-1], said], again)
    assert again.hops()["room"].state.times == 2


def test_thresholds_for_windows_further_apart_keep_the_budget() -> None:
    """Noise of which one window in a hundred is high alone, and rarer runs."""
    rng = np.random.default_rng(4)
    count = 80_000
    levels = np.convolve(rng.exponential(1.0, count + 3), [0.4, 0.3, 0.2, 0.1], "valid")
    ends = (np.arange(count, dtype=np.int64) + 7) * HOP
    budget_hz = 1 / 600
    half = count // 2
    for every in (1, 2, 4):
        rules = (HOP, budget_hz, 1.0, 2.0)
        learnt = budget_of(levels[:half], ends[:half], *rules, every)
        kept = budget_of(levels[:half], ends[:half], *rules)
        fresh = slice(half + every - 1, None, every)
        peaks = peaks_of(levels[fresh], ends[fresh], every * HOP, 1.0, 2.0)
        expected = budget_hz * half * HOP / 1e9
        assert 0.6 < (peaks >= learnt.threshold).sum() / expected < 1.5, every
        if every == 2:  # one window holds for a second there, where two had to before
            assert (peaks >= kept.threshold).sum() / expected > 1.7
