from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.ledger import DropReason
from pipeline.transport.spool import Spool
from pipeline.transport.spool_format import Kind
from pipeline.transport.spool_repair import read_folder, repair_folder
from pipeline.transport.spool_segment import QUARANTINE, read_content, segments_in
from tests.spool_samples import INFO, SECOND_NS, Writer, open_spool, sequences


def filled(folder: Path, count: int = 20, **limits: int) -> Spool:
    spool = open_spool(folder, **limits)
    Writer(spool).write(count)
    spool.close()
    return spool


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("*.spool")
    return path


def test_what_was_written_is_read_back_in_order_with_its_description(tmp_path: Path) -> None:
    filled(tmp_path, 50)
    spool = open_spool(tmp_path)
    (recalled,) = spool.earlier
    assert list(recalled.descriptions.values()) == [INFO]
    assert recalled.streams["vib"].samples == 50
    assert sequences(spool) == list(range(50))
    assert spool.damage == []


def test_every_segment_describes_its_streams_so_that_it_can_be_read_alone(tmp_path: Path) -> None:
    filled(tmp_path, 200, segment_bytes=2000)
    paths = sorted(tmp_path.glob("*.spool"))
    assert len(paths) > 5
    for path in paths[:-1]:
        path.unlink()
    (recalled,) = open_spool(tmp_path).earlier
    assert list(recalled.descriptions.values()) == [INFO]


def test_the_ring_lets_go_of_its_oldest_segments_beyond_its_size(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=20_000, segment_bytes=2000)
    writer = Writer(spool)
    lost = 0
    for _ in range(500):
        writer.write()
        while (overdue := spool.overdue(0)) is not None:
            segment, reason = overdue
            assert reason is DropReason.SPOOL_FULL
            lost += segment.unread.total()
            spool.remove(segment)
        assert spool.size <= 20_000
    spool.close()
    assert sum(path.stat().st_size for path in tmp_path.glob("*.spool")) == spool.size > 15_000
    assert sequences(open_spool(tmp_path)) == list(range(lost, 500))


def test_what_is_too_old_goes_even_if_there_is_room(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, segment_bytes=2000)
    Writer(spool).write(10)
    assert spool.overdue(3600 * SECOND_NS) is None
    overdue = spool.overdue(3600 * SECOND_NS + 1)
    assert overdue is not None
    assert overdue == (spool.segments[0], DropReason.SPOOL_AGE)
    assert overdue[0].unread["vib"] == 10


def test_a_segment_all_of_which_is_acked_is_deleted_but_none_before_its_elders(
    tmp_path: Path,
) -> None:
    spool = open_spool(tmp_path, segment_bytes=2000)
    writer = Writer(spool)
    writer.write(100)
    while writer.disk.reader.prepare() or writer.disk.reader.read(1 << 20, 100, 2**62):
        pass
    before = len(spool.segments)
    writer.disk.acked("vib", 49)
    writer.disk.tidy()
    assert 0 < len(spool.segments) < before
    assert spool.segments[0].summary.alone["vib"].last >= 50
    writer.disk.acked("vib", 99)
    writer.disk.tidy()
    assert spool.segments == []
    assert list(tmp_path.glob("*.spool")) == []


def test_what_was_acked_is_not_given_again_after_a_restart(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    writer = Writer(spool)
    writer.write(20)
    writer.disk.acked("vib", 7)
    writer.disk.note_acked(2 * SECOND_NS)
    spool.close()
    again = open_spool(tmp_path)
    assert again.earlier[0].streams["vib"].samples == 12
    assert sequences(again) == list(range(8, 20))


def test_a_tail_cut_at_any_byte_of_the_last_record_costs_that_record_alone(tmp_path: Path) -> None:
    filled(tmp_path / "whole", 5)
    data = only_file(tmp_path / "whole").read_bytes()
    *_, last, summary = read_content(Path("x"), data).records
    assert last.size > 60
    for cut in range(last.offset, summary.offset):
        folder = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "whole", folder)
        only_file(folder).write_bytes(data[:cut])
        spool = open_spool(folder)
        assert sequences(spool) == [0, 1, 2, 3]
        torn = [(part.size, part.torn) for part in spool.damage]
        assert torn == ([(cut - last.offset, True)] if cut > last.offset else [])
        again = open_spool(folder)
        assert sequences(again) == [0, 1, 2, 3]
        assert again.damage == []


def test_a_tail_cut_at_any_byte_of_the_summary_costs_nothing(tmp_path: Path) -> None:
    filled(tmp_path / "whole", 5)
    data = only_file(tmp_path / "whole").read_bytes()
    summary = read_content(Path("x"), data).records[-1]
    for cut in range(summary.offset, len(data)):
        folder = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "whole", folder)
        only_file(folder).write_bytes(data[:cut])
        assert sequences(open_spool(folder)) == [0, 1, 2, 3, 4]
        assert only_file(folder).read_bytes() == data


def test_of_closed_segments_nothing_but_their_summaries_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool(tmp_path, segment_bytes=2000)
    writer = Writer(spool)
    writer.write(200)
    writer.disk.acked("vib", 77)
    writer.disk.note_acked(2 * SECOND_NS)
    left_open = spool.segments[-1].path  # as after a kill
    read: list[Path] = []
    whole = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        read.append(path)
        return whole(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read_bytes)
        again = open_spool(tmp_path, segment_bytes=2000)
    assert len(again.segments) > 10
    (stored,) = again.earlier[0].streams.values()
    assert (stored.samples, stored.last) == (122, 199)
    split = next(s for s in again.segments if s.summary.alone["vib"].last >= 77)
    assert read == [left_open, split.path]
    assert sequences(again) == list(range(78, 200))


def flipped(data: bytes, places: list[int]) -> bytes:
    spoiled = bytearray(data)
    for place in places:
        spoiled[place // 8 % len(data)] ^= 1 << place % 8
    return bytes(spoiled)


@settings(max_examples=60, deadline=None)
@given(places=st.lists(st.integers(0, 8 * 3000 - 1), min_size=1, max_size=4, unique=True))
def test_flipped_bits_cost_the_records_they_hit_and_nothing_else(places: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        filled(folder)
        data = only_file(folder).read_bytes()
        hit = {place // 8 % len(data) for place in places}
        spoiled = flipped(data, places)
        only_file(folder).write_bytes(spoiled)
        records = read_content(Path("x"), data).records
        samples = [r for r in records if r.record.kind is Kind.SAMPLE]
        whole = [r for r in samples if not hit & set(range(r.offset, r.offset + r.size))]
        spool = open_spool(folder)
        assert sequences(spool) == [r.record.order - 2 for r in whole]
        assert bool(spool.damage) == (spoiled != data)
        repair_folder(folder)
        assert read_folder(folder)[1] == []
        assert sequences(open_spool(folder)) == [r.record.order - 2 for r in whole]


def test_a_flipped_record_is_kept_in_quarantine(tmp_path: Path) -> None:
    filled(tmp_path)
    path = only_file(tmp_path)
    data = path.read_bytes()
    third = read_content(path, data).records[3]
    spoiled = flipped(data, [8 * (third.offset + 50)])
    path.write_bytes(spoiled)
    assert sequences(open_spool(tmp_path)) == [0, 1, *range(3, 20)]
    (aside,) = (tmp_path / QUARANTINE).iterdir()
    assert aside.read_bytes() == spoiled[third.offset : third.offset + third.size]


@settings(max_examples=40, deadline=None)
@given(junk=st.binary(max_size=400))
def test_a_file_of_anything_at_all_never_keeps_the_spool_from_opening(junk: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        filled(folder)
        (folder / "0000000009.two.spool").write_bytes(junk)
        spool = open_spool(folder)
        assert sequences(spool) == list(range(20))
        writer = Writer(spool, "three")
        writer.write(3)
        spool.close()
        assert sequences(open_spool(folder)) == [*range(20), 0, 1, 2]


def test_a_look_changes_nothing_and_a_repair_leaves_whole_files(tmp_path: Path) -> None:
    filled(tmp_path)
    path = only_file(tmp_path)
    last = read_content(path, path.read_bytes()).records[-2]
    path.write_bytes(flipped(path.read_bytes(), [3000])[: last.offset + last.size - 5])
    before = path.read_bytes()
    sessions, damage, count = read_folder(tmp_path)
    assert (len(damage), count) == (2, 1)
    assert path.read_bytes() == before
    assert repair_folder(tmp_path) == damage
    assert read_folder(tmp_path)[1] == []
    assert read_folder(tmp_path)[0][0].streams["vib"].samples == 18
    assert sessions[0].streams["vib"].samples == 18


def test_a_disk_that_is_full_leaves_the_segment_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool(tmp_path)
    writer = Writer(spool)
    writer.write(5)

    def no_room(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.writev", no_room)
        with pytest.raises(OSError, match="No space"):
            writer.write()
    writer.write(2)
    spool.close()
    assert open_spool(tmp_path).damage == []
    assert sequences(open_spool(tmp_path)) == list(range(7))


def test_files_that_are_not_segments_are_left_alone(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "odd.spool").write_text("mine too")
    assert len(segments_in(tmp_path)) == 1
    open_spool(tmp_path)
    assert (tmp_path / "odd.spool").read_text() == "mine too"
