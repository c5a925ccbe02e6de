"""What it costs a capture node to send 720p small and keep it in full: CPU per picture.

Run: ``python -m tests.benchmarks.full_pictures``. CPU is that of this process, on one thread,
beside one JPEG encoding of the same picture in the same run; the last column is the share of a core
at 15 pictures a second. ``as it is`` is what the stream costs on its way to the link without any of
it. The link is an encrypted one, which carries JPEG.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from nodes.small_streams import SmallStreams, full_ring
from pipeline.config.deployment import Deployment
from pipeline.core.sample import Encoding, Sample
from pipeline.sources.camera import CameraSettings
from pipeline.transport.frames import encode_for_link
from tests.benchmarks.privacy import frames

PICTURES, HZ, QUALITY = 60, 15, 85
SECOND_NS = 1_000_000_000


def main() -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    raw = frames(PICTURES)
    jpegs = [encoded(picture) for picture in raw]
    encode = cpu_ms(lambda n: encoded(raw[n]))
    print(f"{'720p picture':<40}{'CPU ms':>8}{'of one encoding':>17}{'core at 15/s':>14}")
    line("one JPEG encoding", encode, encode)
    for kind, data in ((Encoding.JPEG, jpegs), (Encoding.RAW, raw)):
        line(f"{kind.value}, as it is", cpu_ms(sent(kind, data, {})), encode)
        for width in (640, 320):
            thrown = {"width": width, "keep_full_s": 0}
            line(f"{kind.value}, {width} wide", cpu_ms(sent(kind, data, thrown)), encode)
            kept = cpu_ms(sent(kind, data, {"width": width}))
            line(f"{kind.value}, {width} wide, full ones kept", kept, encode)


def encoded(picture: npt.NDArray[np.uint8]) -> bytes:
    """A picture as the link's JPEG."""
    return bytes(
        simplejpeg.encode_jpeg(picture, quality=QUALITY, colorspace="BGR", colorsubsampling="420")
    )


def line(name: str, cost: float, encode: float) -> None:
    """One row."""
    print(f"{name:<40}{cost:>8.2f}{cost / encode:>17.2f}{cost * HZ / 1e3:>14.1%}")


def sent(
    kind: Encoding, data: Sequence[object], small: dict[str, object]
) -> Callable[[int], object]:
    """Pictures made ready for the link, as a capture node does."""
    source = CameraSettings(stream="cam")
    deployment = Deployment.model_validate(
        {
            "name": "d",
            "nodes": {"pi": {"sources": [source]}},
            "streams": {"cam": {"small": small or None}},
            "scenes": {"s": {"streams": ["cam"]}},
        }
    )
    streams = SmallStreams(deployment, full_ring(deployment, "pi"))

    def send(number: int) -> object:
        at_ns = number * SECOND_NS // HZ
        sample = Sample("cam", 0, at_ns, data[number], kind)  # type: ignore[arg-type]
        made = streams.take(sample, at_ns, placed=True)
        return None if made is None else encode_for_link(made, QUALITY)

    return send


def cpu_ms(work: Callable[[int], object]) -> float:
    """CPU of one turn, milliseconds."""
    work(0)
    begun = time.process_time()
    for number in range(PICTURES):
        work(number)
    return (time.process_time() - begun) / PICTURES * 1e3


if __name__ == "__main__":
    main()
