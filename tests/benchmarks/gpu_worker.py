"""How many windows a GPU scores: the model by itself, and the whole way of a window.

Run: ``python -m tests.benchmarks.gpu_site FOLDER`` where all of fusewatch is installed, then
``python -m tests.benchmarks.gpu_worker FOLDER`` on the machine with the GPU, which needs torch,
torchaudio, numpy, opencv, safetensors, pydantic, msgspec, structlog, simplejpeg and isal. With
``--device cpu`` it runs anywhere; without FOLDER it learns the site first.

The first table is the model by itself: from features that lie on the device to scores that lie
there. It stands beside its limit. What a scene has learnt is read once for a window of it, and
a GPU computes faster than it reads: so the limit is the bytes of all that was learnt, of the
features and of the results over the bandwidth that a copy reaches in the same run. Beside it are
the scenes asked one after the other, and the same sums by plain PyTorch.

The second table is the whole way: features of decoded pictures, sound and readings, things in
the pictures, scores, calibration, explanation, in processes that share the GPU. What the
processor does for a window is what limits it, so the parts are told.

On one NVIDIA H200 with 16 cores, torch 2.11.0, 2026-11-26, a copy moves 4262 GB/s, and the model
of a camera of 144 cells, 40 bands and 8 channels is 7.35 MB::

    5000 scenes at once, float64             210,000 windows/s   36 % of the limit
    the same, recorded as a CUDA graph       221,000             38 %
    the same, float32, recorded              283,000             28 %
    the same, float64, by plain PyTorch        5,800              1 %
    512 scenes at once, float64               39,700              7 %
    the same, recorded                       137,000             24 %
    one scene after the other                     93
    whole way, 1 process, 250 scenes             303, p99 of the wait 698 ms

Of a recorded round of 5000 scenes, 10 of 23 ms go to the neighbours, which are read at 60 % of the
limit, 8 ms to small products (those of the recurrent units read their weights once a step), 1 ms
to normalisations of 32 numbers each. None of it is what a site feels: a window takes 3.3 ms of a
core, 0.8 for its features, 0.8 for things in its pictures, 1.6 for quality, what stands and the
verdict, and 0.1 for the model. So one process is good for some 200 scenes at a window a second,
and a machine for as many processes as it has cores. bf16 is not used: distances to what was
remembered would lose the digits that tell normal from new, and reading is the lesser part.
"""

from __future__ import annotations

import argparse
import bisect
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from pipeline.detection.scorer import Scorer
from pipeline.models import neighbours
from pipeline.models.scene_stack import Raw, Ready, SceneStack
from pipeline.models.stack_graph import StackGraph
from pipeline.models.stacked_streams import StreamBatch
from tests.benchmarks.gpu_site import Site, learn

ROUNDS = 20
WARM, WARM_S, ROUNDS_AT_ONCE = 8, 3, 6  # the networks look back on 8 windows
QUEUE_MS = 250

Told = tuple[float, list[float], dict[str, float]]


def timed(device: torch.device, act: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median seconds of a call, by the device's own clock where it has one."""
    for _ in range(3):
        act()
    found = []
    for _ in range(rounds):
        if device.type == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            act()
            end.record()
            end.synchronize()
            found.append(begin.elapsed_time(end) / 1e3)
        else:
            began = time.perf_counter()
            act()
            found.append(time.perf_counter() - began)
    return float(np.median(found))


def bandwidth(device: torch.device) -> float:
    """Bytes a second that a copy reads and writes."""
    size = 2**31 if device.type == "cuda" else 2**27
    source = torch.empty(size, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    return 2 * size / timed(device, lambda: target.copy_(source))


def ready(site: Site, scenes: int) -> list[Ready]:
    """A window of every scene, with its features."""
    model = site.model_of("scene")
    features = model.features(site.window("scene", 0))
    return [Ready(slot, features, 0, model.past()) for slot in range(scenes)]


def moved_bytes(stack: SceneStack, batches: Sequence[StreamBatch], raw: Raw) -> int:
    """Bytes that are read and written once, however it is computed."""
    inputs = (
        getattr(batch, name).nbytes
        for batch in batches
        for name in ("places", "present", "items", "counts", "times_s")
    )
    results = (raw.scores, *raw.places, *raw.embeddings, *raw.components)
    return stack.nbytes + sum(inputs) + sum(one.nbytes for one in results)


@torch.inference_mode()
def model_rows(site: Site, device: torch.device, counts: Sequence[int], copy_hz: float) -> None:
    """Print the first table."""
    print(f"\n{'model by itself':44} {'ms':>9} {'windows/s':>11} {'GB/s':>7} {'of limit':>9}")
    for dtype in (torch.float64, torch.float32):
        for count in counts:
            stack_rows(site, device, count, dtype, copy_hz)
    one = site.model.to(device)
    features, past = site.model.features(site.window("scene", 0)), one.past()
    alone = timed(device, lambda: one.score([features], [0], past, device))
    row("one scene after the other", alone, 1, 0, copy_hz)


def stack_rows(
    site: Site, device: torch.device, count: int, dtype: torch.dtype, copy_hz: float
) -> None:
    """Print the lines of some scenes at once: as they are, recorded, and by plain PyTorch."""
    stack = SceneStack([site.model] * count, device, dtype)
    batches, slots = stack.upload(ready(site, count)), slice(0, count)
    name = f"{count} scenes at once, {str(dtype)[6:]}"

    def run() -> Raw:
        return stack.run(batches, slots)

    size = moved_bytes(stack, batches, run())
    row(name, timed(device, run), count, size, copy_hz)
    if device.type == "cuda":
        recorded = StackGraph(lambda given: stack.run(given, slots), batches, ())
        again = timed(device, lambda: recorded(batches))
        row(f"{name}, recorded", again, count, size, copy_hz)
    with mock.patch.object(neighbours, "_MOST_ROWS", 0):
        row(f"{name}, plain PyTorch", timed(device, run, 5), count, size, copy_hz)


def row(name: str, seconds: float, windows: int, size: int, copy_hz: float) -> None:
    """Print one line."""
    reached = f"{size / seconds / 1e9:7.0f} {size / seconds / copy_hz:8.0%}" if size else ""
    print(f"{name:44} {seconds * 1e3:9.2f} {windows / seconds:11.0f} {reached}", flush=True)


def profile(site: Site, device: torch.device, count: int) -> None:
    """Print what a run of the model spends its time on."""
    stack = SceneStack([site.model] * count, device, torch.float64)
    batches = stack.upload(ready(site, count))
    with torch.inference_mode():
        stack.run(batches, slice(0, count))
        kinds = [torch.profiler.ProfilerActivity.CPU]
        if device.type == "cuda":
            kinds.append(torch.profiler.ProfilerActivity.CUDA)
        with torch.profiler.profile(activities=kinds) as seen:
            stack.run(batches, slice(0, count))
    order = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    print(seen.key_averages().table(sort_by=order, row_limit=25, max_name_column_width=60))


def whole_way(folder: Path, device: str, processes: int, scenes: int, seconds: int) -> None:
    """Print a line of the second table.

    Args:
        folder: Where the site is.
        device: Where to score.
        processes: How many share the device.
        scenes: Of each process.
        seconds: How long they keep up with scenes that give a window a second.
    """
    context = multiprocessing.get_context("spawn")
    begin, told = context.Barrier(processes), context.Queue()
    asked = [(folder, device, scenes, seconds, begin, told)] * processes
    workers = [context.Process(target=work, args=one) for one in asked]
    for worker in workers:
        worker.start()
    found = [told.get() for _ in workers]
    for worker in workers:
        worker.join()
    rates, ages, parts = zip(*found, strict=True)
    late = np.concatenate(ages)
    each = {name: np.mean([one[name] for one in parts]) for name in parts[0]}
    row = f"{processes} processes with {scenes} scenes each on {device}"
    print(f"{row:44} {sum(rates):9.0f} {processes * scenes:9} ", end="")
    print(f"{np.percentile(late, 50) * 1e3:7.0f} {np.percentile(late, 99) * 1e3:7.0f}")
    print(
        "  ms a window: " + ", ".join(f"{name} {ms:.2f}" for name, ms in each.items()), flush=True
    )


def work(
    folder: Path, device: str, scenes: int, seconds: int, begin: Barrier, told: Queue[Told]
) -> None:
    """What one process does: as fast as it goes, then one window a second of every scene."""
    torch.set_num_threads(1)
    site = Site(folder)
    names = [f"scene {number}" for number in range(scenes)]
    scorer = Scorer({name: site.model_of(name) for name in names}, device)
    parts = Parts(scorer)
    for number in range(WARM):
        scorer.score([site.window(name, number) for name in names])
    rounds = [[site.window(name, WARM + n) for name in names] for n in range(ROUNDS_AT_ONCE)]
    begin.wait()
    parts.begin()
    began = time.perf_counter()
    for windows in rounds:
        scorer.score(windows)
    fast_s = time.perf_counter() - began
    number = WARM + len(rounds)
    spent = parts.ms(len(rounds) * scenes)
    keep_up(site, scorer, names, WARM_S, number)  # batches of other sizes are met the first time
    begin.wait()
    ages = keep_up(site, scorer, names, seconds, number + WARM_S)
    told.put((len(rounds) * scenes / fast_s, ages, spent))


def keep_up(
    site: Site, scorer: Scorer, names: Sequence[str], seconds: int, number: int
) -> list[float]:
    """Score what is due, again and again: a window a second of every scene, at its own moment.

    Args:
        site: The site.
        scorer: Has scored the windows up to `number`.
        names: Its scenes.
        seconds: How long.
        number: The first window.

    Returns:
        From the moment at which a window was due to its score, seconds.
    """
    due = [
        (number_s + at / len(names), at, number + number_s)
        for number_s in range(seconds)
        for at in range(len(names))
    ]
    ages: list[float] = []
    began, first = time.perf_counter(), 0
    while first < len(due):
        now_s = time.perf_counter() - began
        last = bisect.bisect_right(due, (now_s, len(names), 0))
        if last == first:
            time.sleep(0.001)
            continue
        ready = due[first:last]
        scorer.score([site.window(names[at], number) for _, at, number in ready])
        done_s = time.perf_counter() - began
        ages += [done_s - due_s for due_s, _, _ in ready]
        first = last
    return ages


class Parts:
    """Time that a scorer spends in its parts."""

    def __init__(self, scorer: Scorer) -> None:
        self._spent: dict[str, float] = {}
        batching = scorer._batching
        self._watch(batching, "features", "features")
        self._watch(batching, "score", "scores and things")
        for stack in {id(s): s for s, _ in batching._place.values()}.values():
            self._watch(stack, "_things", "things (of it)")
        self._watch(scorer, "score", "all")

    def _watch(self, of: object, method: str, name: str) -> None:
        call = getattr(of, method)

        def timed(*args: object) -> object:
            began = time.perf_counter()
            result = call(*args)
            self._spent[name] = self._spent.get(name, 0.0) + time.perf_counter() - began
            return result

        setattr(of, method, timed)

    def begin(self) -> None:
        """Count from now on."""
        self._spent.clear()

    def ms(self, windows: int) -> dict[str, float]:
        """Milliseconds a window by part."""
        return {name: spent / windows * 1e3 for name, spent in self._spent.items()}


def main() -> None:
    """Print the tables, of a site that is learnt first if none is given."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?", help="of gpu_site; none: learnt first")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--scenes", type=int, nargs="*", default=[64, 512, 2048, 5000])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--each", type=int, default=200, help="scenes of a process")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        if asked.folder is None:
            asked.folder = Path(made)
            print("learning a site of ten minutes first, which takes minutes", flush=True)
            learn(asked.folder)
        tables(asked)


def tables(asked: argparse.Namespace) -> None:
    """Measure on the site in a folder."""
    device = torch.device(asked.device)
    site = Site(asked.folder)
    machine = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor()
    print(f"{machine}, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}")
    copy_hz = bandwidth(device)
    print(f"a copy moves {copy_hz / 1e9:.0f} GB/s, read and written")
    if asked.profile:
        profile(site, device, asked.scenes[-1])
    if asked.scenes:
        model_rows(site, device, asked.scenes, copy_hz)
    heading = f"{'whole way':44} {'windows/s':>9} {'asked':>9} {'p50 ms':>7} {'p99 ms':>7}"
    print(f"\n{heading}   (at most {QUEUE_MS} ms)")
    for count in asked.processes:
        whole_way(asked.folder, asked.device, count, asked.each, asked.seconds)
    if asked.scenes:
        whole_way(asked.folder, "cpu", 1, min(asked.each, 50), asked.seconds)


if __name__ == "__main__":
    main()
