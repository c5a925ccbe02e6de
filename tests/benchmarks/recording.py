"""Recording: writing, seeking and reading what is cut off, beside others in the same run.

Run with ``python -m tests.benchmarks.recording [seconds of scene]``. The scene is a 720p30
camera as JPEG, a 16 kHz microphone in chunks of 0.1 s and 20 channels at 100 Hz. CPU time is
user and system time of the process, the file closed but not synced.
"""

from __future__ import annotations

import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import foxglove
import numpy as np
from foxglove import channels as fox_channels
from foxglove import messages as fox
from foxglove.mcap import MCAPWriteOptions
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from rich.console import Console
from rich.table import Table

from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording import Recording, RecordingWriter

T0 = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
CAMERA = StreamInfo("camera", Modality.VIDEO, 30.0, (720, 1280, 3), "uint8")
MIC = StreamInfo("mic", Modality.AUDIO, 16_000.0, (1,), "int16")
PUMP = StreamInfo(
    "pump", Modality.SENSOR, 100.0, (20,), "float64", channels=tuple(f"c{i}" for i in range(20))
)
ROUNDS = 3
SEEKS = 60


def picture() -> bytes:
    """A 720p frame with about the detail of an indoor camera, JPEG of quality 85."""
    noise = np.random.default_rng(1)
    coarse = noise.integers(0, 255, (90, 160, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (1280, 720), interpolation=cv2.INTER_CUBIC)
    grain = noise.integers(0, 6, smooth.shape, dtype=np.uint8)
    return bytes(cv2.imencode(".jpg", cv2.add(smooth, grain), [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def workload(seconds: int) -> list[SampleArrived]:
    jpeg, sound, reading = picture(), np.zeros((1600, 1), np.int16), np.arange(20.0)
    items = [
        *(("camera", i, i / 30, jpeg, Encoding.JPEG) for i in range(30 * seconds)),
        *(("mic", i, i / 10, sound, Encoding.PCM) for i in range(10 * seconds)),
        *(("pump", i, i / 100, reading, Encoding.FLOAT) for i in range(100 * seconds)),
    ]
    made = []
    for stream, number, at_s, data, encoding in items:
        time_ns = T0 + round(at_s * SECOND)
        sample = Sample(stream, number, time_ns, data, encoding)
        made.append(SampleArrived(time_ns, "node", sample))
    return sorted(made, key=lambda arrival: arrival.arrival_ns)


def write_ours(path: Path, items: list[SampleArrived]) -> None:
    writer = RecordingWriter(path)
    for info in (CAMERA, MIC, PUMP):
        writer.write(StreamOpened(T0, "node", info))
    for item in items:
        writer.write(item)
    writer.close(sync=False)


def _stamp(time_ns: int) -> fox.Timestamp:
    return fox.Timestamp(*divmod(time_ns, SECOND))


def write_foxglove(path: Path, items: list[SampleArrived]) -> None:
    context = foxglove.Context()
    options = MCAPWriteOptions(compression=None, chunk_size=1 << 20)
    writer = foxglove.open_mcap(path, context=context, writer_options=options)
    camera = fox_channels.CompressedImageChannel("/camera", context=context)
    mic = fox_channels.RawAudioChannel("/mic", context=context)
    schema = foxglove.Schema(name="bytes", encoding="protobuf", data=b"")
    pump = foxglove.Channel("/pump", message_encoding="protobuf", schema=schema, context=context)
    for item in items:
        s = item.sample
        if s.stream == "camera":
            image = fox.CompressedImage(
                timestamp=_stamp(s.timestamp_ns), frame_id="camera", data=s.data, format="jpeg"
            )
            camera.log(image, log_time=item.arrival_ns)
        elif s.stream == "mic":
            chunk = fox.RawAudio(
                timestamp=_stamp(s.timestamp_ns), data=s.data.tobytes(), format="pcm-s16",
                sample_rate=16_000, number_of_channels=1,
            )  # fmt: skip
            mic.log(chunk, log_time=item.arrival_ns)
        else:
            pump.log(s.data.tobytes(), log_time=item.arrival_ns)
    writer.close()


def write_mcap(path: Path, items: list[SampleArrived]) -> None:
    with path.open("wb") as file:
        writer = Writer(file, compression=CompressionType.NONE)
        writer.start()
        ids = {n: writer.register_channel(f"/{n}", "bytes", 0) for n in ("camera", "mic", "pump")}
        for item in items:
            s = item.sample
            data = s.data if isinstance(s.data, bytes) else s.data.tobytes()
            writer.add_message(ids[s.stream], item.arrival_ns, data, s.timestamp_ns, s.sequence)
        writer.finish()


def cpu_s(write: Callable[[Path, list[SampleArrived]], None], path: Path, items: list) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        path.unlink(missing_ok=True)
        before = time.process_time()
        write(path, items)
        best = min(best, time.process_time() - before)
    return best


def seek_ms(find: Callable[[int], object], seconds: int) -> tuple[float, float]:
    times = []
    for at_s in np.random.default_rng(2).uniform(0, seconds - 1, SEEKS):
        before = time.perf_counter()
        find(T0 + round(at_s * SECOND))
        times.append((time.perf_counter() - before) * 1e3)
    return statistics.median(times), sorted(times)[int(0.95 * len(times))]


def seek_ours(path: Path, seconds: int) -> tuple[float, float]:
    with Recording(path) as recording:
        list(recording.control)

        def find(at_ns: int) -> object:
            return next(a for a in recording.arrivals(at_ns) if isinstance(a, SampleArrived))

        return seek_ms(find, seconds)


def seek_mcap(path: Path, seconds: int) -> tuple[float, float]:
    with path.open("rb") as file:
        reader = make_reader(file)
        return seek_ms(lambda at_ns: next(iter(reader.iter_messages(starting_at=at_ns))), seconds)


def cut_ours(path: Path) -> int:
    with Recording(path) as recording:
        return sum(1 for _ in recording.arrivals())


def cut_mcap(path: Path) -> int:
    count = 0
    try:
        with path.open("rb") as file:
            for _ in make_reader(file).iter_messages():
                count += 1
    except (McapError, ValueError):
        return count
    return count


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    items = workload(seconds)
    table = Table(
        "what", "ours", "peer", "ratio", "target", title=f"recording, {platform.machine()}"
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, f"{name}.mcap") for name in ("ours", "foxglove", "mcap")}
        cost = {
            "ours": cpu_s(write_ours, paths["ours"], items),
            "foxglove": cpu_s(write_foxglove, paths["foxglove"], items),
            "mcap": cpu_s(write_mcap, paths["mcap"], items),
        }
        speed = {name: path.stat().st_size / 1e6 / cost[name] for name, path in paths.items()}
        for peer in ("foxglove", "mcap"):
            table.add_row(
                f"write, MB per CPU-second ({peer})", f"{speed['ours']:.0f}", f"{speed[peer]:.0f}",
                f"{speed['ours'] / speed[peer]:.2f}", ">= 900",
            )  # fmt: skip
        core = {name: 100 * used / seconds for name, used in cost.items()}
        table.add_row(
            "write in real time, % of a core (foxglove)", f"{core['ours']:.2f}",
            f"{core['foxglove']:.2f}", f"{core['ours'] / core['foxglove']:.2f}", "<= 1.5",
        )  # fmt: skip
        ours, theirs = seek_ours(paths["ours"], seconds), seek_mcap(paths["mcap"], seconds)
        table.add_row(
            "seek to the first sample, ms, median (mcap)", f"{ours[0]:.2f}", f"{theirs[0]:.2f}",
            f"{ours[0] / theirs[0]:.2f}", "<= 1",
        )  # fmt: skip
        table.add_row("the same, 95th percentile", f"{ours[1]:.2f}", f"{theirs[1]:.2f}", "", "")
        before = time.process_time()
        cut_ours(paths["ours"])
        read = paths["ours"].stat().st_size / 1e6 / (time.process_time() - before)
        table.add_row("read, MB per CPU-second", f"{read:.0f}", "", "", "")
        for path in (paths["ours"], paths["mcap"]):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        table.add_row(
            "arrivals from a file cut in half", f"{cut_ours(paths['ours']):,}",
            f"{cut_mcap(paths['mcap']):,}", "", f"~{len(items) // 2:,}",
        )  # fmt: skip
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
