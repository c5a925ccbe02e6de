"""Search among 100,000 and a million moments, beside the least that numpy could do.

Run as ``python -m tests.benchmarks.search``. The vectors are noise of real width (a camera, a
microphone, eight sensors and the evidence: 299 numbers a window) in a file, opened as a search
opens it. One thread, best of several rounds of wall time. The peer in the same run is the exact
answer by brute force: one product of the same numbers as float32, all in memory.

``python -m tests.benchmarks.search --sites PLACE/SEED...`` measures instead what searches find
on synthetic sites, see `tests.benchmarks.search_sites`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import platformdirs
import torch

from pipeline.models.moments import Grid, likest
from pipeline.models.search_file import load_index, save_index
from pipeline.models.search_index import About, Part, SearchIndex
from pipeline.models.window_vectors import EVIDENCE
from tests.benchmarks.search_sites import report

WIDTHS = {"camera": 178, "microphone": 74, "sensors": 42, EVIDENCE: 5}
HOP_NS = 500_000_000
ABOUT = About("bench", "model 0", 4 * HOP_NS, HOP_NS)
SIZES = 100_000, 1_000_000


def noise(rows: int) -> SearchIndex:
    generator = torch.Generator().manual_seed(0)
    blocks = {}
    for name, width in WIDTHS.items():
        block = torch.empty((rows, width), dtype=torch.float16)
        for at in range(0, rows, 50_000):
            part = torch.randn((len(block[at : at + 50_000]), width), generator=generator)
            block[at : at + 50_000] = torch.nn.functional.normalize(part)
        blocks[name] = block
    numbers = torch.arange(rows)
    p = torch.full((rows,), 0.5, dtype=torch.float64)
    return SearchIndex(ABOUT, (Part("a", 1, 0, rows),), numbers, p, blocks)


def ms(work: Callable[[], object], rounds: int = 5) -> float:
    """Best of several rounds: neighbours on a shared machine only ever make it slower."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times) * 1e3


def measure(rows: int, folder: Path) -> tuple[float, float, float, float, float]:
    """MB on disk, then ms: opening, comparing, parting moments, brute force."""
    file = folder / "bench.index"
    save_index(noise(rows), file)
    opened = ms(lambda: load_index(file, ABOUT), 2)
    index = load_index(file, ABOUT)
    query = index.query(rows // 2, dict.fromkeys(WIDTHS, 1.0))
    compared = ms(lambda: index.likeness(query))
    likeness, grid = index.likeness(query), Grid(ABOUT.length_ns, ABOUT.hop_ns)
    parted = ms(lambda: likest(likeness, index.starts_ns, grid, 10, itself=rows // 2))
    whole = np.concatenate([block.float().numpy() for block in index.blocks.values()], axis=1)
    wanted = np.concatenate([query.vectors[name] / len(WIDTHS) for name in index.blocks])
    brute = ms(lambda: whole @ wanted)
    if not np.allclose(whole @ wanted, likeness, atol=1e-4):
        raise ValueError("the index does not say what brute force says")
    return file.stat().st_size / 1e6, opened, compared, parted, brute


def main() -> None:
    asked = _parser().parse_args()
    if asked.sites:
        report(asked.sites, asked.cache)
        return
    torch.set_num_threads(1)
    heads = ("windows", "file, MB", "open, ms", "compare, ms", "moments, ms", "brute force, ms")
    print("".join(f"{head:>16}" for head in heads))
    with tempfile.TemporaryDirectory() as folder:
        for rows in SIZES:
            found = measure(rows, Path(folder))
            print(f"{rows:16,}" + "".join(f"{value:16.1f}" for value in found), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.benchmarks.search")
    cache = platformdirs.user_cache_path("fusewatch") / "sites"
    parser.add_argument("--sites", nargs="+", metavar="PLACE/SEED", help="what searches find")
    parser.add_argument("--cache", type=Path, default=cache, help="folder of rendered sites")
    return parser


if __name__ == "__main__":
    main()
