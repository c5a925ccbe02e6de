"""A recording as a live source: the same samples at the pace at which they arrived."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.core.arrival import Arrival, SampleArrived, StreamOpened
from pipeline.core.clock import ManualClock
from pipeline.core.errors import SourceEnded, SourceUnavailable
from pipeline.core.sample import Sample, StreamInfo
from pipeline.sources.base import SOURCES, Source, SourceContext
from pipeline.sources.recording import RecordingSettings
from tests.unit.recordings import MS, PUMP, T0, record, scene

NOW = 5_000_000_000_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    record(tmp_path / "r.mcap", scene(2.0))
    return tmp_path / "r.mcap"


def made(clock: ManualClock, **settings: object) -> Source:
    def reject(*_: object) -> None:
        raise AssertionError("a recording has nothing to reject")

    return RecordingSettings(**settings).build(SourceContext(clock, reject))  # type: ignore[arg-type]


def later_by(arrival: Arrival, by_ns: int) -> Arrival:
    moved = replace(arrival, arrival_ns=arrival.arrival_ns + by_ns)
    if isinstance(moved, SampleArrived):
        sample = replace(moved.sample, timestamp_ns=moved.sample.timestamp_ns + by_ns)
        moved = replace(moved, sample=sample)
    return moved


def all_of(source: Source) -> list[Sample]:
    samples: list[Sample] = []
    with pytest.raises(SourceEnded):
        while True:
            samples.extend(source.read(0.0))
    source.close()
    return samples


def key(sample: Sample) -> tuple[object, ...]:
    return (sample.stream, sample.timestamp_ns, sample.position, sample.nbytes)


def test_it_is_found_as_a_kind_of_source() -> None:
    assert SOURCES.settings("recording") is RecordingSettings


def test_stamps_stay_exact_and_only_the_wanted_streams_are_played(path: Path) -> None:
    source = made(ManualClock(NOW), paths=[path], streams=["mic", "pump"], speed="max")
    infos = source.open()
    assert [(i.name, i.stamp) for i in infos] == [("mic", "exact"), ("pump", "exact")]
    wanted = [
        a.sample
        for a in scene(2.0)
        if isinstance(a, SampleArrived) and a.sample.stream in ("mic", "pump")
    ]
    assert [key(s) for s in all_of(source)] == [key(s) for s in wanted]


def test_samples_come_when_they_are_due_and_not_before(path: Path) -> None:
    clock = ManualClock(NOW)
    source = made(clock, paths=[path], streams=["pump"], speed=2.0)
    source.open()
    assert len(source.read(0.0)) == 1
    assert source.read(0.0) == []
    clock.advance(100 * MS)
    assert len(source.read(0.0)) == 20
    clock.advance(10_000 * MS)
    assert len(all_of(source)) == 200 - 21


def test_rebased_stamps_begin_now_and_never_lie_ahead(path: Path) -> None:
    clock = ManualClock(NOW)
    source = made(clock, paths=[path], streams=["camera", "pump"], rebase=True)
    assert {i.stamp for i in source.open()} == {"pts"}
    samples = list(source.read(0.0))
    while samples[-1].timestamp_ns < NOW + 1000 * MS:
        clock.advance(50 * MS)
        batch = source.read(0.0)
        assert all(s.timestamp_ns <= clock.now_ns() for s in batch)
        samples.extend(batch)
    assert samples[0].timestamp_ns == NOW


def test_a_loop_goes_on_in_time_with_a_new_epoch_each_round(path: Path) -> None:
    clock = ManualClock(NOW)
    source = made(clock, paths=[path], streams=["camera"], rebase=True, loop=True)
    source.open()
    samples: list[Sample] = []
    while len(samples) < 65:
        samples.extend(source.read(0.0))
        clock.advance(20 * MS)
    stamps = [s.timestamp_ns for s in samples]
    assert stamps == sorted(stamps)
    assert [s.epoch for s in samples[:60]] == [0] * 20 + [1] * 20 + [2] * 20
    source.close()
    source.close()


@pytest.mark.parametrize("rebase", [False, True])
def test_nothing_is_waited_for_between_what_was_recorded_on_two_days(
    tmp_path: Path, rebase: bool
) -> None:
    day_ns = 24 * 3600 * 1000 * MS
    for number in range(2):
        later = [later_by(arrival, number * day_ns) for arrival in scene(2.0)]
        record(tmp_path / f"{number}.mcap", later)
    clock = ManualClock(NOW)
    paths = [tmp_path / "0.mcap", tmp_path / "1.mcap"]
    source = made(clock, paths=paths, streams=["camera"], rebase=rebase)
    source.open()
    samples: list[Sample] = []
    while len(samples) < 40 and clock.now_ns() < NOW + 10_000 * MS:
        samples.extend(source.read(0.0))
        clock.advance(20 * MS)
    assert len(samples) == 40
    first, second = (samples[n].timestamp_ns for n in (0, 20))
    assert second - first < 3000 * MS if rebase else second - first == day_ns


def wider(arrival: Arrival) -> Arrival:
    """The same of a pump with a channel more."""
    if isinstance(arrival, StreamOpened) and arrival.info.name == "pump":
        four = replace(PUMP, shape=(4,), channels=(*PUMP.channels, "more"))
        return replace(arrival, info=four)
    if isinstance(arrival, SampleArrived) and arrival.sample.stream == "pump":
        data = np.append(np.asarray(arrival.sample.data), 1.0)
        return replace(arrival, sample=replace(arrival.sample, data=data))
    return arrival


@pytest.mark.parametrize("loop", [False, True])
def test_a_stream_with_other_channels_later_on_is_announced_anew_there(
    tmp_path: Path, loop: bool
) -> None:
    record(tmp_path / "1.mcap", scene(1.0))
    record(tmp_path / "2.mcap", [wider(later_by(a, 2000 * MS)) for a in scene(1.0)])
    given: list[int | tuple[int, ...]] = []
    clock = ManualClock(NOW)

    def announce(infos: tuple[StreamInfo, ...]) -> None:
        assert [info.name for info in infos] == ["mic", "pump"]
        given.append(infos[1].shape)

    source = RecordingSettings(
        paths=[tmp_path / "1.mcap", tmp_path / "2.mcap"],
        streams=["mic", "pump"],
        rebase=loop,
        loop=loop,
        speed=1.0 if loop else "max",
    ).build(SourceContext(clock, lambda *_: None, announce))
    given.append(source.open()[1].shape)
    with suppress(SourceEnded):
        while given.count((3,)) < 2 or clock.now_ns() < NOW + 4000 * MS:
            batch = source.read(0.0)
            given += [len(s.data) for s in batch if s.stream == "pump"]
            clock.advance(20 * MS)
    source.close()
    shapes = [one for one, following in pairwise([*given, None]) if one != following]
    assert shapes[:4] == [(3,), 3, (4,), 4]
    assert shapes[4:6] == ([(3,), 3] if loop else [])


def test_opened_again_it_begins_again(path: Path) -> None:
    source = made(ManualClock(NOW), paths=[path], streams=["camera"], speed="max")
    source.open()
    first = source.read(0.0)[0].timestamp_ns
    source.open()
    assert source.read(0.0)[0].timestamp_ns == first == T0


@pytest.mark.parametrize(
    ("streams", "name", "words"),
    [(["door"], "r.mcap", "it has: camera, journal"), (["mic"], "none.mcap", "No such file")],
)
def test_what_is_not_there_is_named(path: Path, streams: list[str], name: str, words: str) -> None:
    source = made(ManualClock(), paths=[path.parent / name], streams=streams)
    with pytest.raises(SourceUnavailable, match=words):
        source.open()


def test_a_recording_that_is_cut_off_is_played_as_far_as_it_goes(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:400_000])
    source = made(ManualClock(NOW), paths=[path], streams=["pump"], speed="max")
    source.open()
    assert 50 < len(all_of(source)) < 200


@pytest.mark.parametrize(
    "wrong", [{"loop": True}, {"rebase": True, "speed": 2.0}, {"speed": 0}, {"streams": []}]
)
def test_settings_that_would_turn_time_back_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RecordingSettings(**{"paths": [Path("x")], "streams": ["a"], **wrong})  # type: ignore[arg-type]
