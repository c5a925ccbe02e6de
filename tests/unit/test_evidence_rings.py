"""How far back samples and scores are held for an event that is still to be raised."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrival import SampleArrived
from pipeline.core.sample import Encoding, Sample
from pipeline.detection.evidence_rings import EvidenceRings
from pipeline.recording.scores import RecordedScore

SECOND = 1_000_000_000
STREAMS = {"hall": ("cam", "mic"), "yard": ("cam", "gate")}


def play(rings: EvidenceRings, stream: str, until_s: int, from_s: int = 0, size: int = 100) -> None:
    """Ten samples a second of so many bytes."""
    data = np.zeros(size, np.uint8)
    for i in range(from_s * 10, until_s * 10):
        sample = Sample(stream, i, i * SECOND // 10, data, Encoding.RAW)
        rings.keep(SampleArrived(sample.timestamp_ns, "pi", sample))


def told(scene: str, end_s: int) -> RecordedScore:
    return RecordedScore(
        scene=scene,
        index=end_s,
        start_ns=(end_s - 2) * SECOND,
        end_ns=end_s * SECOND,
        score=0.1,
        threshold=3.0,
        p=0.8,
    )


def held_s(rings: EvidenceRings, stream: str) -> float:
    return len(rings.of(stream)) / 10


def test_memory_is_bounded_when_nothing_happens() -> None:
    rings = EvidenceRings(5.0, {}, {}, 256.0)
    play(rings, "cam", 120)
    assert len(rings.of("cam")) <= 20 * 10 + 1


def test_memory_is_bounded_when_time_is_set_back() -> None:
    rings = EvidenceRings(5.0, {}, {}, 256.0)
    play(rings, "cam", 3630, from_s=3600)
    play(rings, "cam", 120)
    assert len(rings.of("cam")) <= 20 * 10 + 1


def test_a_stream_is_held_for_as_long_as_the_scene_waits_that_waits_longest() -> None:
    rings = EvidenceRings(5.0, STREAMS, {"hall": 60.0, "yard": 1.0}, 256.0)
    for stream in ("cam", "mic", "gate"):
        play(rings, stream, 120)
    assert [round(held_s(rings, stream)) for stream in ("cam", "mic", "gate")] == [65, 65, 20]


def test_what_waits_takes_no_more_memory_than_an_event_may_keep_but_the_least_is_held() -> None:
    for size, seconds in ((20_000, 40), (80_000, 20)):
        rings = EvidenceRings(5.0, STREAMS, {"hall": 60.0}, 10.5)
        play(rings, "cam", 120, size=size)
        assert round(held_s(rings, "cam")) == seconds


def test_scores_are_held_as_long_as_their_scene_waits() -> None:
    rings = EvidenceRings(5.0, STREAMS, {"hall": 60.0}, 256.0)
    for scene in STREAMS:
        for i in range(120):
            rings.scored(told(scene, i))
    assert rings.scores_since(0, "hall")[0].index == 119 - 65
    assert rings.scores_since(0, "yard")[0].index == 119 - 20
