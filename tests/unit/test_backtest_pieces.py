"""Recordings replayed in pieces give the events of one long replay."""

from __future__ import annotations

import logging
import math
from itertools import pairwise
from pathlib import Path

import pytest
import structlog

from nodes.backtest.joining import Joined, join, told_seams
from nodes.backtest.piece import replay_piece
from nodes.backtest.plan import LEADS, SHORTEST_NS, Cutting, pieces_of, side_of
from nodes.backtest.survey import survey
from nodes.replay import Replayed, replay
from pipeline.core.errors import ConfigError, RecordingError
from pipeline.core.event import Event
from pipeline.recording.reader import Recording
from tests.backtest_site import SECOND_NS, loaded, record

WRONG = [(20.0, 26.0), (47.0, 54.0), (80.0, 83.0), (92.0, 120.0), (131.0, 134.0)]
SECONDS = 150


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    record(folder, SECONDS, WRONG)
    return folder


@pytest.fixture(scope="module")
def whole(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    return replay(sorted(recordings.glob("*.mcap")), loaded(tmp_path_factory.mktemp("site")))


def told(replayed: Replayed) -> list[Event]:
    return list({e.id: e for e in replayed.events if not e.health}.values())


def in_pieces(folder: Path, recordings: Path, piece_s: float, lead_s: float | None) -> Joined:
    lead_ns = None if lead_s is None else round(lead_s * SECOND_NS)
    side = side_of("new", "site", loaded(folder))
    cutting = Cutting(round(piece_s * SECOND_NS), lead_ns)
    pieces = pieces_of(side, survey(recordings), cutting)
    assert len(pieces) == round(SECONDS / piece_s)
    return join(replay_piece(piece) for piece in pieces)


def plain(events: list[Event]) -> list[tuple[object, ...]]:
    return [
        (e.id, e.phase, e.start_ns, e.end_ns, e.p, e.score, e.severity, e.summary, e.revision)
        for e in events
    ]


def test_pieces_give_what_one_long_replay_gives(
    recordings: Path, whole: Replayed, tmp_path: Path
) -> None:
    events = told(whole)
    assert len(events) >= len(WRONG) - 1
    # One seam lies within an event, others do not; files end elsewhere.
    joined = in_pieces(tmp_path, recordings, 50.0, None)
    assert plain(joined.events["hall"]) == plain(events)
    assert told_seams(joined.seams) == {"same": 2, "different": 0, "not compared": 0}
    assert (joined.merged, joined.open) == (0, 0)
    assert joined.windows["hall"] == whole.windows
    assert sum(joined.watched.values()) == len(whole.scores)


def test_without_a_lead_the_seams_say_so_and_no_event_is_told_twice(
    recordings: Path, tmp_path: Path
) -> None:
    joined = in_pieces(tmp_path, recordings, 37.5, 0.0)
    assert told_seams(joined.seams)["different"] >= 1
    events = joined.events["hall"]
    assert all(one.end_ns <= other.start_ns for one, other in pairwise(events))


def test_a_scene_is_cut_by_what_it_remembers(recordings: Path, tmp_path: Path) -> None:
    side = side_of("new", "site", loaded(tmp_path))
    memory = side.memories["hall"]
    assert not memory.endless
    assert 30 * SECOND_NS < memory.lead_ns < 120 * SECOND_NS
    assert LEADS * memory.lead_ns < SHORTEST_NS
    (piece,) = pieces_of(side, survey(recordings), Cutting())
    assert piece.to_ns is None


def test_a_scene_that_remembers_for_ever_is_not_cut_unless_it_must_be(
    recordings: Path, tmp_path: Path
) -> None:
    side = side_of("new", "site", loaded(tmp_path, more="recalibrate: {enabled: true}"))
    assert side.memories["hall"].endless == ("recalibration",)
    found = survey(recordings)
    (piece,) = pieces_of(side, found, Cutting(lead_ns=SECOND_NS))
    assert (piece.begin_ns, piece.to_ns) == (found.coverage.spans[0][0], None)
    assert len(pieces_of(side, found, Cutting(50 * SECOND_NS))) == 3


def test_no_password_goes_to_the_workers(recordings: Path, tmp_path: Path) -> None:
    side = side_of("new", "site", loaded(tmp_path))
    (piece,) = pieces_of(side, survey(recordings), Cutting())
    assert not piece.deployment.nodes
    assert not piece.deployment.alert.sinks
    assert piece.deployment.fusion.store is None


def test_damaged_recordings_are_named_and_the_rest_is_replayed(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    first, second, third = record(folder, SECONDS, WRONG)
    second.write_bytes(b"this is no recording")
    third.write_bytes(third.read_bytes()[: third.stat().st_size // 2])
    (folder / "notes.txt").write_text("not one of them")
    found = survey(folder)
    assert list(found.unreadable) == [second.name]
    assert list(found.cut) == [third.name]
    assert found.files[0].path == first
    side = side_of("new", "site", loaded(tmp_path))
    results = [replay_piece(p) for p in pieces_of(side, found, Cutting(50 * SECOND_NS))]
    expected = told(replay([file.path for file in found.files], loaded(tmp_path)))
    assert expected
    assert plain(join(results).events["hall"]) == plain(expected)


def test_a_damaged_chunk_is_told_by_the_piece_that_met_it(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    file = record(folder, 30, [])[0]
    content = bytearray(file.read_bytes())
    content[len(content) // 4] ^= 0xFF
    file.write_bytes(content)
    side = side_of("new", "site", loaded(tmp_path))
    results = [replay_piece(piece) for piece in pieces_of(side, survey(folder), Cutting())]
    assert any("chunk" in fault for fault in join(results).faults[str(file)])


def test_a_folder_without_recordings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no recordings"):
        survey(tmp_path)
    (tmp_path / "one.mcap").write_bytes(b"nothing")
    with pytest.raises(RecordingError, match="none can be read"):
        survey(tmp_path)


def test_a_scene_without_a_model_cannot_be_replayed(tmp_path: Path) -> None:
    site = loaded(tmp_path)
    scenes = {n: s.model_copy(update={"model": None}) for n, s in site.scenes.items()}
    with pytest.raises(ConfigError, match="no scene has a model"):
        side_of("new", "site", site.model_copy(update={"scenes": scenes}))


def test_gaps_between_recordings_are_no_part_of_a_lead(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    record(folder, 60, [(20.0, 24.0)])
    record(folder, 60, [(2015.0, 2020.0)], from_s=2000)
    found = survey(folder)
    assert math.isclose(found.coverage.total_ns / SECOND_NS, 120, abs_tol=1)
    side = side_of("new", "site", loaded(tmp_path))
    pieces = pieces_of(side, found, Cutting(30 * SECOND_NS))
    assert len(pieces) == 4
    third = pieces[2]
    assert third.from_ns - third.begin_ns > 1900 * SECOND_NS
    joined = join(replay_piece(piece) for piece in pieces)
    expected = told(replay([file.path for file in found.files], loaded(tmp_path)))
    assert plain(joined.events["hall"]) == plain(expected)
    assert len(expected) == 2


def test_a_chunk_that_says_an_absurd_time_does_not_stretch_the_recording(tmp_path: Path) -> None:
    file = record(tmp_path / "recordings", 50, [])[0]
    with Recording(file) as recording:
        expected = recording.arrived_ns
        chunks = list(recording._file.index.chunks)
    assert len(chunks) >= 3
    content = bytearray(file.read_bytes())
    times = chunks[1].offset + 1 + 8  # after the opcode and the length
    content[times + 8 : times + 16] = (1 << 62).to_bytes(8, "little")
    file.write_bytes(content[: chunks[-1].offset + chunks[-1].length])  # no summary to go by
    (found,) = survey(tmp_path / "recordings").files
    assert expected is not None
    assert (found.start_ns, found.end_ns - 1) == expected
