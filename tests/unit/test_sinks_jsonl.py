from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.core.errors import SinkUnavailable
from pipeline.core.event import from_json, to_json
from pipeline.sinks.jsonl import JsonlSettings, JsonlSink
from tests.event_samples import event, life


def sink_of(path: Path, **settings: object) -> JsonlSink:
    return JsonlSink(JsonlSettings(path=path, fsync=False, **settings))


def write(path: Path, *events) -> None:
    sink = sink_of(path)
    sink.open()
    for each in events:
        sink.deliver(each)
    sink.close()


def test_lines_are_the_canonical_json_of_each_phase(tmp_path: Path) -> None:
    write(tmp_path / "new" / "events.jsonl", *life())
    content = (tmp_path / "new" / "events.jsonl").read_bytes()
    assert content == b"".join(to_json(e) + b"\n" for e in life())


def test_keys_written_by_an_earlier_run_are_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, *life()[:2])
    write(path, *life())
    assert [from_json(line) for line in path.read_bytes().splitlines()] == life()


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_line_cut_short_by_a_crash_is_taken_out_and_comes_again(
    tmp_path: Path, kept: int
) -> None:
    path = tmp_path / "events.jsonl"
    write(path, life()[0])
    with path.open("ab") as file:
        file.write(to_json(life()[1])[:kept])
    write(path, life()[1])
    assert [from_json(line) for line in path.read_bytes().splitlines()] == life()[:2]


def test_a_whole_line_that_lacks_only_its_end_is_kept_and_completed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(to_json(life()[0]))
    write(path, *life()[:2])
    assert [from_json(line) for line in path.read_bytes().splitlines()] == life()[:2]


def test_lines_of_others_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"# a note\n\n")
    write(path, event())
    assert path.read_bytes() == b"# a note\n\n" + to_json(event()) + b"\n"


@pytest.mark.parametrize("begun", [False, True])
def test_a_file_that_was_rotated_away_is_begun_anew(tmp_path: Path, begun: bool) -> None:
    path = tmp_path / "events.jsonl"
    sink = sink_of(path)
    sink.open()
    sink.deliver(event(0))
    path.rename(tmp_path / "events.jsonl.1")
    if begun:
        path.touch()
    sink.deliver(event(1))
    sink.close()
    assert from_json(path.read_bytes()) == event(1)


def test_a_full_disk_is_unavailable_and_leaves_no_torn_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    sink = sink_of(path)
    sink.open()
    sink.deliver(event(0))
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, line: real(file, line[:20]))
    with pytest.raises(SinkUnavailable, match=r"only 20 of .* bytes"):
        sink.deliver(event(1))
    monkeypatch.undo()
    sink.deliver(event(1))
    sink.close()
    assert [from_json(line) for line in path.read_bytes().splitlines()] == [event(0), event(1)]
