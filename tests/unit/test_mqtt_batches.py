"""Messages that hold many readings at once: which, when, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.core.ledger import DropReason
from pipeline.core.sample import Sample
from pipeline.sources.batches import LONGEST, BatchSettings
from tests.requirements import require_module

require_module("paho")

from pipeline.sources.mqtt_messages import Message, MessageReader, MqttStream, stream_info  # noqa: E402

SECOND_NS = 1_000_000_000
ARRIVAL_NS = 1_700_000_000 * SECOND_NS
AXES = [{"name": "x", "path": "a.x"}, {"name": "y", "scale": 2}]


def read(message: object, **keys: object) -> tuple[list[Sample], list[tuple[str, DropReason, str]]]:
    refused: list[tuple[str, DropReason, str]] = []
    settings = {"name": "v", "topic": "t", "channels": AXES, "rate_hz": 100, "batch": {}} | keys
    stream = MqttStream.model_validate(settings)
    reader = MessageReader([stream], lambda *what: refused.append(what))
    return reader.samples(Message(ARRIVAL_NS, "t", json.dumps(message).encode())), refused


def rows(samples: list[Sample]) -> list[list[float]]:
    return np.asarray([s.data for s in samples]).tolist()


def test_columns_become_readings_a_period_apart_that_end_when_the_message_came() -> None:
    samples, refused = read({"a": {"x": [1, 2, 3]}, "y": [4, 5, 6]})
    assert rows(samples) == [[1, 8], [2, 10], [3, 12]]
    assert [s.timestamp_ns - ARRIVAL_NS for s in samples] == [-20_000_000, -10_000_000, 0]
    assert not refused


@pytest.mark.parametrize(("time_of", "first_ms"), [("first", 0), ("last", -20)])
def test_a_time_in_the_message_is_of_its_first_or_last_reading(time_of: str, first_ms: int) -> None:
    message = {"t": 1_600_000_000, "a": {"x": [1, 2, 3]}, "y": [4, 5, 6]}
    samples, _ = read(message, batch={"time_of": time_of}, time={"path": "t", "unit": "s"})
    first_ns = 1_600_000_000 * SECOND_NS + first_ms * 1_000_000
    assert [s.timestamp_ns for s in samples] == [first_ns + n * 10_000_000 for n in range(3)]


@pytest.mark.parametrize("where", ["", "data.readings"])
def test_rows_are_documents_of_their_own(where: str) -> None:
    listed = [{"a": {"x": 1}, "y": 2}, {"y": 3}]
    samples, refused = read(
        {"data": {"readings": listed}} if where else listed, batch={"rows": where}
    )
    assert rows(samples)[0] == [1, 4]
    assert np.isnan(samples[1].data[0])
    assert not refused


def test_rows_of_numbers_are_named_by_their_place() -> None:
    channels = [{"name": "x", "path": "[0]"}, {"name": "y", "path": "[1]"}]
    samples, _ = read({"s": [[1, 2], [3, 4]]}, batch={"rows": "s"}, channels=channels)
    assert rows(samples) == [[1, 2], [3, 4]]


def test_a_channel_that_is_absent_is_missing_and_the_others_stay() -> None:
    samples, refused = read({"y": [1, 2]})
    assert [np.isnan(s.data[0]) for s in samples] == [True, True]
    assert [s.data[1] for s in samples] == [2, 4]
    assert not refused


def test_readings_without_any_number_are_counted_and_the_others_keep_their_times() -> None:
    samples, refused = read({"a": {"x": [1, None, 3]}, "y": [1, "?", 3]})
    assert [s.timestamp_ns - ARRIVAL_NS for s in samples] == [-20_000_000, 0]
    assert [reason for _, reason, _ in refused] == [DropReason.CORRUPT]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"a": {"x": [1, 2]}, "y": [1]}, "different lengths"),
        ({"a": {"x": 1}, "y": 2}, "none of the channels is a list"),
        ({"y": [0] * (LONGEST + 1)}, "over 65536"),
        ([1], "none of the channels"),
    ],
)
def test_what_nobody_can_place_is_refused_as_a_whole(message: object, why: str) -> None:
    samples, refused = read(message)
    assert not samples
    ((_, reason, detail),) = refused
    assert (reason, why in detail) == (DropReason.CORRUPT, True)


def test_rows_that_are_not_there_are_refused() -> None:
    samples, refused = read({"y": [1]}, batch={"rows": "readings"})
    assert (samples, "nothing at 'readings'" in refused[0][2]) == ([], True)


@pytest.mark.parametrize("keys", [{"rate_hz": None}, {"modality": "text", "channels": []}])
def test_a_batch_needs_readings_and_their_rate(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="it needs channels, and rate_hz"):
        read({}, **keys)


@given(
    count=st.integers(1, 500),
    rate_hz=st.floats(0.1, 50_000),
    own=st.booleans(),
    time_of=st.sampled_from(["first", "last"]),
)
def test_times_grow_by_the_period_and_touch_the_time_they_are_told(
    count: int, rate_hz: float, own: bool, time_of: str
) -> None:
    batch = BatchSettings.model_validate({"time_of": time_of})
    told_ns = ARRIVAL_NS - SECOND_NS
    times = batch.times_ns(count, told_ns if own else None, ARRIVAL_NS, rate_hz)
    assert len(times) == count
    wanted = times[0] if own and time_of == "first" else times[-1]
    assert wanted == (told_ns if own else ARRIVAL_NS)
    span_ns = (count - 1) * SECOND_NS / rate_hz
    assert abs(times[-1] - times[0] - span_ns) <= 1
    assert times == sorted(times)


def test_the_stream_is_announced_with_the_rate_of_its_readings() -> None:
    settings = {"name": "v", "topic": "t", "channels": AXES, "rate_hz": 100, "batch": {}}
    assert stream_info(MqttStream.model_validate(settings)).rate_hz == 100
