"""Options of one stream in a deployment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.core.ranges import Range
from pipeline.core.settings import Settings
from pipeline.sources.privacy_settings import BlurSettings, Zone
from pipeline.sources.small_settings import SmallSettings


class StreamSettings(Settings):
    """How one stream is carried and aligned. Every stream has these; naming one overrides."""

    on_full: Literal["drop_oldest", "drop_newest", "block"] = "drop_oldest"
    """What gives way when the send buffer is full."""

    latency_ms: float = 0.0
    """Subtracted from each stamp, but ``exact`` ones (a file's own times, an import), which are
    taken as they are: the device's known delay between event and stamp, as
    ``fusewatch sync test`` finds it. It goes with what the stamp means: find it anew after that
    has changed (``stamp`` in ``fusewatch recording info``, ``fusewatch_stream_stamp``)."""

    dejitter: bool = True
    """Smooth stamps by a fitted rate and phase (streams of a nominal rate only)."""

    interpolation: Literal["linear", "previous", "none"] | None = None
    """How sensor readings are put on the window's grid; not given: linear for streams of a
    rate of one reading a window or more, previous for others."""

    channel_interpolation: dict[str, Literal["linear", "previous", "none"]] = {}
    """Interpolation of single channels, by channel name."""

    channel_range: dict[str, Range] = {}
    """Least and greatest value that a channel can have, by channel name: ``heat: [-40, 125]``. A
    reading beyond is taken for none, and told as a sensor out of range when it stays."""

    max_gap_s: float = Field(default=5.0, gt=0)
    """A sensor cell further from its readings than this is missing, seconds."""

    grid_hz: float | None = Field(default=None, gt=0)
    """Grid of frames or sensor cells in a window; none: the stream's own rate."""

    jpeg_quality: int | None = Field(default=None, ge=1, le=100)
    """Send raw frames as JPEG of this quality; none: the link decides (85 when encrypted)."""

    small: SmallSettings | None = None
    """Send smaller pictures than there are, and keep the full ones on the capture node for a while,
    for the evidence of events; none: send them as they are."""

    mask: dict[str, Zone] = {}
    """Zones of the picture that nobody is to see, by name: corners ``[x, y]`` as shares (0 to 1) of
    its width and height. Blackened on the capture node; ``fusewatch mask`` shows where they lie."""

    blur: BlurSettings | None = None
    """What is made coarse in the picture on the capture node; none: nothing."""

    privacy: Literal["features"] | None = None
    """features: of this sound only band levels leave the capture node, as readings in dB, four
    a second; none: the sound itself."""
