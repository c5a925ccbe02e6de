"""What of a sensor's channel is meant, in words a person understands.

The page says the same (`nodes/dashboard/static/event.js`), as a test sees to.
"""

from __future__ import annotations

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
