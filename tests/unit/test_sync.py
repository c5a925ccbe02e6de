"""What two streams both saw tells by how much their clocks differ, and how sure that is."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nodes.cli import run
from nodes.sync import SyncGathering
from pipeline.alignment.activity import CEILING, Activity, ActivityMeter
from pipeline.alignment.sync_offset import find_offset
from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.errors import AlignmentError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording.writer import RecordingWriter
from tests.benchmarks.sync_exact import Camera

RATE = 8000
START_NS = 1_700_000_000 * 10**9
MS = 1_000_000
SECOND = 1000 * MS
CAM = StreamInfo("cam", Modality.VIDEO, 10.0, (24, 32, 3), "uint8")
MIC = StreamInfo("mic", Modality.AUDIO, float(RATE), (1,), "int16")
KNOCK = StreamInfo("knock", Modality.SENSOR, 50.0, (2,), "float64", channels=("x", "y"))


def moments(count: int, seconds: float, seed: int) -> np.ndarray:
    """When something happens, seconds; nothing near either end."""
    return np.sort(np.random.default_rng(seed).uniform(5, seconds - 5, count))


def changes(
    name: str, happened: np.ndarray, seconds: float, rate_hz: float, seed: int, size: float = 20
) -> Activity:
    """Activity of a stream that shows what happened, in noise, with uneven stamps."""
    random = np.random.default_rng(seed)
    count = round(seconds * rate_hz)
    stamps = np.sort(np.arange(count) / rate_hz + random.normal(0, 0.02 / rate_hz, count))
    amount = np.abs(random.normal(0, 1, count - 1))
    places = np.searchsorted(stamps, happened) - 1
    amount[places[(places >= 0) & (places < count - 1)]] += size
    edges = np.rint(stamps * 1e9).astype(np.int64)
    return Activity(name, edges[:-1], edges[1:], np.clip(amount, 0, CEILING))


@pytest.mark.parametrize("offset_ms", [-420, -35, 0, 60, 730])
@pytest.mark.parametrize("count", [1, 4, 15])
def test_the_true_offset_lies_within_what_is_claimed(offset_ms: int, count: int) -> None:
    happened = moments(count, 40, count)
    camera = changes("cam", happened, 40, 10, 1)
    sound = changes("mic", happened + offset_ms / 1e3, 40, 100, 2)
    found = find_offset(camera, sound)
    assert found.sure
    assert abs(found.offset_ns - offset_ms * MS) <= found.uncertainty_ns
    assert found.uncertainty_ns < (150 if count < 15 else 50) * MS
    turned = find_offset(sound, camera)
    assert abs(turned.offset_ns + offset_ms * MS) <= turned.uncertainty_ns


@pytest.mark.parametrize("exposed", [0.1, 0.5, 1.0])
def test_it_does_not_matter_for_how_long_pictures_are_exposed(exposed: float) -> None:
    wrong_ms, holds = [], 0
    for seed in range(20):
        happened = moments(15, 30, seed)
        seen = Camera(10, exposed).watch(happened, 30, np.random.default_rng(seed))
        found = find_offset(changes("mic", happened, 30, 100, seed), seen)
        assert found.sure
        wrong_ms.append(found.offset_ns / MS)
        holds += abs(found.offset_ns) <= found.uncertainty_ns
    assert holds >= 19
    assert abs(np.mean(wrong_ms)) < 5  # a frame that is lit in part leads the next by 100 ms


def test_more_moments_tell_it_more_exactly() -> None:
    def claimed(count: int) -> int:
        happened = moments(count, 60, 9)
        streams = changes("cam", happened, 60, 10, 1), changes("mic", happened, 60, 100, 2)
        return find_offset(*streams).uncertainty_ns

    assert claimed(30) < claimed(8) < claimed(1)


def test_streams_with_nothing_in_common_are_seldom_taken_to_agree() -> None:
    sure = 0
    for seed in range(20):
        camera = changes("cam", moments(10, 40, seed), 40, 10, seed)
        sound = changes("mic", moments(10, 40, 100 + seed), 40, 100, 50 + seed)
        sure += find_offset(camera, sound).sure
    assert sure <= 3


def test_too_little_in_common_is_a_clear_error() -> None:
    camera = changes("cam", moments(3, 12, 0), 12, 10, 0)
    sound = changes("mic", moments(3, 12, 0), 12, 100, 1)
    with pytest.raises(AlignmentError, match="too little time"):
        find_offset(camera, sound, 2_000_000_000)


def test_comparing_keeps_no_table_of_all_offsets() -> None:
    streams = [changes(name, moments(5, 60, 1), 60, 100, seed) for seed, name in enumerate("ab")]
    tracemalloc.start()
    try:
        find_offset(streams[0], streams[1], 500 * MS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000  # 501 offsets of 5700 stretches are 23 MB


@pytest.mark.parametrize(("rate_hz", "stretches"), [(50, 20 * 50), (1000, 20 * 100)])
def test_of_a_fast_sensor_no_more_is_kept_than_of_sound_and_it_is_placed_as_well(
    rate_hz: int, stretches: int
) -> None:
    happened = moments(8, 20, 4)
    random = np.random.default_rng(6)
    shaken = random.normal(0, 0.1, (20 * rate_hz + 1, 2))
    shaken[np.ceil((happened + 0.06) * rate_hz).astype(int), 1] += 5
    meter = ActivityMeter(replace(KNOCK, rate_hz=float(rate_hz)))
    for n, reading in enumerate(shaken):
        meter.take(Sample("knock", n, n * 10**9 // rate_hz, reading, Encoding.FLOAT))
    activity = meter.activity()
    assert len(activity.amount) == pytest.approx(stretches, rel=0.1)
    found = find_offset(changes("mic", happened, 20, 100, 2), activity, 500 * MS)
    assert found.certain
    assert abs(found.offset_ns - 60 * MS) <= found.uncertainty_ns < 25 * MS


def test_text_and_too_few_samples_have_no_activity() -> None:
    with pytest.raises(AlignmentError, match="text"):
        ActivityMeter(StreamInfo("log", Modality.TEXT))
    with pytest.raises(AlignmentError, match="only 0 changes"):
        ActivityMeter(MIC).activity()
    meter = ActivityMeter(KNOCK)
    meter.take(Sample("knock", 0, 0, np.zeros(2), Encoding.FLOAT))
    with pytest.raises(AlignmentError, match="only 0 changes"):
        meter.activity()


@pytest.mark.parametrize("frames", [1, 2, 3, 6, 20])
def test_a_lamp_is_counted_when_it_goes_on_and_not_when_it_goes_off(frames: int) -> None:
    random = np.random.default_rng(8)
    lit = np.zeros(100)
    lit[40 : 40 + frames] = 120
    pictures = (random.normal(80 + lit[:, None, None, None], 3, (100, 24, 32, 3))).astype(np.uint8)
    meter = ActivityMeter(CAM)
    for number, picture in enumerate(pictures):
        meter.take(Sample("cam", number, number * 100 * MS, picture, Encoding.RAW))
    amount = meter.activity().amount
    assert amount.argmax() == 39
    assert np.delete(amount, 39).max() < amount[39] / 2


def write_claps(
    path: Path,
    late_ms: dict[str, int],
    count: int = 12,
    sender_from_s: int | None = None,
    stamp: str = "arrival",
) -> Path:
    """40 s of a lamp that flashes, a click and a spike at once, each as late as is said.

    Stamps of the picture are half a second later until they become the sender's own.
    """
    random = np.random.default_rng(3)
    happened = moments(count, 40, 5)
    seen = {name: happened + ms / 1e3 for name, ms in late_ms.items()}
    samples: list[Sample] = []
    lit = np.zeros(400, bool)
    lit[np.ceil(seen["cam"] * 10).astype(int)] = True
    for n in range(400):
        picture = random.normal(80 + 120 * lit[n], 3, (24, 32, 3)).clip(0, 255).astype(np.uint8)
        late = 500 * MS if sender_from_s is not None and n < 10 * sender_from_s else 0
        samples.append(Sample("cam", n, START_NS + n * 100 * MS + late, picture, Encoding.RAW))
    sound = random.normal(0, 20, 40 * RATE)
    for moment in seen["mic"]:
        at = round(moment * RATE)
        sound[at : at + 400] += random.normal(0, 6000, 400)
    for n in range(400):
        piece = sound[n * 800 : (n + 1) * 800, None].clip(-32768, 32767).astype(np.int16)
        time_ns = START_NS + n * 100 * MS
        samples.append(Sample("mic", n, time_ns, piece, Encoding.PCM, position=n * 800))
    shaken = random.normal(0, 0.1, (2000, 2))
    shaken[np.ceil(seen["knock"] * 50).astype(int), 1] += 5
    for n in range(2000):
        samples.append(Sample("knock", n, START_NS + n * 20 * MS, shaken[n], Encoding.FLOAT))
    infos = tuple(replace(info, stamp=stamp) for info in (CAM, MIC, KNOCK))
    with RecordingWriter(path, deployment="d", scenes={"s": [i.name for i in infos]}) as writer:
        for info in infos:
            writer.write(StreamOpened(START_NS, "n", info))
        for sample in sorted(samples, key=lambda one: one.timestamp_ns):
            begins = sender_from_s is not None and sample.sequence == 10 * sender_from_s
            if begins and sample.stream == "cam":
                writer.write(StreamOpened(sample.timestamp_ns, "n", replace(CAM, stamp="sender")))
            writer.write(SampleArrived(sample.timestamp_ns + MS, "n", sample))
    return path


DEPLOYMENT = """
name: d
nodes:
  n:
    sources: [{type: recording, paths: [a.mcap], streams: [cam, mic, knock]}]
streams:
  cam: {latency_ms: 40}
scenes:
  s: {streams: [cam, mic, knock]}
alert: {sinks: [{type: console}]}
"""


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    path = tmp_path / "d.yaml"
    path.write_text(DEPLOYMENT)
    return path


def test_claps_tell_what_latency_each_stream_should_have(
    deployment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = write_claps(tmp_path / "a.mcap", {"cam": 230, "mic": 0, "knock": 80})
    plot = tmp_path / "sync.png"
    arguments = ["sync", "test", str(deployment), "-r", str(recording), "--json"]
    assert run([*arguments, "--plot", str(plot)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["reference"] == "mic"
    for name, true_ms in (("cam", 230), ("knock", 80)):
        stream = told["streams"][name]
        assert stream["sure"]
        assert abs(stream["offset_ms"] - true_ms) <= stream["uncertainty_ms"] <= 60
    assert told["stamps"] == {"cam": ["arrival"], "mic": ["arrival"], "knock": ["arrival"]}
    assert told["latency_ms"]["cam"] == pytest.approx(40 + 230, abs=45)
    assert told["latency_ms"]["knock"] == pytest.approx(80, abs=25)
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_where_the_sound_is_late_it_is_the_sound_that_is_mended(
    deployment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = write_claps(tmp_path / "a.mcap", {"cam": 0, "mic": 300, "knock": 0})
    assert run(["sync", "test", str(deployment), "-r", str(recording)]) == 0
    said = capsys.readouterr().out
    assert "mic: {latency_ms: 3" in said or "mic: {latency_ms: 2" in said
    assert "cam: {latency_ms" not in said


def test_no_latency_is_told_for_an_import_that_none_is_taken_off(
    deployment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = {"cam": 230, "mic": 0, "knock": 0}
    recording = write_claps(tmp_path / "a.mcap", late, stamp="exact")
    arguments = ["sync", "test", str(deployment), "-r", str(recording)]
    assert run([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["latency_ms"] == {}
    assert told["late_ms"] == {"cam": pytest.approx(230, abs=45)}
    assert run(arguments) == 0
    said = capsys.readouterr().out
    assert "latency_ms" not in said and "they agree" not in said
    assert "cam: times of its own are taken as they are" in said and "--start" in said


def test_streams_that_agree_need_nothing(
    deployment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = write_claps(tmp_path / "a.mcap", {"cam": 0, "mic": 0, "knock": 0})
    assert run(["sync", "test", str(deployment), "-r", str(recording)]) == 0
    said = capsys.readouterr().out
    assert "they agree as far as this can tell" in said
    assert "latency_ms" not in said


def test_it_tells_what_stamps_meant_and_when_that_changed_meanwhile(
    deployment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late_ms = {"cam": 0, "mic": 0, "knock": 0}
    recording = write_claps(tmp_path / "a.mcap", late_ms, sender_from_s=15)
    assert run(["sync", "test", str(deployment), "-r", str(recording)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "they agree as far as this can tell" in said
    assert "cam: its stamps changed (arrival then sender); only what came after" in said
    assert "mic: stamp arrival, when it arrived; usually 1 to 1000 ms late" in said


def test_a_stream_that_changes_its_form_is_compared_by_what_came_after() -> None:
    wider = replace(KNOCK, shape=(3,), channels=("a", "b", "c"))
    written = StreamInfo("knock", Modality.TEXT)
    gathered = SyncGathering(["knock"])
    for at, info in enumerate((KNOCK, wider, written, wider)):
        gathered.take(StreamOpened(START_NS + at * SECOND, "n", info))
        for number in range(10 if info is not written else 0):
            time_ns = START_NS + at * SECOND + number * 20 * MS
            sample = Sample("knock", number, time_ns, np.zeros(info.shape), Encoding.FLOAT)
            gathered.take(SampleArrived(time_ns, "n", sample))
    activities, unusable = gathered._activities()
    assert activities["knock"].begin_ns[0] == START_NS + 3 * SECOND
    assert unusable == {}


def test_a_reference_that_is_not_there_is_a_clear_error(
    deployment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = write_claps(tmp_path / "a.mcap", {"cam": 0, "mic": 0, "knock": 0}, 2)
    asked = ["sync", "test", str(deployment), "-r", str(recording), "--reference", "eye"]
    assert run(asked) != 0
    assert "no stream 'eye'; there is cam, mic, knock" in capsys.readouterr().err
