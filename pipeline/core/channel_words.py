"""What of a sensor's channel is meant, in words a person understands.

The page says the same (`nodes/dashboard/static/event.js`), as a test sees to.
"""

from __future__ import annotations

from pipeline.core.explanation import Channel

OF_CHANNEL = {
    "value": "reading",
    "dip": "lowest below its mean",
    "peak": "highest above its mean",
    "slope": "change from begin to end",
    "noise": "noise",
    "largest step": "largest jump",
}
"""By the name that detectors use, each over one window; what has none is said as it is."""


def of_channel(what: str) -> str:
    """What of a channel it is."""
    return OF_CHANNEL.get(what, what)


def channel_words(channel: Channel) -> str:
    """A channel, seen against expected."""
    what = "" if channel.what == "value" else f" ({of_channel(channel.what)})"
    seen, low, high = (f"{value:.3g}" for value in (channel.seen, channel.low, channel.high))
    return f"{channel.name}{what} seen {seen}, expected {low} to {high}"


def pitch_words(low_hz: float, high_hz: float) -> str:
    """A band of a sound by its lowest and highest frequency."""
    if high_hz < 1000:
        return f"{low_hz:.0f} to {high_hz:.0f} Hz"
    return f"{low_hz / 1000:.1f} to {high_hz / 1000:.1f} kHz"
