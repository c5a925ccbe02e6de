"""The disk spool: opening a large one, and what is new behind or before a backlog on a thin line.

Run ``python -m tests.benchmarks.spool [--mib 256] [--backlog-mb 3]``; the second part needs root,
for network namespaces. The peer of opening is reading every byte of the files; the limit of
the line is its rate (`DSL`: 2 Mbit/s there), and the age of what is new before there was a backlog.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pipeline.core.arrival import SampleArrived
from pipeline.core.clock import NodeClock
from pipeline.core.codec import describe
from pipeline.core.ledger import Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.kept import Kept, Stream, cost_of
from pipeline.transport.receiver import Receiver
from pipeline.transport.sender import Sender
from pipeline.transport.spool import Spool
from pipeline.transport.spool_format import Kind
from pipeline.transport.spool_session import SpoolSession
from pipeline.transport.spooling import SpoolPlan
from tests.system.line_queue import DSL
from tests.system.lines import Line, Machine

MIB = 1 << 20
SECOND_NS = 1_000_000_000
PORT = 7713
LIVE_HZ, LIVE_BYTES = 10, 2_000
AFTER_S = 5.0
CAM = StreamInfo("cam", Modality.VIDEO, 10.0, (720, 1280, 3), "uint8", stamp="exact")
VIB = StreamInfo("vib", Modality.SENSOR, 1000.0, (3,), "float64", stamp="exact")


def open_spool(folder: Path) -> Spool:
    return Spool(folder, max_bytes=1 << 40, max_age_ns=1 << 62, fsync_ns=1 << 62)


def fill(folder: Path, info: StreamInfo, size: int, total: int) -> int:
    """Write samples of one stream until there are so many bytes of them; how many samples."""
    spool = open_spool(folder)
    disk = SpoolSession(spool, "one", Ledger())
    stream = Stream(info.name, "drop_oldest", [(1, info)])
    data: bytes | np.ndarray = os.urandom(size)
    encoding = Encoding.JPEG
    if info is VIB:
        data, encoding = np.zeros(3), Encoding.FLOAT
    number, written = 0, 0
    while written < total:
        _, header, payload = describe(Sample(info.name, number, number, data, encoding))
        kept = Kept(number + 2, stream, header, payload, cost_of(header.size))
        written += disk.write(Kind.SAMPLE, kept, payload, number).size
        number += 1
    spool.close()
    return number


def opening(folder: Path, info: StreamInfo, size: int, total: int) -> None:
    """Print how long a spool takes to open, and how long it takes to read all its bytes."""
    count = fill(folder, info, size, total)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began_s, cpu_s = time.perf_counter(), time.process_time()
    spool = open_spool(folder)
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - began_s
    assert spool.earlier[0].streams[info.name].samples == count
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kib) / 1024
    began_s, cpu_all_s = time.perf_counter(), time.process_time()
    for segment in spool.segments:
        segment.path.read_bytes()
    cpu_all_s, all_s = time.process_time() - cpu_all_s, time.perf_counter() - began_s
    print(
        f"{total / MIB:6.0f} MiB, {count:9d} samples: opened in {wall_s * 1e3:6.1f} ms "
        f"({cpu_s * 1e3:.1f} ms CPU, +{grown:.1f} MiB), reading its bytes {all_s * 1e3:.0f} ms: "
        f"{cpu_s / cpu_all_s:.3f}x the CPU"
    )


def send(address: str, folder: str, order: str) -> None:
    """The sender's process: an earlier life's backlog, and what is new, until it is killed."""
    clock = NodeClock()
    plan = SpoolPlan(open_spool(Path(folder)), round(AFTER_S * SECOND_NS), order)
    sender = Sender("node", address, clock=clock, ledger=Ledger(), clock_sync=False, spool=plan)
    sender.add_stream(CAM)
    due_s = time.monotonic()
    while True:
        sender.send(Sample("cam", 0, clock.now_ns(), os.urandom(LIVE_BYTES), Encoding.JPEG))
        due_s += 1 / LIVE_HZ
        time.sleep(max(0.0, due_s - time.monotonic()))


def receive(address: str, count: str) -> None:
    """The receiver's process: prints the ages of what is new, and how long the backlog took."""
    receiver = Receiver(address, clock=NodeClock())
    ages: list[float] = []
    late, began_ns, took_ns = 0, 0, 0
    while late < int(count) or len(ages) < 5 * LIVE_HZ:
        for item in receiver.poll(0.05):
            if not isinstance(item, SampleArrived):
                began_ns = began_ns or item.arrival_ns
                continue
            sample = item.sample
            receiver.ack("node", {sample.stream: sample.sequence})
            if sample.timestamp_ns > SECOND_NS:
                ages.append((item.arrival_ns - sample.timestamp_ns) / SECOND_NS)
            else:  # the backlog is numbered from zero
                late += 1
                took_ns = item.arrival_ns - began_ns
    print(json.dumps([ages, took_ns / SECOND_NS]))


def over_a_thin_line(folder: Path, order: str, backlog_mb: float) -> None:
    """Print how fresh what is new is while a backlog comes, and how much of the line is used."""
    count = fill(folder, CAM, LIVE_BYTES, round(backlog_mb * 1e6))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with Machine("near") as near, Machine("far") as far, Line(0, near, far, *DSL) as line:
        address = f"tcp://{line.far_address}:{PORT}"
        start = [sys.executable, "-P", "-m", __spec__.name]
        receiver = subprocess.Popen(
            far.command(*start, "receive", address, str(count)),
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        sender = subprocess.Popen(
            near.command(*start, "send", address, str(folder), order), env=environment
        )
        said, _ = receiver.communicate(timeout=300)
        sender.kill()
        sender.wait()
    ages, took_s = json.loads(said.splitlines()[-1])
    limit = (DSL[0].rate_mbps or 0) * 1e6 / 8
    share = backlog_mb * 1e6 / took_s / limit
    p50, p99 = np.percentile(ages, [50, 99]) if ages else (float("nan"), float("nan"))
    print(
        f"{order:13}: {backlog_mb} MB behind {LIVE_HZ} x {LIVE_BYTES} B/s took {took_s:.1f} s, "
        f"{share:.2f}x of the line; age of what is new p50 {p50 * 1e3:.0f} ms, "
        f"p99 {p99 * 1e3:.0f} ms ({len(ages)} samples)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--backlog-mb", type=float, default=3.0)
    options = parser.parse_args()
    for info, size in ((CAM, 100_000), (VIB, 24)):
        with tempfile.TemporaryDirectory() as folder:
            opening(Path(folder), info, size, options.mib * MIB)
    for order in ("oldest_first", "live_first"):
        with tempfile.TemporaryDirectory() as folder:
            over_a_thin_line(Path(folder), order, options.backlog_mb)


if __name__ == "__main__":
    if sys.argv[1:2] in (["send"], ["receive"]):
        {"send": send, "receive": receive}[sys.argv[1]](*sys.argv[2:])
    else:
        main()
