"""The runner: what it does when a source is lost, hangs, falls silent or ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import numpy as np
import pytest

from pipeline.core.clock import ManualClock
from pipeline.core.errors import SourceEnded, SourceUnavailable
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.sources.base import SourceSettings
from pipeline.sources.runner import Limits, SourceRunner, SourceState
from pipeline.sources.supervision import Backoff
from tests.outlets import KeptOutlet
from tests.waiting import wait_until

SECOND_NS = 1_000_000_000
INFO = StreamInfo("s", Modality.SENSOR, shape=(1,), dtype="float64", channels=("x",))


def sample(value: float, epoch: int = 0) -> Sample:
    return Sample("s", 0, int(value), np.array([value]), Encoding.FLOAT, epoch=epoch)


class Script:
    """What a source does, opening by opening; each step is data, an error or a function."""

    def __init__(self, *openings: Sequence[object]) -> None:
        self.openings = list(openings)
        self.opened = 0
        self.closed = 0
        self.idle = threading.Event()


class ScriptedSource:
    def __init__(self, script: Script, context) -> None:
        self.script = script
        self.context = context
        self.steps: list[object] = []

    def open(self):
        index = min(self.script.opened, len(self.script.openings) - 1)
        self.steps = list(self.script.openings[index])
        self.script.opened += 1
        first = self.steps[0] if self.steps else None
        if isinstance(first, Exception):
            raise first
        return self.steps.pop(0) if isinstance(first, tuple) else (INFO,)

    def read(self, timeout_s):
        if not self.steps:
            self.script.idle.wait(min(timeout_s, 0.01))
            return ()
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Callable):
            return step(self) or ()
        return step

    def close(self):
        self.script.closed += 1


class ScriptedSettings(SourceSettings):
    type: Literal["scripted"] = "scripted"
    _script: ClassVar[Script]

    def stream_names(self):
        return ("s",)

    def build(self, context):
        return ScriptedSource(type(self)._script, context)


@pytest.fixture
def clock():
    return ManualClock(1_700_000_000 * SECOND_NS)


@pytest.fixture
def run(clock):
    runners = []

    def start(script: Script, outlet: KeptOutlet | None = None, **limits) -> tuple:
        class Settings(ScriptedSettings):
            _script = script

        outlet = outlet or KeptOutlet()
        stall_s = limits.pop("stall_s", None)
        runner = SourceRunner(
            "toy", Settings(stall_s=stall_s), clock, outlet, limits=Limits(**limits)
        )
        runner.start()
        runners.append(runner)
        return runner, outlet

    yield start
    for runner in runners:
        assert runner.stop(5.0)


def test_samples_reach_the_outlet_in_order_from_one_thread(run):
    _, outlet = run(Script([[sample(1), sample(2)], [sample(3)]]))
    wait_until(lambda: len(outlet.kept) == 3)
    assert [s.timestamp_ns for s in outlet.kept] == [1, 2, 3]
    assert outlet.openings == [(INFO,)]
    assert outlet.threads == {"source toy"}
    assert outlet.states() == [SourceState.OPENING, SourceState.RUNNING]


def test_a_lost_source_is_opened_again_after_the_backoff_with_the_next_epoch(run, clock):
    script = Script([[sample(1)], SourceUnavailable("cable out")], [[sample(2)]])
    runner, outlet = run(script)
    wait_until(lambda: runner.status.state is SourceState.WAITING)
    assert runner.status.last_error == runner.status.trouble == "cable out"
    assert script.opened == 1
    clock.advance(700_000_000)
    wait_until(lambda: len(outlet.kept) == 2)
    assert [s.epoch for s in outlet.kept] == [0, 1]
    wait_until(lambda: runner.status.state is SourceState.RUNNING)
    assert runner.status.last_error == "cable out"
    assert not runner.status.trouble
    assert outlet.openings == [(INFO,)]
    assert (runner.status.restarts, runner.status.stalls, runner.status.epoch) == (1, 0, 1)


def test_epochs_the_source_counted_itself_are_never_used_again(run, clock):
    script = Script(
        [[sample(1)], [sample(2, epoch=3)], SourceUnavailable("x")], [[sample(3), sample(4, 1)]]
    )
    runner, outlet = run(script)
    wait_until(lambda: runner.status.state is SourceState.WAITING)
    clock.advance(SECOND_NS)
    wait_until(lambda: len(outlet.kept) == 4)
    assert [s.epoch for s in outlet.kept] == [0, 3, 4, 5]


def test_an_open_source_can_say_that_its_streams_changed(run):
    sender = StreamInfo("s", Modality.SENSOR, shape=(1,), channels=("x",), stamp="sender")

    def announce(source):
        source.context.announce((sender,))
        return [sample(2, epoch=1)]

    runner, outlet = run(Script([[sample(1)], announce]))
    wait_until(lambda: len(outlet.kept) == 2)
    assert outlet.openings == [(INFO,), (sender,)]
    assert (runner.status.restarts, runner.status.state) == (0, SourceState.RUNNING)


def test_streams_are_announced_again_when_they_changed(run, clock):
    wider = StreamInfo("s", Modality.SENSOR, shape=(2,), dtype="float64", channels=("x", "y"))
    script = Script([(INFO,), SourceUnavailable("x")], [(wider,), [sample(1)]])
    runner, outlet = run(script)
    wait_until(lambda: runner.status.state is SourceState.WAITING)
    clock.advance(SECOND_NS)
    wait_until(lambda: outlet.kept)
    assert outlet.openings == [(INFO,), (wider,)]


def test_a_source_that_cannot_be_opened_is_tried_again_and_says_why(run, clock):
    script = Script([SourceUnavailable("no such device", fix="plug it in")], [[sample(1)]])
    runner, outlet = run(script)
    wait_until(lambda: runner.status.state is SourceState.WAITING)
    assert runner.status.last_error == "no such device (plug it in)"
    clock.advance(SECOND_NS)
    wait_until(lambda: outlet.kept)
    assert outlet.kept[0].epoch == 0


def test_a_source_whose_streams_are_not_possible_is_told_and_nothing_is_announced(run):
    runner, outlet = run(Script([(StreamInfo("s", Modality.SENSOR, shape=(0,)),)]))
    wait_until(lambda: runner.status.state is SourceState.WAITING)
    assert runner.status.trouble == "s: a sensor without a channel"
    assert not outlet.openings


def test_the_end_of_a_finite_source_is_passed_on_and_not_repaired(run):
    script = Script([[sample(1)], SourceEnded("done")])
    runner, outlet = run(script)
    wait_until(lambda: outlet.has_ended)
    assert runner.status.state is SourceState.ENDED
    assert (script.opened, script.closed) == (1, 1)
    assert runner.status.restarts == 0


def test_a_read_that_hangs_is_found_left_behind_and_not_heard_again(run, clock):
    hangs, go_on = threading.Event(), threading.Event()

    def hang(source):
        hangs.set()
        go_on.wait(60)
        return [sample(666)]

    script = Script([[sample(1)], hang], [[sample(2)]])
    runner, outlet = run(script)
    assert hangs.wait(10)
    wait_until(lambda: outlet.kept)
    clock.advance(4_100_000_000)
    wait_until(lambda: runner.status.state is SourceState.WAITING)
    assert runner.status.stalls == 1
    assert "read() did not return within 4 s" in runner.status.last_error
    clock.advance(SECOND_NS)
    wait_until(lambda: len(outlet.kept) == 2)
    go_on.set()
    assert [s.timestamp_ns for s in outlet.kept] == [1, 2]
    wait_until(lambda: script.closed >= 1)


def test_silence_is_a_stall_only_where_a_limit_says_so(run, clock):
    runner, outlet = run(Script([[sample(1)]]), stall_s=2.0)
    quiet, heard = run(Script([[sample(1)]]))
    wait_until(lambda: outlet.kept and heard.kept)

    def stalled_as_time_goes_by():
        clock.advance(20_000_000)
        return runner.status.stalls == 1

    wait_until(stalled_as_time_goes_by)
    assert "gave nothing for 2 s" in runner.status.last_error
    assert quiet.status.restarts == 0


def test_an_open_that_hangs_is_found(run, clock):
    blocked = threading.Event()

    script = Script([[sample(1)]])
    original = ScriptedSource.open

    def slow_open(self):
        if self.script is script and script.opened == 0:
            script.opened += 1
            blocked.wait(60)
        return original(self)

    ScriptedSource.open = slow_open
    try:
        runner, _ = run(script, open_s=3.0)
        wait_until(lambda: script.opened == 1)
        clock.advance(3_100_000_000)
        wait_until(lambda: runner.status.restarts == 1)
        assert "open() did not return within 3 s" in runner.status.last_error
    finally:
        blocked.set()
        ScriptedSource.open = original


def test_an_opening_that_is_always_too_slow_gets_more_time(run, clock):
    """Many readers that start at once on a busy machine must not be killed for ever."""
    release = threading.Event()

    class SlowScript(Script):
        def opening(self) -> None:
            self.opened += 1
            release.wait(30)

    script = SlowScript([[sample(1)]])
    original = ScriptedSource.open
    ScriptedSource.open = lambda self: (self.script.opening(), original(self))[1]
    try:
        runner, _ = run(script, open_s=3.0, last_open_s=8.0, last_backoff_s=0.5)
        for opening, allowed_s in enumerate((3, 6, 8, 8)):
            wait_until(lambda opening=opening: script.opened == opening + 1)
            clock.advance(int((allowed_s + 0.1) * SECOND_NS))
            wait_until(lambda opening=opening: runner.status.restarts == opening + 1)
            said = f"open() did not return within {allowed_s} s"
            assert runner.status.last_error == said
            clock.advance(SECOND_NS)
        release.set()
        wait_until(lambda: runner.status.state is SourceState.RUNNING)
    finally:
        release.set()
        ScriptedSource.open = original


def test_a_slow_outlet_is_not_the_silence_of_the_source(run, clock):
    busy, go_on = threading.Event(), threading.Event()
    outlet = KeptOutlet()

    def slow(samples):
        busy.set()
        go_on.wait(30)

    outlet.on_samples = slow
    runner, _ = run(Script([[sample(n)] for n in range(3)]), outlet, stall_s=5.0)
    assert busy.wait(10)
    clock.advance(60 * SECOND_NS)
    go_on.set()
    wait_until(lambda: len(outlet.kept) == 3)
    assert runner.status.restarts == 0


def test_refused_readings_are_passed_on_one_by_one(run):
    def refuse(source):
        for _ in range(3):
            source.context.reject("s", DropReason.FUTURE, "rtsp://u:geheim@host is NaN")

    _, outlet = run(Script([refuse, [sample(1)]]))
    wait_until(lambda: outlet.kept)
    assert outlet.refusals == {("s", DropReason.FUTURE): 3}
    assert "geheim" not in outlet.details[0]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_plug_in_that_fails_in_a_way_of_its_own_is_opened_again(run, clock):
    script = Script([ZeroDivisionError("oops")], [[sample(1)]])
    runner, outlet = run(script)
    wait_until(lambda: runner.status.state is SourceState.WAITING)
    assert "an error it did not expect" in runner.status.last_error
    clock.advance(SECOND_NS)
    wait_until(lambda: outlet.kept)


def test_the_last_samples_are_handed_over_at_stop(clock):
    outlet = KeptOutlet()

    class Settings(ScriptedSettings):
        _script = Script([[sample(n)] for n in range(50)])

    runner = SourceRunner("toy", Settings(), clock, outlet)
    runner.start()
    wait_until(lambda: outlet.kept)
    assert runner.stop(5.0)
    assert runner.status.state is SourceState.STOPPED
    assert Settings._script.closed == 1


def test_stop_during_a_backoff_is_prompt(clock):
    class Settings(ScriptedSettings):
        _script = Script([SourceUnavailable("never")])

    runner = SourceRunner("toy", Settings(), clock, KeptOutlet())
    runner.start()
    wait_until(lambda: runner.status.state is SourceState.WAITING)
    assert runner.stop(5.0)


def test_waits_double_up_to_a_limit_and_differ():
    backoff = Backoff(0.5, 30.0)
    waits = [backoff.next_s() for _ in range(10)]
    for wait, nominal in zip(waits, [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30], strict=True):
        assert 0.8 * nominal <= wait <= 1.2 * nominal
    assert len(set(waits[-4:])) == 4
    backoff.begin_anew()
    assert backoff.next_s() <= 0.6


def test_backoff_begins_anew_after_a_healthy_life(run, clock):
    outlet = KeptOutlet()

    def live(source):
        wait_until(lambda: outlet.kept)
        clock.advance(31 * SECOND_NS)
        raise SourceUnavailable("after a good while")

    failing = [SourceUnavailable("x")]
    script = Script(failing, failing, failing, [[sample(1)], live], [[sample(2)]])
    runner, _ = run(script, outlet)
    for restarts in (1, 2, 3):
        wait_until(lambda n=restarts: runner.status.restarts == n)
        wait_until(lambda: runner.status.state is SourceState.WAITING)
        clock.advance(5 * SECOND_NS)
    wait_until(lambda: runner.status.restarts == 4)
    clock.advance(600_000_000 + 1)
    wait_until(lambda: len(outlet.kept) == 2)
