"""Frames find their points on the grid."""

from __future__ import annotations

import random

from pipeline.core.window import VideoSlice
from tests.unit.alignment_streams import MS, T0, feed, frame, in_order, opened, patient


def test_every_frame_lies_within_half_a_period_of_its_point_or_its_own_doubt_more() -> None:
    rng = random.Random(3)
    half = 50 * MS
    samples = [frame(i, start_ns=T0 + rng.randrange(100 * MS)) for i in range(400)]
    for sample in samples:
        sample.timestamp_ns += rng.randrange(-45 * MS, 45 * MS)
        sample.uncertainty_ns = rng.choice((0, 5 * MS, 80 * MS))
    run = feed(opened(patient(streams=("camera",))), in_order(samples))
    distances = []
    for window in run.windows:
        part = window.slices["camera"]
        assert isinstance(part, VideoSlice)
        for point, found in zip(part.grid_ns.tolist(), part.frames, strict=True):
            near = [s for s in samples if abs(s.timestamp_ns - point) <= half]
            if found is None:
                taken = {id(f) for f in part.frames}
                assert all(id(s) in taken for s in near), "a frame that fits was left out"
            else:
                over = abs(found.timestamp_ns - point) - half
                distances.append(over)
                assert over <= min(found.uncertainty_ns, half // 2)
    assert len(distances) > 500 and max(distances) > 0
