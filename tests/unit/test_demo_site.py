"""When the demo's normal was, and how fusewatch is to be called after it."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import closing
from pathlib import Path

import pytest

from nodes.demo import DemoOptions, called_as, prepare
from nodes.demo_site import SECOND_NS, START_NS, STEP_NS, record_normal, zero_ns_of
from pipeline.core.arrival import SampleArrived
from pipeline.recording.reader import Recording
from pipeline.sources.scene import SceneSourceSettings

NOW_NS = 1_795_684_563_123_456_789


def site(**settings: object) -> SceneSourceSettings:
    return SceneSourceSettings.model_validate(
        {"video": "v", "audio": "a", "sensor": "s", "size": [160, 90]} | settings
    )


def test_the_normal_ends_shortly_before_the_live_seconds_begin() -> None:
    for from_s in (0.0, 7.5):
        ends_ns = zero_ns_of(site(from_s=from_s), NOW_NS) + round(from_s * SECOND_NS)
        assert 0 <= NOW_NS - ends_ns < STEP_NS


def test_the_normal_is_cut_into_the_same_windows_at_any_time() -> None:
    zeros = {zero_ns_of(site(), NOW_NS + later * SECOND_NS) for later in range(0, 2000, 7)}
    assert {(zero - START_NS) % STEP_NS for zero in zeros} == {0}
    assert len(zeros) > 3


def test_a_site_that_begins_at_a_given_time_was_normal_before_that() -> None:
    fixed = site(start="2026-01-01T10:00:00Z")
    assert zero_ns_of(fixed, NOW_NS) == fixed.start_ns


def test_the_normal_carries_the_time_that_it_is_given(tmp_path: Path) -> None:
    file = tmp_path / "normal.mcap"
    record_normal(site(), file, -1.0, 0.0, NOW_NS)
    with closing(Recording(file)) as recording:
        arrivals = recording.arrivals()
        times = [a.sample.timestamp_ns for a in arrivals if isinstance(a, SampleArrived)]
    assert times
    assert min(times) >= NOW_NS - SECOND_NS
    assert max(times) < NOW_NS


def test_where_a_shell_would_not_find_fusewatch_its_path_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "fusewatch"
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [".venv/bin/fusewatch", "demo"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert called_as() == "fusewatch"
    program.unlink()
    assert called_as() == ".venv/bin/fusewatch"
    monkeypatch.setattr(sys, "argv", ["/somewhere/cli.py", "demo"])
    assert called_as() == "fusewatch"


def test_what_the_demo_makes_is_for_its_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    prepare(DemoOptions(tmp_path / "out"))
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
