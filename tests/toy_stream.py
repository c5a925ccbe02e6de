"""The toy site as a live stream of samples, for tests of the way they take."""

from __future__ import annotations

from pipeline.core.sample import Encoding, Sample
from tests.toy_site import FPS, HOP_NS, RATE, SENSOR_HZ, WINDOWS, Site

SECOND_NS = 1_000_000_000
NETWORK_NS = 20_000_000


def live(hops: int, start_ns: int) -> list[tuple[int, Sample]]:
    """Camera, microphone and sensors over some hops that the model has not seen.

    Returns:
        Samples with the time at which each arrives, shortly after it is over, in that order.
    """
    found: list[tuple[int, Sample]] = []
    site = Site()
    for hop in range(hops):
        chunk = site._chunk(WINDOWS + hop)
        begin_ns = start_ns + hop * HOP_NS
        for i, picture in enumerate(chunk.frames):
            number = hop * len(chunk.frames) + i
            stamp_ns = begin_ns + i * (SECOND_NS // FPS)
            found.append((stamp_ns, Sample("cam", number, stamp_ns, picture, Encoding.RAW)))
        for i, row in enumerate(chunk.readings):
            number = hop * len(chunk.readings) + i
            stamp_ns = begin_ns + i * (SECOND_NS // SENSOR_HZ)
            found.append((stamp_ns, Sample("plc", number, stamp_ns, row, Encoding.FLOAT)))
        pcm, position = chunk.sound[:, None], hop * RATE // 2
        sound = Sample("mic", hop, begin_ns, pcm, Encoding.FLOAT, position=position)
        found.append((begin_ns + HOP_NS, sound))
    arriving = [(over_ns + NETWORK_NS, sample) for over_ns, sample in found]
    return sorted(arriving, key=lambda pair: pair[0])
