"""Bad input on the way through the real aligner, scorer and alarm: refused, counted, survived."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from pipeline.alignment.aligner import AlignerSettings
from pipeline.core.arrival import Arrival, SampleArrived, StreamEnded, StreamOpened
from pipeline.core.event import Event
from pipeline.core.sample import Encoding, Sample
from pipeline.core.window import Window
from pipeline.detection.alarm import Alarm, AlarmSettings
from pipeline.detection.engine import Engine, Scene
from pipeline.detection.score import WindowScore
from pipeline.detection.scorer import Scorer
from pipeline.models.settings import DetectorSettings
from tests.toy_site import ALL, FIRST, HOP_NS, WINDOWS, commissioned
from tests.toy_stream import SECOND_NS, live

HOPS = 24
START_NS = (FIRST + WINDOWS) * HOP_NS
LAST = FIRST + WINDOWS + HOPS - 3  # windows before it are whole
YEAR_NS = 365 * 24 * 3600 * SECOND_NS
NODE = "hall-node"
Change = Callable[[Sample], Sample]


@dataclass
class Run:
    """What came of one run."""

    engine: Engine
    windows: list[Window]
    scores: list[WindowScore]
    events: list[Event]

    @property
    def judged(self) -> dict[int, float]:
        return {score.index: score.p for score in self.scores}

    def refused(self, stream: str) -> dict[str, int]:
        found = self.engine.discarded()
        return {reason: n for (_, name, reason), n in found.items() if name == stream}


def arrivals() -> list[SampleArrived]:
    return [SampleArrived(at_ns, NODE, sample) for at_ns, sample in live(HOPS, START_NS)]


def changed(steps: Sequence[SampleArrived], stream: str, numbers: range, change: Change):
    """The same arrivals, with some samples of a stream made bad."""
    return [
        replace(a, sample=change(a.sample))
        if a.sample.stream == stream and a.sample.sequence in numbers
        else a
        for a in steps
    ]


def made(**changes: object) -> Change:
    return lambda sample: replace(sample, **changes)


def moved(by_ns: int) -> Change:
    return lambda sample: replace(sample, timestamp_ns=sample.timestamp_ns + by_ns)


def run(steps: Sequence[Arrival]) -> Run:
    model, _ = commissioned()
    scorer = Scorer({"hall": model}, "cpu")
    settings = AlarmSettings(budget="1/hour")
    alarm = Alarm(settings, "hall", scorer.budget("hall", settings).threshold, HOP_NS)
    names = tuple(info.name for info in ALL)
    aligner = AlignerSettings(scene="hall", streams=names).build()
    engine = Engine([Scene("hall", aligner, alarm)], {"hall": names}, scorer)
    result = Run(engine, [], [], [])
    last_ns = steps[-1].arrival_ns
    opened = [StreamOpened(START_NS, NODE, info) for info in ALL]
    ended = [StreamEnded(last_ns, NODE, info.name) for info in ALL]
    for arrival in [*opened, *steps, *ended]:
        engine.take(arrival)
        outcome = engine.collect()
        result.windows += outcome.windows
        result.scores += outcome.scores
        result.events += outcome.events
    return result


@pytest.fixture(scope="module")
def clean() -> Run:
    return run(arrivals())


IN_A_ROW = DetectorSettings().lasting_windows


def untouched(bad: Run, clean: Run, from_hop: int, to_hop: int) -> None:
    """Every window is there, each has a p-value, and those away from `[from, to)` are as ever.

    Those right behind are told with what lasted, so they are away when the row has passed.
    """
    assert bad.judged.keys() == clean.judged.keys()
    assert all(0.0 < p <= 1.0 for p in bad.judged.values())
    for index, p in clean.judged.items():
        hop = index - FIRST - WINDOWS
        if hop + 4 <= from_hop or hop >= to_hop + IN_A_ROW - 1:
            assert bad.judged[index] == p


def test_nothing_is_refused_and_nothing_raised_when_all_is_well(clean: Run) -> None:
    assert len(clean.scores) >= HOPS - 4
    assert not clean.events
    assert not clean.engine.corrupt
    assert not clean.engine.discarded()


def test_a_corrupt_jpeg_is_counted_and_only_its_own_frame_is_missing(clean: Run) -> None:
    broken = b"\xff\xd8\xff\xe0 this was a picture once"
    spoil = made(data=broken, encoding=Encoding.JPEG)
    bad = run(changed(arrivals(), "cam", range(30, 32), spoil))
    assert bad.engine.corrupt == {"cam": 2}
    untouched(bad, clean, 10, 11)
    assert all("video:cam" in score.detectors for score in bad.scores if score.index < LAST)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_readings_that_are_no_numbers_leave_the_scores_finite(clean: Run, value: float) -> None:
    def spoil(sample: Sample) -> Sample:
        row = np.array(sample.data)
        row[0] = value
        return replace(sample, data=row)

    bad = run(changed(arrivals(), "plc", range(50, 52), spoil))
    untouched(bad, clean, 9, 12)
    assert np.isfinite([e.score for e in bad.events]).all()


def test_a_sensor_that_gives_nothing_but_nan_is_missing_and_the_rest_goes_on(clean: Run) -> None:
    bad = run(changed(arrivals(), "plc", range(40, 120), made(data=np.full(3, np.nan))))
    untouched(bad, clean, 7, HOPS)
    later = [s for s in bad.scores if s.index >= FIRST + WINDOWS + 12]
    assert later
    assert all("sensor:plc" not in s.detectors and "plc" in s.missing for s in later)
    assert all("video:cam" in s.detectors for s in later)


def test_stamps_out_of_order_are_refused_as_late_and_counted(clean: Run) -> None:
    bad = run(changed(arrivals(), "cam", range(45, 47), moved(-4 * SECOND_NS)))
    assert bad.refused("cam") == {"late": 2}
    assert sum(w.late.get("cam", 0) for w in bad.windows) == 2
    untouched(bad, clean, 15, 16)


def test_a_stamp_from_next_year_is_refused_and_holds_nothing_back(clean: Run) -> None:
    bad = run(changed(arrivals(), "plc", range(60, 61), moved(YEAR_NS)))
    assert bad.refused("plc") == {"future": 1}
    untouched(bad, clean, 11, 13)
    assert not bad.events


def test_payloads_of_another_shape_are_refused_and_counted(clean: Run) -> None:
    bad = run(changed(arrivals(), "plc", range(60, 63), made(data=np.zeros(7))))
    assert bad.refused("plc") == {"malformed": 3}
    untouched(bad, clean, 11, 14)


def test_a_sample_sent_twice_is_counted_once(clean: Run) -> None:
    steps = arrivals()
    twice = [a for step in steps for a in ([step, step] if step.sample.stream == "mic" else [step])]
    bad = run(twice)
    assert bad.refused("mic") == {"duplicate": HOPS}
    assert bad.judged == clean.judged
