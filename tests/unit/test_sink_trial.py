from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.event import Phase, from_json
from tests.command_line import fusewatch
from tests.system.ports import free_port


def config(folder: Path, sinks: str) -> Path:
    file = folder / "site.yaml"
    file.write_text(
        "name: site\ndata: data\nnodes:\n  a: {sources: [{type: scene, video: cam, audio: mic,"
        " sensor: plc}]}\nscenes:\n  hall: {streams: [cam]}\nalert:\n  sinks: " + sinks + "\n"
    )
    return file


def test_each_sink_is_tried_and_what_failed_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    sinks = (
        f"[{{type: jsonl, path: out.jsonl}}, {{type: email, name: mail, server: 127.0.0.1, "
        f"port: {port}, sender: a@b, to: [c@d], timeout_s: 2}}]"
    )
    assert fusewatch("alert", "test", config(tmp_path, sinks)) == 69
    said = capsys.readouterr().out
    assert "jsonl" in said and "taken" in said
    assert "mail" in said and f"smtp://127.0.0.1:{port}: cannot connect" in said
    raised, over = map(from_json, (tmp_path / "out.jsonl").read_bytes().splitlines())
    assert (raised.id, raised.phase, over.phase) == (over.id, Phase.RAISED, Phase.CLEARED)
    assert raised.health and "This is a test" in raised.summary


def test_with_every_sink_well_it_ends_well(tmp_path: Path) -> None:
    assert fusewatch("alert", "test", config(tmp_path, "[{type: jsonl, path: o.jsonl}]")) == 0


def test_without_sinks_there_is_nothing_to_try(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fusewatch("alert", "test", config(tmp_path, "[]")) == 78
    assert "no sinks" in capsys.readouterr().err


def test_another_word_before_the_file_is_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fusewatch("alert", "tset", config(tmp_path, "[]")) == 78
    assert "fusewatch alert [test] FILE" in capsys.readouterr().err
