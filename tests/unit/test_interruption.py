"""Ctrl-C at the worst moment: what was taken is written, what was half read is read."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable
from multiprocessing import connection
from pathlib import Path

import pytest

from nodes.commissioning import live as module
from nodes.commissioning.live import LiveCommissioning
from nodes.commissioning.messages import Job, Learnt
from nodes.interruption import Interruption
from pipeline.core.arrival import Arrival, SampleArrived
from pipeline.core.clock import ManualClock
from pipeline.core.ledger import StreamAccount
from pipeline.models.settings import DetectorSettings
from pipeline.recording.reader import Recording
from pipeline.recording.writer import RecordingWriter
from pipeline.training.enough import EnoughSettings, Why
from tests.command_line import fusewatch

S = 1_000_000_000
QUICK = DetectorSettings(block_s=10.0, folds=3, place_memory=60, memory=100)
SITE = """
name: d
nodes: {n: {sources: [{type: scene, video: null, audio: null, speed: 60.0}]}}
scenes: {s: {streams: [site-sensors], alarm: {budget: 60/hour}}}
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_is_noted_and_the_second_acts_as_before(number: signal.Signals) -> None:
    seen: list[int] = []
    before = signal.signal(number, lambda got, _: seen.append(got))
    try:
        with Interruption() as interruption:
            assert not interruption.asked
            signal.raise_signal(number)
            assert (interruption.asked, seen) == (True, [])
            signal.raise_signal(number)
            assert seen == [number]
        signal.raise_signal(number)
        assert seen == [number, number]
        with Interruption() as interruption:
            pass
        signal.raise_signal(number)
        assert (interruption.asked, len(seen)) == (False, 3)
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_recording_holds_all_that_was_taken_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """It came in the midst of a batch, and of writing a message."""
    (tmp_path / "d.yaml").write_text(SITE)
    target = tmp_path / "r.mcap"
    written = itertools.count(1)
    write = RecordingWriter.write

    def interrupted(writer: RecordingWriter, arrival: Arrival) -> None:
        if isinstance(arrival, SampleArrived) and next(written) == 25:
            signal.raise_signal(number)
        write(writer, arrival)

    monkeypatch.setattr(RecordingWriter, "write", interrupted)
    assert fusewatch("record", tmp_path / "d.yaml", "-o", target) == 0
    with Recording(target) as recording:
        assert recording.truncated is None
        account = recording.accounts["site-sensors"]
        kept = sum(isinstance(one, SampleArrived) for one in recording.arrivals())
    assert account.captured == account.delivered == kept >= 25


class Standing:
    """A recording that is there, whose capture sends a signal to the process that learns."""

    def __init__(self, path: Path, learner: Callable[[], int | None]) -> None:
        self._path = path
        self._learner = learner

    def start(self) -> None:
        learner = self._learner()
        assert learner is not None
        os.kill(learner, signal.SIGINT)  # while it is being started: Ctrl-C reaches it, too

    def step(self, timeout_s: float) -> bool:
        time.sleep(timeout_s)
        return True

    def close(self) -> None:
        pass

    def accounts(self) -> dict[str, StreamAccount]:
        return {}


def test_a_message_of_the_learner_that_is_half_read_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said that the process that learns had ended by itself, and there was no model."""
    (tmp_path / "d.yaml").write_text(SITE)
    normal = tmp_path / "r.mcap"
    assert fusewatch("record", tmp_path / "d.yaml", "--seconds", "4", "-o", normal) == 0
    monkeypatch.setattr(module, "STEP_S", 0.02)
    of_message = connection.Connection._recv
    read = itertools.count(1)

    def interrupted(link: connection.Connection, size: int) -> object:
        part = of_message(link, size)
        if next(read) == 1:
            signal.raise_signal(signal.SIGINT)
        return part

    monkeypatch.setattr(connection.Connection, "_recv", interrupted)
    told: list[object] = []
    why: list[Why] = []
    job = Job(
        tmp_path / "d.yaml", "s", normal, tmp_path / "s.model", QUICK, EnoughSettings(), "again"
    )
    made = LiveCommissioning(
        Standing(normal, lambda: made._process.pid), job, ManualClock(S),
        tell=told.append, ending=why.append,
    )  # fmt: skip
    outcome = made.run()
    assert (outcome.why, why) == (Why.STOPPED, [Why.STOPPED])
    assert told[-1] is outcome.learnt
    assert isinstance(outcome.learnt, Learnt)
    assert (tmp_path / "s.model").exists()
