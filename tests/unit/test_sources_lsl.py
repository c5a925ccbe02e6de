"""A stream of the Lab Streaming Layer arrives with its values, in node time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.clock import slept_ns
from pipeline.core.errors import SourceUnavailable
from pipeline.core.sample import Modality
from tests.lsl_alone import LSL_ALONE
from tests.requirements import require_module
from tests.unit.sources import context, read_count

require_module("pylsl")


@pytest.fixture(scope="module", autouse=True)
def _on_this_machine_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    file: Path = tmp_path_factory.mktemp("lsl") / "lsl_api.cfg"
    file.write_text(LSL_ALONE)
    before = os.environ.get("LSLAPICFG")
    os.environ["LSLAPICFG"] = str(file)
    yield
    if before is None:
        del os.environ["LSLAPICFG"]
    else:
        os.environ["LSLAPICFG"] = before


import pylsl  # noqa: E402

from pipeline.sources.lsl import LslSettings  # noqa: E402

RATE = 100.0


def outlet(name: str, kind: str, count: int, rate: float, layout: int) -> pylsl.StreamOutlet:
    """A sender on this machine; its name is of this process alone."""
    about = pylsl.StreamInfo(f"{name}-{os.getpid()}", kind, count, rate, layout, f"id-{name}")
    channels = about.desc().append_child("channels")
    for number in range(count):
        channel = channels.append_child("channel")
        channel.append_child_value("label", f"Z{number}")
        channel.append_child_value("unit", "microvolts")
    return pylsl.StreamOutlet(about)


def reader(name: str, **options: object):
    ctx, refusals = context()
    wanted = {"stream": "eeg", "name": f"{name}-{os.getpid()}"} | options
    return LslSettings.model_validate(wanted).build(ctx), ctx.clock, refusals


def test_numbers_come_with_channels_units_and_node_time() -> None:
    sender = outlet("numbers", "EEG", 3, RATE, pylsl.cf_float32)
    source, clock, _ = reader("numbers")
    opened_ns = clock.now_ns()
    (info,) = source.open()
    opened_s = pylsl.local_clock()
    assert (info.channels, info.units) == (("Z0", "Z1", "Z2"), ("microvolts",) * 3)
    assert (info.modality, info.rate_hz, info.stamp) == (Modality.SENSOR, RATE, "device")
    assert sender.wait_for_consumers(5)
    base_s = pylsl.local_clock()
    for row in range(5):
        sender.push_sample([row, -row, float("inf") if row == 3 else 0.5], base_s + row / 100)
    samples = read_count(source, 5)
    source.close()
    values = np.array([sample.data for sample in samples])
    np.testing.assert_array_equal(values[:, 0], np.arange(5))
    assert np.isnan(values[3, 2])
    # The clock of the test stands still, so node time is what it was when LSL's clock was read.
    since_ns = np.array([sample.timestamp_ns - opened_ns for sample in samples])
    wanted_ns = (base_s - opened_s + np.arange(5) / 100) * 1e9
    np.testing.assert_allclose(since_ns, wanted_ns, atol=5e8)
    np.testing.assert_allclose(np.diff(since_ns), 1e7, atol=1e5)


def test_strings_are_text_and_sound_is_counted_by_its_samples() -> None:
    words = outlet("words", "Markers", 1, pylsl.IRREGULAR_RATE, pylsl.cf_string)
    source, _, _ = reader("words")
    (info,) = source.open()
    assert info.modality is Modality.TEXT
    assert words.wait_for_consumers(5)
    words.push_sample(["door opened"])
    assert read_count(source, 1)[0].data == "door opened"
    source.close()
    heard = outlet("heard", "Audio", 1, 8000, pylsl.cf_float32)
    source, _, _ = reader("heard")
    (info,) = source.open()
    assert (info.modality, info.dtype, info.shape) == (Modality.AUDIO, "int16", (1,))
    assert heard.wait_for_consumers(5)
    heard.push_chunk([[0.5]] * 800)
    heard.push_chunk([[-0.5]] * 800)
    pieces = []
    while sum(len(piece.data) for piece in pieces) < 1600:
        pieces += source.read(2.0)
    source.close()
    sound = np.concatenate([piece.data for piece in pieces])[:, 0]
    assert set(sound[:800].tolist()) == {16384}
    assert set(sound[800:].tolist()) == {-16384}
    lengths = [len(piece.data) for piece in pieces]
    assert [piece.position for piece in pieces] == [0, *np.cumsum(lengths)[:-1].tolist()]


@pytest.mark.parametrize(
    ("layout", "sent"),
    [
        (pylsl.cf_int16, [0, 4096, -16384, 32767]),
        (pylsl.cf_int32, [0, 1 << 28, -(1 << 30), (1 << 31) - 1]),
    ],
)
def test_sound_in_whole_numbers_reaches_as_far_as_their_type(layout: int, sent: list[int]) -> None:
    whole = outlet("whole", "Audio", 1, 8000, layout)
    source, _, _ = reader("whole")
    source.open()
    assert whole.wait_for_consumers(5)
    whole.push_chunk([[number] for number in sent])
    pieces = []
    while sum(len(piece.data) for piece in pieces) < 4:
        pieces += source.read(2.0)
    source.close()
    assert np.concatenate([p.data for p in pieces])[:, 0].tolist() == [0, 4096, -16384, 32767]


def test_a_stream_that_is_not_there_or_went_away_is_unavailable() -> None:
    source, _, _ = reader("nobody", find_s=0.3)
    with pytest.raises(SourceUnavailable, match="no such stream"):
        source.open()
    with pytest.raises(SourceUnavailable, match="not open"):
        source.read(0.1)
    sender = outlet("gone", "EEG", 1, RATE, pylsl.cf_float32)
    source, _, _ = reader("gone")
    source.open()
    del sender
    with pytest.raises(SourceUnavailable, match="lost"):
        for _ in range(50):
            source.read(0.2)
    source.close()
    source.close()


def test_what_it_sends_must_fit_what_it_is_said_to_be() -> None:
    sender = outlet("misfit", "Markers", 1, pylsl.IRREGULAR_RATE, pylsl.cf_string)
    source, _, _ = reader("misfit", modality="sensor")
    with pytest.raises(SourceUnavailable, match="cannot be sensor: it sends strings"):
        source.open()
    source.close()
    del sender


def test_a_name_cannot_break_out_of_the_query() -> None:
    with pytest.raises(ValueError, match="name"):
        LslSettings(stream="eeg", name="x' or name!='")


def test_a_stream_is_opened_anew_after_the_machine_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = outlet("sleepy", "EEG", 1, RATE, pylsl.cf_float32)
    source, _, _ = reader("sleepy")
    source.open()
    assert sender.wait_for_consumers(5)
    assert source.read(0.0) == []
    monkeypatch.setattr("pipeline.sources.lsl.slept_ns", lambda: slept_ns() + 60_000_000_000)
    with pytest.raises(SourceUnavailable, match="slept"):
        source.read(0.0)
    source.open()
    assert source.read(0.0) == []
    source.close()
