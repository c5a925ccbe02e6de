"""Backtests by real workers, of which one is killed while it has a piece."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from nodes.backtest.crews import Crew, LocalCrew, Outcome, WorkerLost, work
from nodes.backtest.joining import join
from nodes.backtest.piece import Piece
from nodes.backtest.plan import Cutting, pieces_of, side_of
from nodes.backtest.survey import survey
from tests.backtest_site import SECOND_NS, deployment, loaded, record
from tests.command_line import fusewatch
from tests.requirements import require_module

pytestmark = [pytest.mark.system, pytest.mark.timeout(170)]

WRONG = [(20.0, 26.0), (47.0, 54.0)]
PIECE_H = 30 / 3600


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    record(folder, 90, WRONG)
    return folder


def pieces(folder: Path, recordings: Path) -> list[Piece]:
    cutting = Cutting(30 * SECOND_NS)
    return pieces_of(side_of("new", "site", loaded(folder)), survey(recordings), cutting)


class Killing:
    """A crew of which one worker is killed while it has a piece.

    Args:
        crew: The crew.
        kill: Kills a worker of it; False: there is none yet.
    """

    def __init__(self, crew: Crew, kill: Callable[[], bool]) -> None:
        self.size = crew.size
        self._crew = crew
        self._kill = kill
        self.killed = False
        self.lost: list[int] = []

    def start(self, number: int, piece: Piece) -> None:
        self._crew.start(number, piece)
        self.killed = self.killed or self._kill()

    def finished(self) -> list[tuple[int, Outcome]]:
        while not self.killed:
            self.killed = self._kill()
        over = self._crew.finished()
        self.lost += [number for number, outcome in over if isinstance(outcome, WorkerLost)]
        return over

    def close(self) -> None:
        self._crew.close()


def test_the_command_replays_with_processes_of_this_machine(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployment(tmp_path)
    capsys.readouterr()  # what learning the model said
    options = ("--against", config, "--workers", 2, "--piece", PIECE_H, "--json")
    assert fusewatch("backtest", config, "-r", recordings, *options) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["seams"]["new"] == said["seams"]["old"]
    assert (said["seams"]["new"]["pieces"], said["seams"]["new"]["different"]) == (3, 0)
    changes = [moment["change"] for moment in said["scenes"][0]["moments"]]
    assert changes == ["kept"] * len(WRONG)


def test_a_killed_process_costs_nothing_but_time(recordings: Path, tmp_path: Path) -> None:
    others = {child.pid for child in multiprocessing.active_children()}

    def kill() -> bool:
        own = [c for c in multiprocessing.active_children() if c.pid not in others]
        if own:
            os.kill(own[0].pid, signal.SIGKILL)
        return bool(own)

    crew = Killing(LocalCrew(2), kill)
    done = work(pieces(tmp_path, recordings), crew)
    assert (done.again, len(crew.lost), len(done.results)) == (1, 1, 3)
    assert len(join(done.results).events["hall"]) == len(WRONG)
    assert {child.pid for child in multiprocessing.active_children()} <= others


@pytest.mark.alone
def test_a_killed_ray_worker_costs_nothing_but_time(recordings: Path, tmp_path: Path) -> None:
    require_module("ray")
    import ray

    from nodes.backtest.ray_crew import RayCrew

    def kill() -> bool:
        """Kill a worker that has a piece: its name says what it runs."""
        working = [p for p in _children(os.getpid()) if "_in_a_worker" in _read(p, "cmdline")]
        for pid in working[:1]:
            os.kill(pid, signal.SIGKILL)
        return bool(working)

    crew = Killing(RayCrew(size=2), kill)
    done = work(pieces(tmp_path, recordings), crew)
    assert not ray.is_initialized()
    assert (done.again, len(done.results)) == (1, 3)
    assert len(join(done.results).events["hall"]) == len(WRONG)


def _children(pid: int) -> list[int]:
    """Processes that a process or one of its own has started."""
    found = [int(one) for one in _read(pid, f"task/{pid}/children").split()]
    return found + [child for one in found for child in _children(one)]


def _read(pid: int, what: str) -> str:
    try:
        return Path(f"/proc/{pid}/{what}").read_text()
    except OSError:
        return ""
