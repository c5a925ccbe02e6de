"""Workers that are lost, pieces that fail, and processes of this machine."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from nodes.backtest.crews import TRIES, Outcome, WorkerLost, work
from nodes.backtest.piece import Piece, PieceResult
from pipeline.core.errors import ModelFileError, RecordingError


class Troubled:
    """A crew in which things happen to pieces, by their number, one after the other."""

    def __init__(self, size: int, trouble: Mapping[int, list[Exception]]) -> None:
        self.size = size
        self.most = 0
        self.closed = False
        self.begun: list[int] = []
        self._trouble = trouble
        self._running: list[int] = []

    def start(self, number: int, piece: Piece) -> None:
        self.begun.append(number)
        self._running.append(number)
        self.most = max(self.most, len(self._running))

    def finished(self) -> list[tuple[int, Outcome]]:
        number = self._running.pop(0)
        trouble = self._trouble.get(number)
        if not trouble:
            return [(number, PieceResult("new", number, ("hall",)))]
        error = trouble.pop(0)
        if isinstance(error, ModelFileError):
            raise error
        return [(number, error)]

    def close(self) -> None:
        self.closed = True


PIECES = [object()] * 5


def test_all_pieces_are_replayed_so_many_at_a_time() -> None:
    crew, told = Troubled(2, {}), []
    done = work(PIECES, crew, lambda over, total: told.append((over, total)))
    assert sorted(r.number for r in done.results) == [0, 1, 2, 3, 4]
    assert crew.most == 2
    assert crew.closed
    assert told == [(n, 5) for n in range(1, 6)]


def test_the_piece_of_a_lost_worker_is_run_again() -> None:
    done = work(PIECES, Troubled(2, {1: [WorkerLost("killed")], 3: [WorkerLost("killed")]}))
    assert sorted(r.number for r in done.results) == [0, 1, 2, 3, 4]
    assert done.again == 2
    assert not done.given_up


def test_a_piece_that_costs_every_worker_is_given_up_and_told() -> None:
    crew = Troubled(2, {1: [WorkerLost("killed")] * 9})
    done = work(PIECES, crew)
    assert sorted(r.number for r in done.results) == [0, 2, 3, 4]
    assert [why for _, why in done.given_up] == ["killed"]
    assert crew.begun.count(1) == TRIES


def test_a_recording_that_went_away_costs_its_pieces_alone() -> None:
    done = work(PIECES, Troubled(2, {2: [RecordingError("cannot open", where="x.mcap")]}))
    assert len(done.results) == 4
    assert [why for _, why in done.given_up] == ["x.mcap: cannot open"]
    assert not done.again


def test_a_fault_of_every_piece_ends_the_work_and_lets_the_workers_go() -> None:
    crew = Troubled(2, {0: [ModelFileError("not a model")]})
    with pytest.raises(ModelFileError):
        work(PIECES, crew)
    assert crew.closed
