"""Commissioning live: what may be typed, where it records from, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from nodes.cli import USAGE
from nodes.commissioning import live as module
from nodes.commissioning.live import FromRunning, FromSources, LiveCommissioning
from nodes.commissioning.messages import Failed, Job, Told
from nodes.commissioning.telling import JsonLines, Screen
from nodes.record import DirectRecorder
from nodes.record_request import RecordRequest
from nodes.recorder import LOOK_EVERY, Recorder
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.clock import ManualClock
from pipeline.core.errors import ModelError, RecordingError
from pipeline.core.ledger import StreamAccount
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.detection.alarm import AlarmSettings
from pipeline.models.settings import DetectorSettings
from pipeline.recording.merge import read_many
from pipeline.recording.writer import RecordingWriter
from pipeline.training.enough import EnoughSettings
from tests.command_line import fusewatch

S = 1_000_000_000
CONFIG = """
name: d
nodes: {n: {sources: [{type: csv_file, path: none.csv, stream: plc}]}}
scenes: {s: {streams: [plc], model: s.model}}
"""


def config(folder: Path) -> Path:
    (folder / "d.yaml").write_text(CONFIG)
    return folder / "d.yaml"


def deployment(folder: Path) -> Deployment:
    return load_deployment(config(folder))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "or --live to record it now"),
        (["--live", "--labels", "l.json"], "goes with recordings that are there already"),
        (["-r", "n.mcap", "--at-most", "5", "--json"], "goes with --live"),
        (["--live", "--lengths", "5,3"], "lengths must grow"),
        (["--live", "--lengths", "five"], "valid number"),
        (["--live", "--at-most", "0"], "greater than 0"),
        (["--live", "--timezone", "Mars"], "such as Europe/Berlin"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
):
    into = ["--into", str(tmp_path / "n.mcap")] if "--live" in options else []
    assert fusewatch("commission", config(tmp_path), *options, *into) == USAGE
    told = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert said in told
    assert list(tmp_path.iterdir()) == [tmp_path / "d.yaml"]


def test_a_recording_that_is_there_already_is_not_touched(tmp_path: Path):
    (tmp_path / "n.mcap").write_bytes(b"precious")
    code = fusewatch("commission", config(tmp_path), "--live", "--into", tmp_path / "n.mcap")
    assert code == RecordingError.exit_code
    assert (tmp_path / "n.mcap").read_bytes() == b"precious"


def test_when_nothing_came_the_empty_file_goes_and_it_says_so(tmp_path: Path):
    path = tmp_path / "n.mcap"
    recorder = DirectRecorder(deployment(tmp_path), RecordingWriter(path), ManualClock(S))
    capture = FromSources(recorder, path)
    capture.start()
    with pytest.raises(RecordingError, match="no source gave anything"):
        capture.close()
    assert not path.exists()


def begun(path: Path) -> RecordingWriter:
    """A recording that holds a reading and has no end yet."""
    info = StreamInfo("plc", Modality.SENSOR, 10.0, (1,), "float64", "", ("a",))
    writer = RecordingWriter(path)
    writer.write(StreamOpened(S, "n", info))
    writer.write(SampleArrived(S, "n", Sample("plc", 0, S, np.ones(1), Encoding.FLOAT)))
    writer.flush()
    return writer


def test_a_running_deployment_is_asked_until_its_file_has_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    request, path = RecordRequest(tmp_path), tmp_path / "n.mcap"
    writer = begun(path)
    capture = FromRunning(request, path)
    capture.start()
    assert capture.step(0.0)
    assert request.target() == path
    monkeypatch.setattr(module.time, "sleep", lambda _: writer.close())
    capture.close()
    assert request.target() is None
    assert capture.accounts() == {}


def test_for_a_recording_that_begins_later_a_stream_is_open_from_then_on(tmp_path: Path) -> None:
    """Replayed, it said that nothing had come since the stream was opened, before it began."""
    info = StreamInfo("plc", Modality.SENSOR, 10.0, (1,), "float64", "", ("a",))
    path, of = tmp_path / "n.mcap", deployment(tmp_path)
    recorder = Recorder(of)
    recorder.write(StreamOpened(S, "n", info))
    for second in (2, 90):
        sample = Sample("plc", second, second * S, np.ones(1), Encoding.FLOAT)
        recorder.write(SampleArrived(second * S, "n", sample))
    RecordRequest(of.data).ask(path)
    for _ in range(LOOK_EVERY):
        recorder.look(91 * S)
    last = Sample("plc", 91, 91 * S, np.ones(1), Encoding.FLOAT)
    recorder.write(SampleArrived(91 * S, "n", last))
    recorder.close()
    assert [(type(a), a.arrival_ns // S) for a in read_many([path])] == [
        (StreamOpened, 90),
        (SampleArrived, 91),
    ]


def test_a_file_that_gets_no_end_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "n.mcap"
    writer = begun(path)
    monkeypatch.setattr(module, "FINISH_S", -1.0)
    with pytest.raises(RecordingError, match="not finished") as told:
        FromRunning(RecordRequest(tmp_path), path).close()
    assert "can be commissioned from" in told.value.fix
    writer.close()


class Capture:
    """Records for as long as it is to, and takes as long as it is to for closing."""

    def __init__(self, goes_on: Callable[[], bool], closing: Callable[[], object]) -> None:
        self._goes_on, self._closing = goes_on, closing
        self.closed = False

    def start(self) -> None:
        pass

    def step(self, timeout_s: float) -> bool:
        time.sleep(timeout_s)
        return self._goes_on()

    def close(self) -> None:
        self._closing()
        self.closed = True

    def accounts(self) -> dict[str, StreamAccount]:
        return {}


def job(folder: Path) -> Job:
    """One that the learner fails at: its deployment is not there."""
    quick = DetectorSettings(block_s=10.0, folds=3)
    return Job(
        folder / "gone.yaml",
        "s",
        folder / "n.mcap",
        folder / "s.model",
        quick,
        EnoughSettings(),
        "a",
    )


def test_a_learner_that_fails_is_told_at_once_and_the_recording_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEP_S", 0.02)
    told: list[Told] = []
    further = iter([True, True, True, False])
    capture = Capture(lambda: not told or next(further), closing=list)
    live = LiveCommissioning(capture, job(tmp_path), ManualClock(S), tell=told.append, ending=print)
    with pytest.raises(ModelError, match="no such file") as raised:
        live.run()
    assert list(further) == []
    assert capture.closed
    assert told == [Failed(raised.value.message, raised.value.where, raised.value.fix)]
    lines = JsonLines(job(tmp_path), AlarmSettings(), print)
    screen = Screen(Console(width=200), job(tmp_path), AlarmSettings(), lambda *_: None)
    for teller in (lines, screen):
        teller.told(told[0])
        assert "no such file" in capsys.readouterr().out


def test_what_the_learner_said_before_it_ended_while_the_file_was_closed_is_heard(
    tmp_path: Path,
) -> None:
    """It was silent, with exit code 0: nobody was there any more to be told of the end."""

    def ended() -> None:
        live._process.join()

    capture = Capture(lambda: False, closing=ended)
    live = LiveCommissioning(capture, job(tmp_path), ManualClock(S), tell=print, ending=print)
    with pytest.raises(ModelError, match="no such file"):
        live.run()
    assert capture.closed
