"""What a stream's timestamp means (`StreamInfo.stamp`), and how late it usually is.

The ranges are rules of thumb for common devices, there to tell a plausible finding of
``fusewatch sync test`` from a doubtful one. Nothing is corrected by them: ``latency_ms`` of a
stream is, and that has to be found on the device itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Stamp:
    """One meaning.

    Attributes:
        meaning: In words.
        least_ms: How late such stamps usually are at least, ms.
        most_ms: And at most.
    """

    meaning: str
    least_ms: float
    most_ms: float

    @property
    def usual(self) -> str:
        """How late, in words."""
        if not self.most_ms:
            return "not late"
        return f"usually {self.least_ms:g} to {self.most_ms:g} ms late"


STAMPS: Mapping[str, Stamp] = MappingProxyType(
    {
        "grab": Stamp("right after the frame was grabbed", 20, 120),
        "adc": Stamp("the converter's time of the first sample", 0, 10),
        "pts": Stamp("the medium's clock, laid on ours by the smallest delay", 50, 500),
        "sender": Stamp("the wall clock of the medium's sender", 0, 100),
        "arrival": Stamp("when it arrived", 1, 1000),
        "device": Stamp("the sender's own stamp", 0, 20),
        "exact": Stamp("a recording's or a simulation's own time", 0, 0),
    }
)
