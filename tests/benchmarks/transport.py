"""Transport against a raw TCP socket, two processes over loopback.

Run ``python -m tests.benchmarks.transport [--long]``.

Every figure is a ratio to a peer measured in the same run, since machines differ and are
shared. Peers: a Python program that sends the same frames over a plain TCP socket, a JPEG
codec alone, the same link unencrypted, and small messages over the Lab Streaming Layer.
"""

from __future__ import annotations

import multiprocessing as mp
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from pipeline.core.arrival import LedgerReport, SampleArrived
from pipeline.core.clock import NodeClock
from pipeline.core.ledger import Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.frames import encode_for_link
from pipeline.transport.key_store import KeyStore, Role
from pipeline.transport.memory import keep_large_blocks
from pipeline.transport.receiver import Receiver
from pipeline.transport.security import curve_client, curve_server
from pipeline.transport.sender import Sender
from tests.benchmarks.lsl_peer import run_lsl

SIZES = {"640x480": (480, 640, 3), "1280x720": (720, 1280, 3), "1920x1080": (1080, 1920, 3)}
ACK_EVERY_S = 0.02
SPAWN = mp.get_context("spawn")


def cpu() -> float:
    return time.process_time()


def frames_of(shape: tuple[int, ...], count: int = 4) -> list[np.ndarray]:
    """Frames that nobody writes to any more, as a camera source hands them over."""
    height, width, _ = shape
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[0:height, 0:width]
    found = []
    for number in range(count):
        smooth = 100 + 60 * np.sin(columns / 40 + number) + 50 * np.cos(rows / 30)
        frame = np.repeat(smooth[..., None], 3, -1) + rng.normal(0, 4, shape)
        found.append(frame.clip(0, 255).astype(np.uint8))
        found[-1].setflags(write=False)
    return found


def raw_receive(pipe: Connection, size: int, count: int) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    pipe.send(server.getsockname()[1])
    link, _ = server.accept()
    buffer, head = memoryview(bytearray(size)), memoryview(bytearray(64))
    started = 0.0
    for number in range(count + 1):
        for part in (head, buffer):
            filled = 0
            while filled < len(part):
                filled += link.recv_into(part[filled:])
        if number == 0:
            started, used = time.perf_counter(), cpu()
    pipe.send((time.perf_counter() - started, cpu() - used))


def raw_send(pipe: Connection, shape: tuple[int, ...], count: int) -> None:
    link = socket.create_connection(("127.0.0.1", pipe.recv()))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    frames, head = frames_of(shape), bytes(64)
    used = cpu()
    for number in range(count + 1):
        link.sendall(head)
        link.sendall(frames[number % 4].data)
    link.shutdown(socket.SHUT_WR)
    pipe.send(cpu() - used)


def link_receive(pipe: Connection, endpoint: str, count: int, options: dict[str, Any]) -> None:
    """Receive `count` samples after the first, ack each poll; say time, CPU, latencies."""
    quiet()
    keep_large_blocks()
    clock = NodeClock(0)
    curve = options.get("curve")
    receiver = Receiver(
        endpoint,
        clock=clock,
        credit_bytes=options.get("credit", 32 << 20),
        curve=curve_server(Path(curve), "fusion", Role.FUSION, Role.CAPTURE) if curve else None,
    )
    pipe.send(receiver.address)
    seen, started, used, due, ages = 0, 0.0, 0.0, 0.0, []
    while seen < count + 1:
        for item in receiver.poll(0.1):
            if isinstance(item, SampleArrived):
                seen += 1
                ages.append(item.arrival_ns - item.sample.timestamp_ns)
        now = time.perf_counter()
        if seen and not started:
            started, used, first = now, cpu(), seen
        if seen and now >= due:
            receiver.ack("bench", {"s": seen - 1})
            due = now + ACK_EVERY_S
    took, spent = time.perf_counter() - started, cpu() - used
    receiver.ack("bench", {"s": seen - 1})
    pipe.send((took, spent, seen - first, ages))
    until = time.monotonic() + 2
    while time.monotonic() < until and not all(n.ended for n in receiver.nodes()):
        receiver.poll(0.05)
    receiver.close()


def link_send(pipe: Connection, make: str, count: int, options: dict[str, Any]) -> None:
    quiet()
    clock, ledger = NodeClock(0), Ledger()
    curve = options.get("curve")
    sender = Sender(
        "bench",
        pipe.recv(),
        clock=clock,
        ledger=ledger,
        shared_memory=options.get("shared", True),
        curve=curve_client(Path(curve), "bench", Role.CAPTURE, Role.FUSION) if curve else None,
    )
    run: Callable[..., float] = {"frames": send_frames, "small": send_small, "paced": send_paced}[
        make
    ]
    spent = run(sender, clock, count, options)
    sender.drain(10)
    account = ledger.snapshot()["s"]
    sender.close()
    pipe.send((spent, account.missing, sum(account.dropped.values())))


def send_frames(sender: Sender, clock: NodeClock, count: int, options: dict[str, Any]) -> float:
    shape = options["shape"]
    sender.add_stream(StreamInfo("s", Modality.VIDEO, 30.0, shape, "uint8"), "block")
    sender.wait_ready(5)
    frames = frames_of(shape)
    used = cpu()
    for number in range(count + 1):
        sample = Sample("s", 0, clock.now_ns(), frames[number % 4], Encoding.RAW)
        if options.get("jpeg"):
            sample = encode_for_link(sample, 85)
        sender.send(sample)
    sender.drain(20)
    return cpu() - used


def send_small(sender: Sender, clock: NodeClock, count: int, _options: dict[str, Any]) -> float:
    sender.add_stream(StreamInfo("s", Modality.SENSOR, None, (6,), "float64"), "block")
    sender.wait_ready(5)
    values = np.arange(6.0)
    used = cpu()
    for start in range(0, count + 1, 100):
        now = clock.now_ns()
        size = min(100, count + 1 - start)
        sender.send_many([Sample("s", 0, now, values, Encoding.FLOAT) for _ in range(size)])
    sender.drain(20)
    return cpu() - used


def send_paced(sender: Sender, clock: NodeClock, count: int, _options: dict[str, Any]) -> float:
    sender.add_stream(StreamInfo("s", Modality.SENSOR, 1000.0, (6,), "float64"))
    sender.wait_ready(5)
    values = np.arange(6.0)
    used, due = cpu(), time.perf_counter()
    for _ in range(count + 1):
        due += 0.001
        while (left := due - time.perf_counter()) > 0:
            time.sleep(left)
        sender.send(Sample("s", 0, clock.now_ns(), values, Encoding.FLOAT))
    return cpu() - used


def run_raw(shape: tuple[int, ...], count: int) -> tuple[float, float]:
    """Frames a second and CPU-seconds a frame of a plain socket."""
    size = int(np.prod(shape))
    ours, theirs = SPAWN.Pipe()
    send_ours, send_theirs = SPAWN.Pipe()
    receiver = SPAWN.Process(target=raw_receive, args=(theirs, size, count))
    sender = SPAWN.Process(target=raw_send, args=(send_theirs, shape, count))
    receiver.start()
    sender.start()
    send_ours.send(ours.recv())
    took, spent = ours.recv()
    spent += send_ours.recv()
    receiver.join()
    sender.join()
    return count / took, spent / count


def run_link(
    make: str, count: int, endpoint: str = "tcp://127.0.0.1:0", **options: Any
) -> dict[str, Any]:
    ours, theirs = SPAWN.Pipe()
    send_ours, send_theirs = SPAWN.Pipe()
    receiver = SPAWN.Process(target=link_receive, args=(theirs, endpoint, count, options))
    sender = SPAWN.Process(target=link_send, args=(send_theirs, make, count, options))
    receiver.start()
    sender.start()
    send_ours.send(ours.recv())
    took, spent, seen, ages = ours.recv()
    sent, missing, dropped = send_ours.recv()
    receiver.join()
    sender.join()
    return {
        "rate": seen / took,
        "cpu": spent / max(seen, 1) + sent / count,
        "ages_ms": np.array(ages[len(ages) // 10 :]) / 1e6,
        "missing": missing,
        "dropped": dropped,
    }


def quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))


def row(what: str, figure: str, ratio: str, target: str) -> None:
    print(f"{what:42} {figure:>22} {ratio:>22}   {target}", flush=True)


def bench_frames(budget: float) -> None:
    """Best of two rounds each, taken in turn, so that a busy moment does not hit one alone."""
    for name, shape in SIZES.items():
        count = int(budget * 1.5e9 / np.prod(shape))
        found: dict[str, list[tuple[float, float]]] = {"raw": [], "tcp": [], "host": []}
        for _ in range(2):
            found["raw"].append(run_raw(shape, count))
            for kind, shared in (("tcp", False), ("host", True)):
                result = run_link("frames", count, shape=shape, shared=shared)
                found[kind].append((result["rate"], result["cpu"]))
        best = {
            kind: (max(fps for fps, _ in runs), min(work for _, work in runs))
            for kind, runs in found.items()
        }
        fps, work = best["raw"]
        row(f"{name} raw TCP socket", f"{fps:.0f} fps", f"{work * 1e3:.2f} CPU-ms", "")
        for what, kind, target in (
            ("  link over TCP", "tcp", ">= 0.95x fps, <= 1.15x CPU"),
            ("  link, same host (shared memory)", "host", ">= 1.4x fps"),
        ):
            got, spent = best[kind]
            ratio = f"{got / fps:.2f}x fps {spent / work:.2f}x CPU"
            row(f"{name}{what}", f"{got:.0f} fps", ratio, target)


def bench_small() -> None:
    """LSL hands numbers over in C++ and keeps no account of them; in chunks that is quicker."""
    ours = run_link("small", 200_000)
    peers = {"one by one": run_lsl(SPAWN, 100_000), "in chunks": run_lsl(SPAWN, 200_000, chunk=100)}
    rate = f"{ours['rate'] / 1e3:.0f} k/s"
    row("small messages, batched by the sender", rate, f"{ours['cpu'] * 1e6:.1f} us", ">= 200 k/s")
    for how, peer in peers.items():
        ratio = f"ours {ours['rate'] / peer['rate']:.2f}x"
        row(f"  pylsl, {how}", f"{peer['rate'] / 1e3:.0f} k/s, {peer['lost']} lost", ratio, "")
    paced = {"1 kHz paced": run_link("paced", 3_000), "  pylsl": run_lsl(SPAWN, 3_000, 1000.0)}
    for (who, found), target in zip(paced.items(), ("p99 <= 0.2 ms", ""), strict=True):
        p50, p99 = np.percentile(found["ages_ms"], (50, 99))
        row(who, f"p50 {p50:.3f} ms", f"p99 {p99:.3f} ms", target)


def bench_curve() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = KeyStore(Path(folder))
        store.create("fusion", Role.FUSION)
        store.create("bench", Role.CAPTURE)
        shape = SIZES["1280x720"]
        plain = run_link("frames", 150, shape=shape, jpeg=True)
        curve = run_link("frames", 150, shape=shape, jpeg=True, curve=folder)
    frames = frames_of(shape)
    started = cpu()
    for number in range(60):
        encode_for_link(Sample("s", 0, 0, frames[number % 4], Encoding.RAW), 85)
    codec = (cpu() - started) / 60
    row(
        "720p JPEG",
        f"{plain['cpu'] * 1e3:.2f} CPU-ms",
        f"{plain['cpu'] / codec:.2f}x codec",
        "<= 1.10x",
    )
    row(
        "720p JPEG, CURVE",
        f"{curve['cpu'] * 1e3:.2f} CPU-ms",
        f"{curve['cpu'] / plain['cpu']:.2f}x plain",
        "<= 1.3x",
    )


def bench_overload(seconds: float = 4.0) -> None:
    """A 30 fps camera and a consumer that takes 10: who waits, how old is what is consumed?"""
    quiet()
    shape, clock, ledger = SIZES["640x480"], NodeClock(), Ledger()
    size = int(np.prod(shape))
    receiver = Receiver("tcp://127.0.0.1:0", clock=clock, credit_bytes=size)
    sender = Sender(
        "bench", receiver.address, clock=clock, ledger=ledger, buffer_bytes=2 * size + 4096
    )
    sender.add_stream(StreamInfo("s", Modality.VIDEO, 30.0, shape, "uint8"), max_waiting=1)
    camera = threading.Thread(target=_camera, args=(sender, clock, seconds))
    ages, until, delivered, reported = [], time.monotonic() + seconds + 1.5, 0, None
    camera.start()
    while time.monotonic() < until:
        for item in receiver.poll(0.1):
            if isinstance(item, SampleArrived):
                ages.append((clock.now_ns() - item.sample.timestamp_ns) / 1e6)
                delivered += 1
                receiver.ack("bench", {"s": item.sample.sequence})
                time.sleep(0.1)
            elif isinstance(item, LedgerReport):
                reported = item.accounts.get("s", reported)
    camera.join()
    account = ledger.snapshot()["s"]
    sender.close()
    receiver.close()
    fps = account.captured / seconds
    row(
        "overload: 30 fps camera, 10 fps consumer",
        f"camera {fps:.1f} fps",
        f"age p99 {np.percentile(ages, 99):.0f} ms",
        ">= 29.9 fps, <= 70 ms",
    )
    books = account.captured - delivered - sum(account.dropped.values())
    row(
        "  captured - delivered - dropped",
        f"{account.captured} - {delivered} - {sum(account.dropped.values())}",
        f"= {books}",
        "= 0",
    )


def _camera(sender: Sender, clock: NodeClock, seconds: float) -> None:
    sender.wait_ready(5)
    frame = np.zeros(SIZES["640x480"], np.uint8)
    due = time.perf_counter()
    for number in range(int(seconds * 30)):
        frame[:] = number
        sender.send(Sample("s", 0, clock.now_ns(), frame, Encoding.RAW))
        due += 1 / 30
        time.sleep(max(0.0, due - time.perf_counter()))


def main() -> None:
    """Print the table; ``--long`` for steadier figures."""
    budget = 3.0 if "--long" in sys.argv else 1.0
    row("what", "figure", "ratio", "target")
    bench_frames(budget)
    bench_small()
    bench_curve()
    bench_overload()


if __name__ == "__main__":
    main()
