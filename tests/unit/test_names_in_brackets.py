"""Names of channels, streams and files are printed as they are, though they look like markup."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.core.arrival import SampleArrived, StreamEnded, StreamOpened
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording.writer import RecordingWriter
from tests.command_line import fusewatch

S = 1_000_000_000
START_NS = 1_700_000_000 * S
FLOW, SPEED = "flow [/min]", "speed [m/s]"
PLC = StreamInfo("plc", Modality.SENSOR, 10.0, (3,), "float64", "", ("heat", FLOW, SPEED))
DEPLOYMENT = """
name: d
nodes: {n: {sources: [{type: csv_file, path: x.csv, stream: plc}]}}
scenes: {s: {streams: [plc]}}
"""
DETECTOR = "{block_s: 10.0, folds: 3, evidence: []}\n"
LABELS = '[{"start_s": 20, "end_s": 30, "kind": "leak [/a]"}]'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with all that is needed; its path closes what was never opened."""
    made = tmp_path / "a [" / "c]"
    made.mkdir(parents=True)
    for name, text in (("d.yaml", DEPLOYMENT), ("q.yaml", DETECTOR), ("l.json", LABELS)):
        (made / name).write_text(text)
    random = np.random.default_rng(1)
    with RecordingWriter(made / "r [e].mcap") as writer:
        writer.write(StreamOpened(START_NS, "n", PLC))
        for number in range(1200):
            at_ns = START_NS + number * S // 10
            values = np.array([random.normal(), 5.0, 5.0])
            sample = Sample("plc", number, at_ns, values, Encoding.FLOAT)
            writer.write(SampleArrived(at_ns, "n", sample))
    return made


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """All that was printed, wherever the lines were wrapped."""
    return "".join(capsys.readouterr().out.split())


def bare(text: object) -> str:
    return "".join(str(text).split())


def test_commissioning_and_evaluating(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, recording, model = folder / "d.yaml", folder / "r [e].mcap", folder / "s [m].model"
    normal = ["--recording", recording, "--labels", folder / "l.json", "-o", model]
    assert fusewatch("commission", config, *normal, "--detector", folder / "q.yaml") == 0
    told = said(capsys)
    assert bare(f"{FLOW}, {SPEED}") in told
    assert bare(f"{model} written") in told
    assert bare(f"{folder / 's-budget.png'}: the budgets drawn") in told
    judged = ["-r", recording, "-l", folder / "l.json", "--model", model, "-o", folder / "[o]"]
    assert fusewatch("evaluate", "-c", config, *judged) == 0
    told = said(capsys)
    assert bare("leak [/a]") in told
    assert bare(folder / "[o]") in told


def test_importing_exporting_and_looking_into_a_recording(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, target = folder / "t [x].csv", folder / "i [y].mcap"
    table.write_text("time_s,v\n" + "".join(f"{n / 10},{n % 7}\n" for n in range(100)))
    assert fusewatch("import", "--scene", "s", "-o", target, "--sensors", f"plc={table}") == 0
    told = said(capsys)
    assert bare(table.name) in told
    assert bare(f"init --recording '{target}'") in told
    assert fusewatch("recording", "info", target) == 0
    assert bare(target) in said(capsys)
    assert fusewatch("export", target, "-o", folder / "out [z]") == 0
    assert bare(f"{folder / 'out [z]'}: second 0") in said(capsys)


def test_a_stream_of_another_ones_recording_is_named_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = StreamInfo("plc [/s]", Modality.SENSOR, 10.0, (1,), "float64", "", ("v",))
    with RecordingWriter(tmp_path / "r.mcap") as writer:
        writer.write(StreamOpened(START_NS, "n [/n]", info))
        sample = Sample(info.name, 0, START_NS, np.ones(1), Encoding.FLOAT)
        writer.write(SampleArrived(START_NS, "n [/n]", sample))
        writer.write(StreamEnded(START_NS + S, "n [/n]", info.name))
    assert fusewatch("recording", "info", tmp_path / "r.mcap") == 0
    told = said(capsys)
    assert bare(info.name) in told
    assert bare("n [/n]") in told
