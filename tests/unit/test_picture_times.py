"""Times of pictures that build on later ones, in containers that store none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.clock import NodeClock
from pipeline.core.errors import SourceEnded
from pipeline.core.picture_times import CountedTimes, PictureTimes
from pipeline.core.sample import Sample
from pipeline.recording.importing import ImportPlan
from pipeline.sources.media import MediaSettings
from tests.import_samples import footage, imported, number_of, one, stamps_ms
from tests.unit.sources import context

START = datetime(2024, 3, 1, tzinfo=UTC)


def told(*pairs: tuple[int | None, int | None]) -> list[int | None]:
    times = PictureTimes()
    return [times.of(pts, dts) for pts, dts in pairs]


def test_the_time_of_showing_counts_as_long_as_it_grows():
    assert told((0, -2), (1, -1), (2, 0), (3, 1)) == [0, 1, 2, 3]


def test_where_it_goes_back_and_forth_the_time_of_decoding_counts():
    swapped = (1, 3), (4, 4), (6, 5), (5, 6), (7, 7), (9, 8), (8, 9), (10, 10)
    assert told(*swapped) == [1, 4, 6, 6, 7, 8, 9, 10]


def test_counted_packets_are_shown_as_the_first_tells_until_nothing_more_goes_in():
    times = CountedTimes()
    shown = (0, 2), (2, 3), (3, 4), (1, 5), (5, None), (4, None)
    assert [times.of(pts, dts) for pts, dts in shown] == [0, 1, 2, 3, 4, 5]
    assert CountedTimes().of(None, None) is None


def test_a_clock_that_starts_anew_takes_both_back():
    assert told((90, 88), (91, 89), (0, 0), (1, 0)) == [90, 91, 0, 1]
    assert told((90, None), (91, None), (0, None), (1, None)) == [90, 91, 0, 1]


def test_what_has_one_time_goes_by_that():
    assert told((5, None), (None, 6), (None, None), (7, None)) == [5, 6, None, 7]


def test_the_last_ones_follow_at_the_pace_of_those_before():
    assert told((1, 2), (3, 3), (2, 4), (5, 5), (7, None), (6, None)) == [1, 3, 4, 5, 6, 7]


@pytest.fixture(scope="module")
def avi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AVI stores the order of decoding alone."""
    return footage(tmp_path_factory.mktemp("media") / "v.avi", codec="libx264", between=2)


def test_all_footage_is_imported_and_in_order(avi: Path, tmp_path: Path) -> None:
    report, streams = imported(
        ImportPlan(scene="s", output=tmp_path / "o.mcap", video={"cam": avi})
    )
    assert not one(report).dropped
    numbers = [number_of(a.sample) for a in streams["cam"]]
    assert numbers == sorted(numbers)
    assert len(numbers) == 30
    late_ms = np.array(stamps_ms(streams["cam"])) - 100.0 * np.arange(30)
    assert np.ptp(late_ms) <= 100.0


def test_a_source_gives_it_evenly_too(avi: Path) -> None:
    ctx, refusals = context(NodeClock())
    source = MediaSettings(file=avi, video="cam", pace="max", start=START).build(ctx)
    source.open()
    samples: list[Sample] = []
    try:
        while True:
            samples += source.read(5.0)
    except SourceEnded:
        source.close()
    assert not refusals
    steps_ms = np.diff([sample.timestamp_ns for sample in samples]) / 1e6
    assert len(samples) == 30
    assert np.sum(np.abs(steps_ms - 100.0) > 1.0) <= 1
