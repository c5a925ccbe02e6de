"""Reading a recording while it is still being written."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.core.arrival import Arrival, SampleArrived, StreamOpened
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording.following import FollowedRecording
from pipeline.recording.reader import Recording
from pipeline.recording.writer import RecordingWriter

S = 1_000_000_000
INFO = StreamInfo("plc", Modality.SENSOR, 10.0, (2,), "float64", "", ("a", "b"))


def arrivals(first: int, count: int) -> list[Arrival]:
    return [
        SampleArrived(S + at * S, "node", Sample("plc", at, S + at * S, np.ones(2), Encoding.FLOAT))
        for at in range(first, first + count)
    ]


def sequences(found) -> list[int]:
    return [one.sample.sequence for one in found if isinstance(one, SampleArrived)]


def test_each_look_gives_what_came_since_and_all_together_the_recording(tmp_path: Path):
    path = tmp_path / "r.mcap"
    followed = FollowedRecording(path)
    assert list(followed.further()) == []
    seen: list[Arrival] = []
    with RecordingWriter(path, flush_s=3600.0) as writer:
        assert list(followed.further()) == []
        writer.write(StreamOpened(S, "node", INFO))
        for first in range(0, 30, 10):
            for arrival in arrivals(first, 10):
                writer.write(arrival)
            assert list(followed.further()) == []
            writer.flush()
            found = list(followed.further())
            assert sequences(found) == list(range(first, first + 10))
            seen.extend(found)
        for arrival in arrivals(30, 5):
            writer.write(arrival)
    seen.extend(followed.further())
    assert list(followed.further()) == []
    with Recording(path) as recording:
        assert sequences(seen) == sequences(recording.arrivals()) == list(range(35))
    assert isinstance(seen[0], StreamOpened)


def test_a_chunk_that_is_half_written_waits_until_it_is_whole(tmp_path: Path):
    whole, growing = tmp_path / "whole.mcap", tmp_path / "growing.mcap"
    with RecordingWriter(whole, flush_s=3600.0) as writer:
        writer.write(StreamOpened(S, "node", INFO))
        for first in range(0, 40, 10):
            for arrival in arrivals(first, 10):
                writer.write(arrival)
            writer.flush()
    data = whole.read_bytes()
    followed = FollowedRecording(growing)
    seen: list[int] = []
    for size in range(0, len(data) + 1, 97):
        growing.write_bytes(data[:size])
        seen.extend(sequences(followed.further()))
        assert seen == list(range(len(seen)))
    growing.write_bytes(data)
    seen.extend(sequences(followed.further()))
    assert seen == list(range(40))
