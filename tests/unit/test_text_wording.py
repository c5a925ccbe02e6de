"""What an explanation says of the lines of a log."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import TextSlice, Window
from pipeline.models.stream_model import StreamModel
from pipeline.models.wording import describe
from pipeline.training.commissioning import commission

LOG = StreamInfo("log", Modality.TEXT, stamp="arrival")
SECOND_NS = 1_000_000_000


def slice_of(lines: tuple[str, ...]) -> TextSlice:
    return TextSlice(LOG, np.zeros(len(lines), np.int64), lines, 1.0)


def usual(count: int) -> tuple[str, ...]:
    return tuple(f"connection {n} from 10.0.0.{n} is closed" for n in range(count))


@pytest.fixture(scope="module")
def stream() -> StreamModel:
    """A log of 20 to 30 lines a window."""
    random = np.random.default_rng(0)
    windows = [
        Window(
            "room",
            index,
            index * SECOND_NS,
            (index + 1) * SECOND_NS,
            {LOG.name: slice_of(usual(int(random.integers(20, 31))))},
        )
        for index in range(1, 300)
    ]
    return commission("room", windows)[0].streams[0]


def said(stream: StreamModel, lines: tuple[str, ...], part: str = "mahalanobis") -> str:
    seen = slice_of(lines)
    features = stream.extractor.extract(seen)
    assert features is not None
    return describe(stream, part, features, np.array([3.0]), seen)


def test_it_is_told_that_there_are_more_or_fewer_lines(stream: StreamModel) -> None:
    assert said(stream, usual(320)) == "more lines than usual (seen 320, expected 20 to 30)"
    assert said(stream, usual(3)) == "fewer lines than usual (seen 3, expected 20 to 30)"
    assert said(stream, ()) == "fewer lines than usual (seen 0, expected 20 to 30)"


def test_as_many_known_lines_as_ever_are_an_unusual_mix(stream: StreamModel) -> None:
    assert said(stream, usual(1) * 25) == "an unusual mix of lines"


def test_a_new_line_is_told_before_how_many_there_are(stream: StreamModel) -> None:
    told = said(stream, (*usual(300), "kernel: out of memory"), "items")
    assert told == 'a line unlike any before: "kernel: out of memory"'
