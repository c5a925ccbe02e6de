"""What decoding ahead takes off the thread that does the rest: milliseconds of it per picture.

    python -m tests.benchmarks.decoding

JPEGs of 1280 x 720 to the size of the model, in the thread that asks and by threads ahead of it.
CPU time is told, which a busy machine does not change: of the asking thread, and of all.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np
import simplejpeg

from pipeline.core.arrival import SampleArrived
from pipeline.core.sample import Encoding, Sample
from pipeline.detection.ahead import Ahead
from pipeline.models.picture import prepare_picture
from pipeline.models.settings import DetectorSettings

PICTURES = 64
ROUNDS = 5


def main() -> None:
    """Print a row for each number of threads."""
    arrivals = [
        SampleArrived(i, "n", Sample("c", i, i, jpeg, Encoding.JPEG))
        for i, jpeg in enumerate(_jpegs())
    ]
    sys.stdout.write("threads  asking ms/picture  all ms/picture\n")
    for threads in (0, 1, 2, 4):
        asking, both = min(_run(arrivals, threads) for _ in range(ROUNDS))
        sys.stdout.write(f"{threads:7}  {asking:17.3f}  {both:14.3f}\n")


def _run(arrivals: Sequence[SampleArrived], threads: int) -> tuple[float, float]:
    prepare = partial(prepare_picture, cells=DetectorSettings().picture_cells)
    ahead = Ahead(prepare, threads) if threads else None
    began, began_all = time.thread_time(), time.process_time()
    if ahead is not None:
        ahead.begin(arrivals)
    for arrival in arrivals:
        (prepare if ahead is None else ahead.prepare)(arrival.sample)
    spent, spent_all = time.thread_time() - began, time.process_time() - began_all
    if ahead is not None:
        ahead.close()
    return spent / len(arrivals) * 1e3, spent_all / len(arrivals) * 1e3


def _jpegs() -> list[bytes]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (720, 1280, 3), dtype=np.uint8)
    picture = cv2.GaussianBlur(noise, (9, 9), 0)
    return [bytes(simplejpeg.encode_jpeg(picture, 80, "BGR"))] * PICTURES


if __name__ == "__main__":
    main()
