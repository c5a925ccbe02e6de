"""Readings that come once in some seconds, minutes or hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from nodes.assembly import build_engine
from nodes.commission import commission_scene, windows_of
from nodes.replay import replay
from pipeline.alignment.account import Discard
from pipeline.alignment.aligner import AlignerSettings
from pipeline.alignment.settings import StreamOptions
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import Arrival, SampleArrived, StreamOpened
from pipeline.core.errors import ModelError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.models.settings import DetectorSettings
from pipeline.recording.writer import RecordingWriter

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_100 * SECOND_NS
PERIOD_S, COUNT = 300, 400

DEPLOYMENT = """
name: d
nodes: {n: {sources: [{type: csv_file, path: none.csv, stream: heat}]}}
streams: {heat: {max_gap_s: %d, interpolation: %s}}
scenes: {s: {streams: [heat], window_s: 1800, hop_s: 300}}
"""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    info = StreamInfo("heat", Modality.SENSOR, 1 / PERIOD_S, (1,), "float64", "", ("heat",))
    path, random = tmp_path / "r.mcap", np.random.default_rng(0)
    with RecordingWriter(path) as writer:
        writer.write(StreamOpened(START_NS, "n", info))
        for number in range(COUNT):
            at_ns = START_NS + number * PERIOD_S * SECOND_NS
            reading = Sample("heat", number, at_ns, random.normal(20, 1, 1), Encoding.FLOAT)
            writer.write(SampleArrived(at_ns, "n", reading))
    return path


def deployment(folder: Path, max_gap_s: int, interpolation: str = "linear") -> Deployment:
    file = folder / "d.yaml"
    file.write_text(DEPLOYMENT % (max_gap_s, interpolation))
    return load_deployment(file)


SETTINGS = DetectorSettings(block_s=7200.0)
HINT = "has a reading every 300 s, and one holds for 200 s"


@pytest.mark.parametrize(("max_gap_s", "hints"), [(200, 1), (700, 0)])
def test_who_learns_them_is_told_when_they_do_not_hold_until_the_next(
    recording: Path, tmp_path: Path, max_gap_s: int, hints: int
) -> None:
    site = deployment(tmp_path, max_gap_s, "previous")
    report = commission_scene(site, "s", [recording], tmp_path / "s.model", settings=SETTINGS)
    assert sum(HINT in one and "to 600 or more" in one for one in report.warnings) == hints


def test_so_is_who_learns_them_in_windows_of_two(recording: Path, tmp_path: Path) -> None:
    """What a channel does within a window is not seen then."""
    site = deployment(tmp_path, 700)
    for window_s, told in ((600.0, True), (3000.0, False)):
        scene = site.scenes["s"].model_copy(update={"window_s": window_s})
        other = site.model_copy(update={"scenes": {"s": scene}})
        model = tmp_path / "s.model"
        report = commission_scene(other, "s", [recording], model, settings=SETTINGS)
        fix = "set window_s of the scene to 3000 and hop_s to 300"
        assert any(fix in one for one in report.warnings) is told


def test_so_is_who_cannot_learn_them_for_that_reason(recording: Path, tmp_path: Path) -> None:
    site = deployment(tmp_path, 200)
    with pytest.raises(ModelError, match=HINT):
        commission_scene(site, "s", [recording], tmp_path / "s.model", settings=SETTINGS)


def test_what_is_replayed_after_a_part_that_is_left_out_is_believed(
    recording: Path, tmp_path: Path
) -> None:
    """The fusion node was away for a day; the sensor's next stamps are as far ahead of its time."""
    site = deployment(tmp_path, 700)
    whole = replay([recording], site)
    later = replay([recording], site, from_s=PERIOD_S * COUNT / 2)
    assert whole.windows > 0.95 * COUNT
    assert later.windows > 0.45 * COUNT
    assert not whole.events
    assert not later.events


def test_a_reading_holds_until_the_next_where_faster_streams_move_the_windows_on(
    tmp_path: Path,
) -> None:
    path, file = tmp_path / "r.mcap", tmp_path / "d.yaml"
    paces_s = {"fast": 0.5, "slow": 5.0}
    arrivals: list[Arrival] = []
    for name, pace_s in paces_s.items():
        info = StreamInfo(name, Modality.SENSOR, 1 / pace_s, (1,), "float64", "", ("v",))
        arrivals.append(StreamOpened(START_NS, "n", info))
        for number in range(round(120 / pace_s)):
            at_ns = START_NS + round((number + 0.3) * pace_s * SECOND_NS)
            reading = Sample(name, number, at_ns, np.ones(1), Encoding.FLOAT)
            arrivals.append(SampleArrived(at_ns, "n", reading))
    with RecordingWriter(path) as writer:
        for arrival in sorted(arrivals, key=lambda one: one.arrival_ns):
            writer.write(arrival)
    sources = ", ".join(f"{{type: csv_file, stream: {name}, path: x.csv}}" for name in paces_s)
    file.write_text(
        f"name: d\nnodes: {{n: {{sources: [{sources}]}}}}\n"
        "scenes: {s: {streams: [fast, slow]}}\n"
    )
    windows = list(windows_of(load_deployment(file), "s", [path], DetectorSettings()))
    assert len(windows) > 200
    assert np.mean([one.slices["slow"].coverage for one in windows]) > 0.95


@pytest.mark.parametrize("paces_s", [(3600,), (3600, 3600), (3600, 5000, 1500)])
@pytest.mark.parametrize("rated", [True, False])
def test_a_backlog_of_slow_readings_is_believed_as_it_is_not_of_the_future(
    paces_s: tuple[int, ...], rated: bool
) -> None:
    """After an outage of ten hours, of which everything arrives at once."""
    for restarted in (False, True):
        counts = discarded_after_ten_hours_away(paces_s, rated=rated, restarted=restarted)
        assert [one.get(Discard.FUTURE, 0) for one in counts] == [0] * len(paces_s)


def test_what_is_of_the_future_is_not_believed_with_a_backlog() -> None:
    """A sensor whose clock is wrong speaks while the backlog comes."""
    delayed, future = discarded_after_ten_hours_away((3600, 3600), rated=True, ahead_s=10**8)
    assert delayed.get(Discard.FUTURE, 0) == 0
    assert future[Discard.FUTURE] > 5


def discarded_after_ten_hours_away(
    paces_s: Sequence[int], *, rated: bool, ahead_s: int = 0, restarted: bool = False
) -> list[Mapping[Discard, int]]:
    """What is discarded of each stream once all is back.

    Args:
        paces_s: Seconds from reading to reading, by stream.
        rated: Whether the streams say so.
        ahead_s: By how much the stamps of the last one are wrong from then on.
        restarted: Whether it was the fusion node that was away, and not the line.
    """
    hour_ns = 3600 * SECOND_NS
    names = tuple(f"s{number}" for number in range(len(paces_s)))
    options = dict.fromkeys(names, StreamOptions(max_gap_ns=4 * hour_ns))
    settings = AlignerSettings(
        scene="s", streams=names, window_ns=2 * hour_ns, hop_ns=hour_ns, options=options
    )
    aligner = settings.build()
    infos = [
        StreamInfo(
            name, Modality.SENSOR, 1 / pace_s if rated else None, (1,), "float64", "", ("v",)
        )
        for name, pace_s in zip(names, paces_s, strict=True)
    ]
    for info in infos:
        aligner.open(info)
    times = [
        (START_NS + (count * pace_s + 700 * number) * SECOND_NS, names[number], count)
        for number, pace_s in enumerate(paces_s)
        for count in range(30 * 3600 // pace_s)
    ]
    gone_ns, back_ns = START_NS + 10 * hour_ns, START_NS + 20 * hour_ns
    for at_ns, name, count in sorted(times):
        arrival_ns = back_ns if gone_ns < at_ns < back_ns else at_ns
        if restarted and at_ns > gone_ns and aligner.next_index is not None:
            index, aligner, restarted = aligner.next_index, settings.build(), False
            aligner.resume_at(index)
            for info in infos:
                aligner.open(info)
        wrong = name == names[-1] and at_ns > gone_ns
        stamp_ns = at_ns + ahead_s * SECOND_NS * wrong
        aligner.pop_ready(arrival_ns)
        aligner.push(Sample(name, count, stamp_ns, np.ones(1), Encoding.FLOAT), arrival_ns)
    return [counts.discarded for counts in aligner.counts.values()]


@pytest.mark.parametrize("seed", range(10))
def test_streams_that_are_well_are_never_called_silent_whatever_their_pace(
    tmp_path: Path, seed: int
) -> None:
    random = np.random.default_rng(seed)
    periods_s = 10.0 ** random.uniform(0.9, 2.8) * random.uniform(1.0, 1.5, random.integers(1, 4))
    names = [f"s{number}" for number in range(len(periods_s))]
    window_s = random.choice([4 * periods_s.min(), 10 * periods_s.max()])
    sources = ", ".join(f"{{type: csv_file, stream: {name}, path: x.csv}}" for name in names)
    options = ", ".join(
        f"{name}: {{interpolation: previous, max_gap_s: {3 * period_s}}}"
        for name, period_s in zip(names, periods_s, strict=True)
    )
    scene = f"streams: [{', '.join(names)}], window_s: {window_s}, hop_s: {window_s}"
    file = tmp_path / "d.yaml"
    file.write_text(
        f"name: d\nnodes: {{n: {{sources: [{sources}]}}}}\nstreams: {{{options}}}\n"
        f"scenes: {{s: {{{scene}}}}}\n"
    )
    engine = build_engine(load_deployment(file)).engine
    arrivals: list[tuple[int, Arrival]] = []
    for name, period_s in zip(names, periods_s, strict=True):
        info = StreamInfo(name, Modality.SENSOR, 1 / period_s, (1,), "float64", "", ("v",))
        arrivals.append((START_NS, StreamOpened(START_NS, "n", info)))
        for number in range(round(30 * periods_s.max() / period_s)):
            at_ns = START_NS + round((number + random.uniform(0.0, 0.1)) * period_s * SECOND_NS)
            reading = Sample(name, number, at_ns, random.normal(size=1), Encoding.FLOAT)
            arrivals.append((at_ns, SampleArrived(at_ns, "n", reading)))
    for at_ns, arrival in sorted(arrivals, key=lambda one: one[0]):
        engine.advance(at_ns)
        engine.take(arrival)
    assert [event.summary for event in engine.collect().events] == []
    engine.advance(at_ns + round(max(2.0 * periods_s.max(), 30.0) * SECOND_NS))
    assert engine.collect().events
