"""Pictures that threads made ready are those that would have been made."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
import simplejpeg

from pipeline.core.arrival import Arrival, SampleArrived, StreamEnded
from pipeline.core.errors import BadReading
from pipeline.core.sample import Encoding, Sample
from pipeline.detection.ahead import FEWEST, Ahead
from pipeline.models.picture import prepare_picture


def pictures(count: int) -> list[SampleArrived]:
    rng = np.random.default_rng(3)
    found = []
    for number in range(count):
        noise = rng.integers(0, 255, (180, 320, 3), dtype=np.uint8)
        jpeg = simplejpeg.encode_jpeg(cv2.GaussianBlur(noise, (7, 7), 0), colorspace="BGR")
        found.append(SampleArrived(number, "n", Sample("cam", number, number, jpeg, Encoding.JPEG)))
    return found


def prepared(sample: Sample) -> Sample:
    return prepare_picture(sample, 144)


@pytest.mark.parametrize("count", [1, FEWEST, 40])
def test_what_comes_out_and_its_order_do_not_depend_on_the_threads(count: int) -> None:
    arrivals: list[Arrival] = [*pictures(count), StreamEnded(99, "n", "cam")]
    samples = [a.sample for a in arrivals if isinstance(a, SampleArrived)]
    ahead = Ahead(prepared, 3)
    for _ in range(2):
        ahead.begin(arrivals)
        for sample in samples:
            made, wanted = ahead.prepare(sample), prepared(sample)
            assert (made.sequence, made.encoding) == (sample.sequence, Encoding.RAW)
            assert np.array_equal(np.asarray(made.data), np.asarray(wanted.data))
    ahead.close()


def test_a_picture_that_cannot_be_read_says_so_when_its_turn_comes() -> None:
    arrivals = pictures(FEWEST)
    spoilt = Sample("cam", 9, 9, b"\xff\xd8 no picture", Encoding.JPEG)
    ahead = Ahead(prepared, 2)
    ahead.begin([SampleArrived(0, "n", spoilt), *arrivals])
    ahead.prepare(arrivals[0].sample)
    with pytest.raises(BadReading, match="cannot be decoded"):
        ahead.prepare(spoilt)
    ahead.close()


def test_many_are_made_in_threads_and_few_where_they_are_asked_for() -> None:
    made_in: list[str] = []

    def noted(sample: Sample) -> Sample:
        made_in.append(threading.current_thread().name)
        return sample

    ahead = Ahead(noted, 2)
    for count in (FEWEST - 1, FEWEST):
        arrivals = pictures(count)
        ahead.begin(arrivals)
        for arrival in arrivals:
            ahead.prepare(arrival.sample)
    ahead.close()
    assert [name.startswith("decode") for name in made_in] == [False] * 2 + [True] * 3
