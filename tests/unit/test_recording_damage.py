"""A recording that is cut off or damaged gives all that is whole, and says what is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from pipeline.core.arrival import Arrival, SampleArrived, StreamOpened
from pipeline.core.errors import RecordingError
from pipeline.recording import Recording, repair, rewrite
from pipeline.recording.mcap_reader import McapFile
from tests.unit.recordings import bits, event, positions, record, same, scene

CHUNK = 60_000


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[object], list[int]]:
    """A recording of several chunks, its arrivals, and where each chunk's data ends."""
    path = tmp_path_factory.mktemp("damage") / "whole.mcap"
    written = record(path, scene(3.0), chunk_bytes=CHUNK)
    with McapFile(path) as file:
        ends = [c.offset + c.length for c in file.index.chunks]
        counts = [sum(1 for _ in file.messages([c])) for c in file.index.chunks]
    assert len(ends) > 8 and sum(counts) == len(written)
    return path, [bits(a) for a in written], [*ends, *counts]


def test_a_cut_anywhere_gives_every_whole_chunk_and_is_told(
    whole: tuple[Path, list[object], list[int]], tmp_path: Path
) -> None:
    path, written, table = whole
    ends, counts = table[: len(table) // 2], table[len(table) // 2 :]
    data = path.read_bytes()
    cut = tmp_path / "cut.mcap"
    for size in [*positions(len(data), 60), *ends, *(e - 1 for e in ends), len(data) - 1, 8, 9]:
        if size < 8:
            continue
        cut.write_bytes(data[:size])
        with Recording(cut) as recording:
            got = [bits(a) for a in recording.arrivals()]
            owed = sum(n for n, end in zip(counts, ends, strict=True) if end <= size)
            assert len(got) >= owed
            assert got == written[: len(got)]
            assert recording.truncated is not None


def test_complete_messages_of_the_chunk_that_is_cut_are_read_too(
    whole: tuple[Path, list[object], list[int]], tmp_path: Path
) -> None:
    path, _, table = whole
    ends, counts = table[: len(table) // 2], table[len(table) // 2 :]
    (tmp_path / "cut.mcap").write_bytes(path.read_bytes()[: ends[3] - 100])
    with Recording(tmp_path / "cut.mcap") as recording:
        got = list(recording.arrivals())
        assert sum(counts[:3]) < len(got) < sum(counts[:4])
        assert "of the last one, which lacks 100 bytes" in (recording.truncated or "")
        assert recording.totals["pump"].samples > 0
        assert recording.end_ns > recording.start_ns


def test_a_cut_in_the_index_alone_costs_no_sample_and_says_so(
    whole: tuple[Path, list[object], list[int]], tmp_path: Path
) -> None:
    path, written, _ = whole
    (tmp_path / "cut.mcap").write_bytes(path.read_bytes()[:-30])
    with Recording(tmp_path / "cut.mcap") as recording:
        assert [bits(a) for a in recording.arrivals()] == written
        assert "no sample is missing" in (recording.truncated or "")


def test_a_span_of_a_cut_file_is_found_without_its_index(
    whole: tuple[Path, list[object], list[int]], tmp_path: Path
) -> None:
    path, _, table = whole
    (tmp_path / "cut.mcap").write_bytes(path.read_bytes()[: table[6]])
    with Recording(path) as first, Recording(tmp_path / "cut.mcap") as second:
        start = first.start_ns + 300_000_000
        span = (start, start + 200_000_000)
        assert same(first.arrivals(*span), second.arrivals(*span))


def test_a_flipped_bit_costs_its_chunk_only_and_is_told(
    whole: tuple[Path, list[object], list[int]], tmp_path: Path
) -> None:
    path, written, table = whole
    ends, counts = table[: len(table) // 2], table[len(table) // 2 :]
    data = bytearray(path.read_bytes())
    data[ends[4] - 1000] ^= 0x10
    (tmp_path / "flip.mcap").write_bytes(data)
    with Recording(tmp_path / "flip.mcap") as recording:
        got = [bits(a) for a in recording.arrivals()]
        before = sum(counts[:4])
        assert got == written[:before] + written[before + counts[4] :]
        assert "checksum" in recording.faults[0]
        assert recording.truncated is None


def test_flipped_bits_anywhere_never_stop_the_reading(
    whole: tuple[Path, list[object], list[int]], tmp_path: Path
) -> None:
    path, written, table = whole
    data = path.read_bytes()
    known = set(map(repr, written))
    announced = {(o.node, o.info) for o in written if isinstance(o, StreamOpened)}
    for position in positions(len(data) - 8, 80, seed=9):
        damaged = bytearray(data)
        damaged[position + 8] ^= 1 << (position % 8)
        (tmp_path / "flip.mcap").write_bytes(damaged)
        with Recording(tmp_path / "flip.mcap") as recording:
            got = [bits(a) for a in recording.arrivals()]
            assert len(got) >= len(written) - 2 * max(table[len(table) // 2 :])
            anew = [o for o in got if isinstance(o, StreamOpened) and repr(o) not in known]
            assert all((o.node, o.info) in announced for o in anew)
            assert all(repr(item) in known for item in got if item not in anew)


def without_first_chunk(path: Path) -> Path:
    """The recording again with one wrong bit in the chunk that announces its streams."""
    data = bytearray(path.read_bytes())
    with McapFile(path) as file:
        first = file.index.chunks[0]
    data[first.offset + first.length - 1000] ^= 0x10
    broken = path.with_name("first.mcap")
    broken.write_bytes(data)
    return broken


def lacking_announcement(arrivals: Iterable[Arrival]) -> list[Arrival]:
    """Samples that come before their stream."""
    opened: set[str] = set()
    lacking = []
    for arrival in arrivals:
        if isinstance(arrival, StreamOpened):
            opened.add(arrival.info.name)
        elif isinstance(arrival, SampleArrived) and arrival.sample.stream not in opened:
            lacking.append(arrival)
    return lacking


@pytest.mark.parametrize("later_ms", [None, 500])
def test_streams_whose_announcement_is_lost_are_announced_by_their_channels(
    whole: tuple[Path, list[object], list[int]], later_ms: int | None
) -> None:
    path, written, table = whole
    with Recording(path) as recording:
        streams, nodes = recording.streams, recording.nodes
    with Recording(without_first_chunk(path)) as recording:
        assert recording.streams == streams and set(recording.nodes) == set(nodes)
        first_ns = None if later_ms is None else recording.start_ns + later_ms * 1_000_000
        got = list(recording.arrivals(first_ns))
        assert not lacking_announcement(got)
        assert sum(isinstance(a, StreamOpened) for a in got) == len(streams)
        if first_ns is None:
            rest = [bits(a) for a in got if not isinstance(a, StreamOpened)]
            assert rest == written[table[len(table) // 2] :]


def test_a_recording_without_its_first_chunk_can_be_repaired_cut_and_merged(
    whole: tuple[Path, list[object], list[int]], tmp_path: Path
) -> None:
    path, _, _ = whole
    broken = without_first_chunk(path)
    repair(broken, tmp_path / "repaired.mcap")
    with Recording(broken) as recording:
        samples = sum(isinstance(a, SampleArrived) for a in recording.arrivals())
        start_ns = recording.start_ns
    with Recording(tmp_path / "repaired.mcap") as repaired:
        assert not lacking_announcement(repaired.arrivals())
        assert len(repaired.streams) == 4
    assert rewrite([broken], tmp_path / "cut.mcap", from_ns=start_ns).samples == samples
    assert rewrite([broken, path], tmp_path / "merged.mcap").samples > samples


def test_damage_within_a_file_without_end_is_stepped_over(
    whole: tuple[Path, list[object], list[int]], tmp_path: Path
) -> None:
    path, written, table = whole
    ends, counts = table[: len(table) // 2], table[len(table) // 2 :]
    data = bytearray(path.read_bytes()[: ends[7]])
    with McapFile(path) as file:
        start = file.index.chunks[2].offset
    data[start : start + 30] = b"\xee" * 30
    (tmp_path / "hole.mcap").write_bytes(data)
    with Recording(tmp_path / "hole.mcap") as recording:
        got = [bits(a) for a in recording.arrivals()]
        before = sum(counts[:2])
        assert got == written[:before] + written[before + counts[2] : sum(counts[:8])]
        assert "make no sense" in recording.faults[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an MCAP file"),
        (b"\x89MCAP", "not an MCAP file"),
        (b"RIFF\0\0\0\0AVI LIST" * 10, "not an MCAP file"),
        (b"time,a\n1,2\n", "not an MCAP file"),
    ],
)
def test_a_file_that_is_not_mcap_is_refused_with_a_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "foreign.mcap").write_bytes(content)
    with pytest.raises(RecordingError, match=reason):
        Recording(tmp_path / "foreign.mcap")


def test_an_mcap_file_of_another_program_is_refused_with_a_reason(tmp_path: Path) -> None:
    from mcap.writer import Writer

    with (tmp_path / "robot.mcap").open("wb") as file:
        writer = Writer(file)
        writer.start()
        channel = writer.register_channel("/odom", "json", 0)
        writer.add_message(channel, 1, b"{}", 1)
        writer.finish()
    with pytest.raises(RecordingError, match="not a recording of fusewatch"):
        Recording(tmp_path / "robot.mcap")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        Recording(tmp_path / "none.mcap")
    with pytest.raises(RecordingError, match="directory"):
        Recording(tmp_path)


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_files_that_another_program_compressed_are_read(tmp_path: Path, compression: str) -> None:
    from mcap.stream_reader import StreamReader
    from mcap.writer import CompressionType, Writer

    written = record(tmp_path / "plain.mcap", scene(1.0))
    kind = CompressionType.ZSTD if compression == "zstd" else CompressionType.LZ4
    with (tmp_path / "plain.mcap").open("rb") as old, (tmp_path / "c.mcap").open("wb") as new:
        writer = Writer(new, chunk_size=50_000, compression=kind)
        writer.start()
        for item in StreamReader(old).records:
            name = type(item).__name__
            if name == "Schema":
                writer.register_schema(item.name, item.encoding, item.data)
            elif name == "Channel":
                writer.register_channel(
                    item.topic, item.message_encoding, item.schema_id, item.metadata
                )
            elif name == "Message":
                writer.add_message(item.channel_id, item.log_time, item.data, item.publish_time)
            elif name == "DataEnd":
                break
        writer.finish()
    with Recording(tmp_path / "c.mcap") as recording:
        assert same(recording.arrivals(), written)


def test_repair_makes_a_whole_file_that_others_can_open(
    whole: tuple[Path, list[object], list[int]], tmp_path: Path
) -> None:
    from mcap.reader import make_reader

    path, _, table = whole
    broken, fixed = tmp_path / "broken.mcap", tmp_path / "fixed.mcap"
    broken.write_bytes(path.read_bytes()[: table[5] - 200])
    report = repair(broken, fixed)
    assert not report.was_whole and report.orphans == 0
    with Recording(broken) as first, Recording(fixed) as second:
        assert same(first.arrivals(), second.arrivals())
        assert second.truncated is None
        assert second.totals == first.totals
    with fixed.open("rb") as file:
        count = sum(1 for _ in make_reader(file, validate_crcs=True).iter_messages())
    assert count == report.messages


def test_repair_in_place_is_refused(tmp_path: Path) -> None:
    record(tmp_path / "x.mcap", scene(0.1))
    with pytest.raises(RecordingError, match="in place"):
        repair(tmp_path / "x.mcap", tmp_path / "." / "x.mcap", overwrite=True)


KILLED = """
import sys
from collections.abc import Iterable
from pathlib import Path
from pipeline.recording import RecordingWriter
from tests.unit.recordings import scene
writer = RecordingWriter(Path(sys.argv[1]))
for number, arrival in enumerate(scene(60.0)):
    writer.write(arrival)
    if number % 100 == 0:
        print(arrival.arrival_ns, flush=True)
"""


def test_a_killed_writer_loses_at_most_its_last_second(tmp_path: Path) -> None:
    path = tmp_path / "killed.mcap"
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(root)}
    ) as process:
        if process.stdout is None:
            raise AssertionError
        told = [int(process.stdout.readline()) for _ in range(15)]
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    with Recording(path) as recording:
        got = list(recording.arrivals())
        assert recording.truncated is not None
        assert recording.streams.keys() == {"camera", "mic", "pump", "journal"}
    assert got[-1].arrival_ns >= told[-1] - 1_000_000_000
    assert same(got, list(scene(60.0))[: len(got)])


def test_a_full_disk_leaves_a_readable_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.recording import mcap_writer
    from pipeline.recording.writer import RecordingWriter

    room = 400_000
    written: list[int] = []
    real = mcap_writer.write_all

    def limited(file: int, pieces: list[bytes]) -> int:
        size = sum(map(len, pieces))
        if sum(written) + size > room:
            os.write(file, b"half a chunk")
            raise OSError(28, "No space left on device")
        written.append(size)
        return real(file, pieces)

    monkeypatch.setattr(mcap_writer, "write_all", limited)
    writer = RecordingWriter(tmp_path / "full.mcap", chunk_bytes=CHUNK)
    accepted = []
    with pytest.raises(RecordingError, match="No space left"):
        for arrival in scene(10.0):
            writer.write(arrival)
            accepted.append(arrival)
    writer.abandon()
    assert writer.lost > 0
    with Recording(tmp_path / "full.mcap") as recording:
        got = list(recording.arrivals())
        assert recording.faults == ()
    assert got and same(got, accepted[: len(got)])
    assert len(got) + writer.lost >= len(accepted)


def test_events_survive_a_cut(tmp_path: Path) -> None:
    from pipeline.recording import RecordingWriter

    with RecordingWriter(tmp_path / "e.mcap", chunk_bytes=5000) as writer:
        for number, arrival in enumerate(scene(1.0)):
            writer.write(arrival)
            if number % 20 == 0 and isinstance(arrival, SampleArrived):
                writer.event(event(number), arrival.arrival_ns)
    data = (tmp_path / "e.mcap").read_bytes()
    (tmp_path / "e.mcap").write_bytes(data[: len(data) // 2])
    with Recording(tmp_path / "e.mcap") as recording:
        assert len(list(recording.events())) >= 2
