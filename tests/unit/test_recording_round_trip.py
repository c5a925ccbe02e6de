"""What was written to a recording comes back bit for bit, and opens elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.errors import RecordingError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording import Recording, RecordingWriter
from tests.command_line import fusewatch
from tests.requirements import require_module
from tests.unit.recordings import (
    CAMERA,
    JOURNAL,
    MIC,
    MS,
    PUMP,
    T0,
    bits,
    event,
    record,
    same,
    sample,
    scene,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
TIME = st.integers(0, 2**63 - 1)
MIC_FLOAT = StreamInfo("mic-float", Modality.AUDIO, 48000.0, (2,), "float32")
any_float = st.floats(width=64, allow_nan=True, allow_infinity=True)


def payloads() -> st.SearchStrategy[tuple[str, Encoding, object]]:
    images = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))
    sounds = arrays.arrays(np.int16, st.tuples(st.integers(0, 40), st.integers(1, 3)))
    floats = arrays.arrays(
        np.float32,
        st.tuples(st.integers(0, 40), st.just(2)),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
    )
    readings = arrays.arrays(np.float64, 3, elements=any_float)
    return st.one_of(
        st.binary(max_size=9000).map(lambda b: ("camera", Encoding.JPEG, b)),
        images.map(lambda a: ("camera", Encoding.RAW, a)),
        sounds.map(lambda a: ("mic", Encoding.PCM, a)),
        floats.map(lambda a: ("mic-float", Encoding.FLOAT, a)),
        readings.map(lambda a: ("pump", Encoding.FLOAT, a)),
        st.text(max_size=200).map(lambda t: ("journal", Encoding.UTF8, t)),
    )


@st.composite
def samples(draw: st.DrawFn) -> SampleArrived:
    stream, encoding, data = draw(payloads())
    numbers = (draw(INT64), draw(INT64), draw(INT64))
    made = Sample(stream, draw(INT64), draw(INT64), data, encoding, *numbers)  # type: ignore[arg-type]
    return SampleArrived(draw(TIME), draw(st.sampled_from(["hall", "yard"])), made)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(arrivals=st.lists(samples(), max_size=30), chunk=st.sampled_from([1, 500, 1 << 20]))
def test_every_sample_comes_back_bit_for_bit_and_in_order(
    arrivals: list[SampleArrived], chunk: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("r") / "a.mcap"
    opened = [
        StreamOpened(T0, node, info)
        for node in ("hall", "yard")
        for info in (CAMERA, MIC, MIC_FLOAT, PUMP, JOURNAL)
    ]
    written = record(path, [*opened, *arrivals], chunk_bytes=chunk)
    with Recording(path) as recording:
        assert same(recording.arrivals(), written)
        assert recording.truncated is None
        assert recording.faults == ()


def test_a_whole_scene_comes_back_with_everything_about_it(tmp_path: Path) -> None:
    path = tmp_path / "scene.mcap"
    written = record(
        path, scene(3.0), deployment="home", scenes={"hall": ["camera", "mic", "pump", "journal"]}
    )
    with Recording(path) as recording:
        assert same(recording.arrivals(), written)
        assert dict(recording.streams) == {i.name: i for i in (CAMERA, MIC, PUMP, JOURNAL)}
        assert recording.nodes == ("hall",)
        assert recording.deployment == "home"
        assert recording.scenes == {"hall": ("camera", "mic", "pump", "journal")}
        assert (recording.start_ns, recording.end_ns) == (T0, T0 + 2990 * MS)
        assert recording.totals["pump"].samples == 300
        assert recording.totals["camera"].nbytes == 30 * 20_000


def test_nan_payloads_and_signed_zeros_keep_their_bits(tmp_path: Path) -> None:
    odd = np.array([0x7FF8DEADBEEF0001, 0xFFF0000000000001, 0x8000000000000000], np.uint64)
    reading = sample("pump", 0, T0, odd.view(np.float64), Encoding.FLOAT)
    record(tmp_path / "n.mcap", [StreamOpened(T0, "hall", PUMP), reading])
    with Recording(tmp_path / "n.mcap") as recording:
        back = list(recording.arrivals())[-1]
    assert isinstance(back, SampleArrived)
    assert back.sample.data.tobytes() == odd.tobytes()  # type: ignore[union-attr]


def test_views_into_larger_buffers_are_recorded_as_what_they_show(tmp_path: Path) -> None:
    picture = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    cropped = sample("camera", 0, T0, picture[::2, 5:50], Encoding.RAW)
    message = memoryview(b"head" + b"\xff\xd8" * 5000)
    wire = sample("camera", 1, T0, message[4:], Encoding.JPEG)
    written = record(tmp_path / "v.mcap", [StreamOpened(T0, "hall", CAMERA), cropped, wire])
    with Recording(tmp_path / "v.mcap") as recording:
        assert same(recording.arrivals(), written)


def test_events_and_clock_offsets_are_kept_beside_the_samples(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "e.mcap") as writer:
        writer.event(event(0), T0)
        writer.clock_offset("hall", -1234, 56, T0 + 1)
        writer.event(event(1), T0 + 2)
    with Recording(tmp_path / "e.mcap") as recording:
        assert list(recording.events()) == [(T0, event(0)), (T0 + 2, event(1))]
        offset = next(recording.clock_offsets())
        assert (offset.node, offset.offset_ns, offset.uncertainty_ns) == ("hall", -1234, 56)
        assert list(recording.arrivals()) == []


def test_the_last_account_of_each_stream_stands_at_the_end_and_in_what_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path / "a.mcap", scene(1.0))
    with Recording(tmp_path / "a.mcap") as recording:
        account = recording.accounts["camera"]
    assert (account.captured, account.delivered, account.spooled) == (10, 7, 1)
    assert account.dropped == {"corrupt": 2}
    assert fusewatch("recording", "info", tmp_path / "a.mcap") == 0
    assert "camera: 10 captured, dropped 2 corrupt" in capsys.readouterr().out


def test_a_stream_announced_anew_with_other_channels_keeps_both_kinds(tmp_path: Path) -> None:
    wide = StreamInfo("pump", Modality.SENSOR, None, (2,), "float64", channels=("a", "b"))
    written = record(
        tmp_path / "w.mcap",
        [
            StreamOpened(T0, "hall", PUMP),
            sample("pump", 0, T0, np.zeros(3), Encoding.FLOAT),
            StreamOpened(T0 + 1, "hall", wide),
            sample("pump", 1, T0 + 1, np.ones(2), Encoding.FLOAT),
        ],
    )
    with Recording(tmp_path / "w.mcap") as recording:
        assert same(recording.arrivals(), written)
        assert recording.streams["pump"] == wide


def test_a_span_begins_with_the_streams_that_are_open_then(tmp_path: Path) -> None:
    written = record(tmp_path / "s.mcap", scene(5.0))
    first, end = T0 + 2000 * MS, T0 + 3500 * MS
    with Recording(tmp_path / "s.mcap") as recording:
        got = list(recording.arrivals(first, end))
    opened, rest = got[:4], got[4:]
    assert opened == [StreamOpened(first, "hall", i) for i in (CAMERA, MIC, PUMP, JOURNAL)]
    assert same(rest, [a for a in written if first <= a.arrival_ns < end])


def test_a_span_after_the_end_of_all_streams_is_empty(tmp_path: Path) -> None:
    record(tmp_path / "s.mcap", scene(1.0))
    with Recording(tmp_path / "s.mcap") as recording:
        assert list(recording.arrivals(from_ns=T0 + 10_000 * MS)) == []


def test_the_same_arrivals_give_the_same_bytes(tmp_path: Path) -> None:
    record(tmp_path / "a.mcap", scene(1.0))
    record(tmp_path / "b.mcap", scene(1.0))
    assert (tmp_path / "a.mcap").read_bytes() == (tmp_path / "b.mcap").read_bytes()


def test_other_programs_read_it_as_plain_foxglove_messages(tmp_path: Path) -> None:
    require_module("mcap_protobuf")
    from mcap.reader import make_reader
    from mcap_protobuf.decoder import DecoderFactory

    written = record(tmp_path / "f.mcap", scene(1.0), chunk_bytes=100_000)
    with (tmp_path / "f.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        topics = ["/camera", "/mic", "/pump", "/journal"]
        found = list(reader.iter_decoded_messages(topics=topics, log_time_order=False))
        summary = reader.get_summary()
    arrived = [a for a in written if isinstance(a, SampleArrived)]
    assert len(found) == len(arrived)
    for (schema, channel, message, decoded), arrival in zip(found, arrived, strict=True):
        s = arrival.sample
        assert message.log_time == arrival.arrival_ns
        assert message.publish_time == s.timestamp_ns
        stamp = decoded.timestamp
        assert stamp.seconds * 10**9 + stamp.nanos == s.timestamp_ns
        if channel.topic == "/camera":
            assert (schema.name, decoded.format) == ("foxglove.CompressedImage", "jpeg")
            assert (decoded.frame_id, decoded.data) == ("camera", s.data)
        elif channel.topic == "/mic":
            assert (schema.name, decoded.format) == ("foxglove.RawAudio", "pcm-s16")
            assert (decoded.sample_rate, decoded.number_of_channels) == (16000, 1)
            assert decoded.data == s.data.tobytes()  # type: ignore[union-attr]
        elif channel.topic == "/pump":
            values = [decoded.Volume_Flow_RateRMS, decoded.temperature_C, decoded.c3rd]
            assert values == s.data.tolist()  # type: ignore[union-attr]
        else:
            assert (schema.name, decoded.message) == ("foxglove.Log", s.data)
    assert summary is not None and summary.statistics is not None
    assert summary.statistics.message_count == len(written)


def test_our_schemas_are_those_of_foxglove() -> None:
    require_module("foxglove")
    require_module("mcap_protobuf")
    from foxglove import messages
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    from pipeline.recording import schemas

    def fields(data: bytes, name: str) -> list[tuple[str, int, int, str]]:
        files = FileDescriptorSet.FromString(data).file
        message = next(m for f in files for m in f.message_type if m.name == name)
        return sorted((f.name, f.number, f.type, f.type_name) for f in message.field)

    for name, ours in (
        ("CompressedImage", schemas.COMPRESSED_IMAGE),
        ("RawImage", schemas.RAW_IMAGE),
        ("RawAudio", schemas.RAW_AUDIO),
        ("Log", schemas.LOG),
    ):
        theirs = getattr(messages, name).get_schema()
        assert ours.name == theirs.name
        assert fields(ours.data, name) == fields(theirs.data, name)


def test_names_that_protobuf_would_confuse_stay_apart() -> None:
    from pipeline.recording.schemas import field_names

    names = field_names(["a b", "a-b", "A_B", "ab", "timestamp", "", "9", "a_b_2"])
    assert len({n.replace("_", "").lower() for n in (*names, "timestamp")}) == 9


@pytest.mark.parametrize(
    ("stream", "encoding", "data"),
    [
        ("pump", Encoding.FLOAT, np.zeros(4)),
        ("pump", Encoding.FLOAT, np.zeros(3, np.float32)),
        ("camera", Encoding.RAW, np.zeros((4, 4), np.uint8)),
        ("camera", Encoding.RAW, np.zeros((4, 4, 4), np.uint8)),
        ("camera", Encoding.PCM, np.zeros((4, 1), np.int16)),
        ("mic", Encoding.PCM, b"\0\0"),
        ("journal", Encoding.UTF8, b"bytes"),
        ("nobody", Encoding.UTF8, "text"),
    ],
)
def test_data_that_does_not_fit_its_stream_is_refused_and_the_rest_recorded(
    tmp_path: Path, stream: str, encoding: Encoding, data: object
) -> None:
    good = sample("pump", 0, T0, np.zeros(3), Encoding.FLOAT)
    with RecordingWriter(tmp_path / "bad.mcap") as writer:
        for info in (CAMERA, MIC, PUMP, JOURNAL):
            writer.write(StreamOpened(T0, "hall", info))
        with pytest.raises(RecordingError, match=stream):
            writer.write(sample(stream, 0, T0, data, encoding))
        writer.write(good)
    with Recording(tmp_path / "bad.mcap") as recording:
        assert bits(list(recording.arrivals())[-1]) == bits(good)


def test_an_existing_file_is_not_overwritten_unless_told(tmp_path: Path) -> None:
    record(tmp_path / "x.mcap", scene(0.1))
    with pytest.raises(RecordingError, match="exists already"):
        RecordingWriter(tmp_path / "x.mcap")
    RecordingWriter(tmp_path / "x.mcap", overwrite=True).close()


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot create"):
        RecordingWriter(tmp_path / "nowhere" / "x.mcap")
