"""A part of a recording replays as that time did; several become one in order of time."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from nodes.cli import run
from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.errors import RecordingError
from pipeline.core.sample import Encoding
from pipeline.recording import Recording, RecordingWriter, rewrite
from tests.unit.recordings import MS, PUMP, STREAMS, T0, event, record, same, sample, scene


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Four seconds of four streams, with an event and clock offsets."""
    path = tmp_path / "old.mcap"
    scenes = {"hall": [info.name for info in STREAMS]}
    with RecordingWriter(path, deployment="d", scenes=scenes) as writer:
        for arrival in scene(4, jpeg_bytes=500):
            writer.write(arrival)
        for second in range(4):
            writer.clock_offset("hall", 5 + second, 3, T0 + second * 1000 * MS)
        writer.event(event(), T0 + 2100 * MS)
    return path


def test_a_cut_holds_what_arrived_in_its_span(recording: Path, tmp_path: Path) -> None:
    output = tmp_path / "new.mcap"
    first_ns, last_ns = T0 + 1500 * MS, T0 + 2500 * MS
    made = rewrite([recording], output, from_ns=first_ns, to_ns=last_ns)
    with Recording(recording) as old, Recording(output) as new:
        wanted = list(old.arrivals(first_ns, last_ns))
        found = list(new.arrivals())
        assert same(found, wanted)
        assert [type(one) for one in found[:4]] == [StreamOpened] * 4
        assert made.samples == sum(isinstance(one, SampleArrived) for one in wanted)
        assert [offset.offset_ns for offset in new.clock_offsets()] == [7]
        assert [time_ns for time_ns, _ in new.events()] == [T0 + 2100 * MS]
        assert new.origin_ns == first_ns
        assert (new.deployment, new.scenes) == (old.deployment, old.scenes)
    assert made.events == 1


def test_parts_put_together_again_are_the_whole(recording: Path, tmp_path: Path) -> None:
    parts = [tmp_path / f"{number}.mcap" for number in range(3)]
    edges = [None, T0 + 1000 * MS, T0 + 2700 * MS, None]
    for part, (first_ns, last_ns) in zip(parts, pairwise(edges), strict=True):
        rewrite([recording], part, from_ns=first_ns, to_ns=last_ns)
    output = tmp_path / "whole.mcap"
    rewrite(parts[::-1], output)
    with Recording(recording) as old, Recording(output) as new:
        samples = [
            [one for one in side.arrivals() if isinstance(one, SampleArrived)]
            for side in (new, old)
        ]
        assert same(*samples)
        assert [*new.events()] == [*old.events()]
        assert [*new.clock_offsets()] == [*old.clock_offsets()]


def test_the_command_line_cuts_by_seconds_and_merges(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, whole = (tmp_path / f"{name}.mcap" for name in ("first", "second", "whole"))
    assert run(["recording", "cut", str(recording), "-o", str(first), "--to", "2"]) == 0
    assert run(["recording", "cut", str(recording), "-o", str(second), "--from", "2"]) == 0
    capsys.readouterr()
    merged = ["recording", "merge", str(first), str(second), "-o", str(whole), "--json"]
    assert run(merged) == 0
    told = json.loads(capsys.readouterr().out)
    with Recording(recording) as old:
        assert told["samples"] == sum(total.samples for total in old.totals.values())
    assert (told["events"], told["faults"]) == (1, [])


def test_nothing_is_left_of_a_cut_that_would_be_empty(recording: Path, tmp_path: Path) -> None:
    output = tmp_path / "new.mcap"
    with pytest.raises(RecordingError, match="nothing in this span"):
        rewrite([recording], output, from_ns=T0 + 10**12)
    assert not output.exists()


def test_a_recording_is_never_replaced_by_its_own_part(recording: Path) -> None:
    with pytest.raises(RecordingError, match="would replace an old one"):
        rewrite([recording], recording, from_ns=T0 + 1000 * MS, overwrite=True)
    with Recording(recording) as old:
        assert old.truncated is None


def test_an_existing_file_is_kept_unless_told(recording: Path, tmp_path: Path) -> None:
    output = tmp_path / "new.mcap"
    output.write_bytes(b"precious")
    with pytest.raises(RecordingError):
        rewrite([recording], output)
    assert output.read_bytes() == b"precious"
    assert rewrite([recording], output, overwrite=True).samples > 0


MERGE = """
import resource, sys
from pathlib import Path
from pipeline.core.errors import RecordingError
from pipeline.recording import rewrite

hard = int(sys.argv[2]) or resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
folder = Path(sys.argv[1])
try:
    print(rewrite(sorted(folder.glob("*.mcap")), folder / "all").samples)
except RecordingError as error:
    print(error)
"""


@pytest.mark.parametrize(("hard", "words"), [(0, "100\n"), (64, "(ulimit -n))\n")])
def test_more_files_are_merged_than_may_be_open_at_first(
    tmp_path: Path, hard: int, words: str
) -> None:
    opened = StreamOpened(T0, "hall", PUMP)
    record(tmp_path / "0.mcap", [opened, sample("pump", 0, T0, np.zeros(3), Encoding.FLOAT)])
    for number in range(1, 100):
        (tmp_path / f"{number}.mcap").hardlink_to(tmp_path / "0.mcap")
    command = [sys.executable, "-c", MERGE, str(tmp_path), str(hard)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.endswith(words)
