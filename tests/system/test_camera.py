"""The camera source in its own process, on whatever cameras this machine has."""

from __future__ import annotations

import pytest

from pipeline.core.clock import NodeClock
from pipeline.sources.camera import CameraSettings
from pipeline.sources.runner import SourceRunner, SourceState
from pipeline.sources.video_devices import list_cameras
from tests.outlets import KeptOutlet
from tests.waiting import wait_until

pytestmark = pytest.mark.system


@pytest.fixture
def watch():
    runners = []

    def start(**more):
        outlet = KeptOutlet()
        own = CameraSettings(stream="cam", **more)
        runner = SourceRunner("cam", own, NodeClock(), outlet)
        runner.start()
        runners.append(runner)
        return runner, outlet

    yield start
    for runner in runners:
        assert runner.stop(5.0)


def test_a_camera_that_is_not_plugged_in_is_waited_for_and_named(watch):
    runner, outlet = watch(device=63)
    wait_until(lambda: runner.status.restarts >= 2)
    assert "there is no camera /dev/video63" in runner.status.last_error
    assert SourceState.WAITING in outlet.states()
    assert not outlet.openings


def test_a_device_that_is_no_camera_is_refused(watch):
    runner, _ = watch(device="/dev/null")
    wait_until(lambda: runner.status.restarts >= 1)
    assert "/dev/null does not open as a camera" in runner.status.last_error


USABLE = [camera for camera in list_cameras() if camera.readable]

if USABLE:  # tests/unit/test_sources_camera.py has a substitute for machines without one

    def test_a_camera_that_is_there_gives_pictures(watch):
        runner, outlet = watch(device=USABLE[0].path)
        wait_until(lambda: len(outlet.of("cam")) >= 10)
        assert runner.status.restarts == 0
