"""Streams that a capture node sends small: the full pictures kept, the small ones sent.

Pictures come here after what is private was taken out and on site time, so that a full picture and
the small one made of it have one stamp. One whose time is not known yet is not kept, since nobody
could ask for it by its time.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pipeline.config.deployment import Deployment
from pipeline.core.sample import Encoding, Sample, StreamInfo
from pipeline.sources.privacy_settings import QUALITY
from pipeline.sources.small_settings import SmallSettings
from pipeline.transport.frames import encode_for_link
from pipeline.transport.full_ring import FullRing, RingLimits

if TYPE_CHECKING:
    from pipeline.sources.small_pictures import SmallPictures

MIB = 1 << 20
SECOND_NS = 1_000_000_000


def kept_streams(deployment: Deployment) -> dict[str, str]:
    """Streams of which full pictures are kept, each with its capture node."""
    return {
        stream: name
        for name, node in deployment.nodes.items()
        for source in node.sources
        for stream in source.stream_names()
        if (small := deployment.stream(stream).small) is not None and small.keep_full_s > 0
    }


def full_ring(deployment: Deployment, node: str) -> FullRing:
    """Where a capture node keeps full pictures."""
    return FullRing(
        {
            stream: RingLimits(
                round(small.keep_full_s * SECOND_NS), round(small.keep_full_mb * MIB)
            )
            for stream, name in kept_streams(deployment).items()
            if name == node and (small := deployment.stream(stream).small) is not None
        }
    )


class SmallStreams:
    """Keeps and shrinks the pictures of one source; used by one thread.

    Args:
        deployment: Says which streams are sent small.
        ring: Keeps full pictures.

    Attributes:
        counters: Pictures ``not_sent``, and ``untimed`` ones, which are not kept.
    """

    def __init__(self, deployment: Deployment, ring: FullRing) -> None:
        self._deployment = deployment
        self._ring = ring
        self.counters: Counter[str] = Counter()
        self._makers: dict[str, tuple[SmallSettings, SmallPictures] | None] = {}

    def sent(self, info: StreamInfo) -> StreamInfo:
        """A stream as it is sent."""
        maker = self._maker(info.name)
        return info if maker is None else maker[1].info(info)

    def take(self, sample: Sample, now_ns: int, *, placed: bool) -> Sample | None:
        """What is sent of a sample; None: nothing.

        Args:
            sample: As it came, stamped.
            now_ns: Node time.
            placed: Whether its stamp is site time.

        Raises:
            BadReading: It is a damaged picture.
            CodecError: It is a raw picture of a kind that cannot be a JPEG.
        """
        maker = self._maker(sample.stream)
        if maker is None:
            return sample
        settings, small = maker
        made = small.make(sample)
        if sample.stream in self._ring.streams:
            self._keep(sample, settings.keep_quality, now_ns, placed=placed)
        if made is None:
            self.counters["not_sent"] += 1
        return made

    def _keep(self, sample: Sample, quality: int, now_ns: int, *, placed: bool) -> None:
        if sample.encoding not in (Encoding.RAW, Encoding.JPEG):
            return
        if not placed:
            self.counters["untimed"] += 1
            return
        full = encode_for_link(sample, quality)
        self._ring.put(sample.stream, sample.timestamp_ns, bytes(full.data), now_ns)  # type: ignore[arg-type]

    def _maker(self, stream: str) -> tuple[SmallSettings, SmallPictures] | None:
        if stream not in self._makers:
            options = self._deployment.stream(stream)
            small = options.small
            quality = options.jpeg_quality or QUALITY
            self._makers[stream] = None if small is None else (small, _pictures(small, quality))
        return self._makers[stream]


def _pictures(small: SmallSettings, quality: int) -> SmallPictures:
    """Makes pictures small; imported where it is asked for, as OpenCV and PyAV are large."""
    from pipeline.sources.small_pictures import SmallPictures

    return SmallPictures(small, quality)
