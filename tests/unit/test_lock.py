from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.lock import FOLDER, hold, holders, wait_until_free
from pipeline.core.errors import AlreadyRunning, StoreError
from tests.command_line import fusewatch
from tests.waiting import wait_until

HOLDER = """
import sys
from pathlib import Path
from nodes.lock import hold

with hold(Path(sys.argv[1]), "fusion"):
    print("held", flush=True)
    sys.stdin.read()
"""

DEPLOYMENT = """\
name: home
data: .
nodes: {hall: {sources: [{type: csv_file, stream: log, path: log.csv}]}}
scenes: {hall: {streams: [log]}}
"""


def holder(data: Path) -> subprocess.Popen[bytes]:
    command = (sys.executable, "-c", HOLDER, str(data))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_data_folder_is_made_for_its_owner_alone_and_one_that_is_there_stays(tmp_path) -> None:
    with hold(tmp_path / "site" / "data", "fusion"):
        assert (tmp_path / "site" / "data").stat().st_mode & 0o077 == 0
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o750)
    with hold(shared, "fusion"):
        assert shared.stat().st_mode & 0o777 == 0o750


def test_one_process_of_a_name_works_on_a_folder_at_a_time(tmp_path: Path) -> None:
    with hold(tmp_path, "fusion"):
        with hold(tmp_path, "alert"):
            assert holders(tmp_path) == {"alert": os.getpid(), "fusion": os.getpid()}
        with pytest.raises(AlreadyRunning) as caught, hold(tmp_path, "fusion"):
            pass
    assert caught.value.exit_code == 69
    assert str(caught.value) == (
        f"{tmp_path}: process {os.getpid()} runs fusion on this data folder already (stop that "
        f"one (kill {os.getpid()}), or give this deployment a 'data' folder of its own)"
    )
    with hold(tmp_path, "fusion"):
        pass
    assert holders(tmp_path) == {}
    assert holders(tmp_path / "nowhere") == {}


def test_the_lock_goes_with_a_killed_process(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        assert holders(tmp_path) == {"fusion": process.pid}
        with pytest.raises(AlreadyRunning, match=f"process {process.pid} runs fusion"):
            wait_until_free(tmp_path, ["fusion", "alert"], 0.0)
        process.kill()
        process.wait()
        with hold(tmp_path, "fusion"):
            assert holders(tmp_path) == {"fusion": os.getpid()}


def test_a_run_waits_for_what_is_left_of_an_earlier_one(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        calls = []

        def now_s() -> float:
            calls.append(0)
            if len(calls) == 3 and process.stdin is not None:
                process.stdin.close()
            return 0.0

        wait_until_free(tmp_path, ["fusion"], 60.0, now_s=now_s)
        wait_until(lambda: process.poll() == 0)
    assert len(calls) >= 3


def test_a_second_run_of_a_deployment_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "home.yaml"
    config.write_text(DEPLOYMENT)
    with hold(tmp_path, "run"):
        assert fusewatch("run", config) == 69
    assert f"process {os.getpid()} runs 'fusewatch run' on this" in capsys.readouterr().err


def test_a_holder_that_has_not_written_its_pid_is_told_without(tmp_path: Path) -> None:
    with hold(tmp_path, "fusion"):
        (tmp_path / FOLDER / "fusion.lock").write_text("")
        with (
            pytest.raises(AlreadyRunning, match="another process runs fusion"),
            hold(tmp_path, "fusion"),
        ):
            pass


def test_a_data_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with (
        pytest.raises(StoreError, match="cannot write into the data folder"),
        hold(tmp_path / "data", "fusion"),
    ):
        pass
