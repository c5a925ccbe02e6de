"""What a sensor channel cannot read counts as not read."""

from __future__ import annotations

import numpy as np
import pytest
import structlog
from pydantic import ValidationError

from pipeline.alignment.settings import StreamOptions
from pipeline.core.sample import Sample
from pipeline.core.window import SensorSlice, Window
from tests.unit.alignment_streams import PROBE, feed, opened, patient, reading

BREAK, MENDED = 60, 100  # readings; a window of the probe has 40, a hop 10
OPTIONS = {"probe": {"channel_range": {"b": (-40.0, 125.0)}}}


def probe(value: float) -> list[Sample]:
    """Channel b says `value` for two seconds."""
    return [
        reading(i, values=(float(i), value if BREAK <= i < MENDED else 20.0)) for i in range(160)
    ]


def slices(samples: list[Sample], options: dict[str, object]) -> list[SensorSlice]:
    aligner = opened(patient(streams=("probe",), options=options), [PROBE])
    return [sensor(window) for window in feed(aligner, samples).windows]


def sensor(window: Window) -> SensorSlice:
    part = window.slices["probe"]
    assert isinstance(part, SensorSlice)
    return part


@pytest.mark.parametrize("value", [327.67, -127.0, 1e300])
def test_an_impossible_reading_never_reaches_a_window(value: float) -> None:
    found = slices(probe(value), OPTIONS)
    values = np.concatenate([part.values[:10] for part in found])  # what each window has new
    present = np.concatenate([part.present[:10] for part in found])
    assert present[:, 0].all()
    # Never on the way to what cannot be either.
    np.testing.assert_allclose(values[present[:, 1], 1], 20.0, rtol=1e-12)
    assert values[BREAK, 0] == BREAK


def test_a_window_says_which_channel_was_mostly_beyond() -> None:
    found = slices(probe(327.67), OPTIONS)
    mostly = [part.beyond for part in found]
    shares = [np.isin(np.arange(10 * k, 10 * k + 40), range(BREAK, MENDED)) for k in range(13)]
    assert mostly == [("b",) if 2 * share.sum() > 40 else () for share in shares]
    assert ("b",) in mostly


def test_options_of_a_channel_that_is_not_there_are_told() -> None:
    options = {"probe": {"channel_range": {"c": (0, 1)}, "channel_interpolation": {"b": "none"}}}
    with structlog.testing.capture_logs() as logs:
        slices(probe(20.0), options)
        slices(probe(20.0), OPTIONS)
    (told,) = logs
    assert (told["stream"], told["options_of"]) == ("probe", ["c"])


def test_without_a_range_a_reading_is_what_it_is() -> None:
    found = slices(probe(327.67), {})
    assert max(part.values[:, 1].max() for part in found) == 327.67
    assert {part.beyond for part in found} == {()}


def test_the_ends_of_a_range_can_be_read() -> None:
    assert {part.beyond for part in slices(probe(125.0), OPTIONS)} == {()}


def test_a_channel_that_is_missing_is_not_out_of_range() -> None:
    assert {part.beyond for part in slices(probe(float("nan")), OPTIONS)} == {()}


@pytest.mark.parametrize("ends", [(5.0, 5.0), (9.0, 1.0)])
def test_a_range_that_is_none_is_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match="give the least value"):
        StreamOptions(channel_range={"b": ends})
