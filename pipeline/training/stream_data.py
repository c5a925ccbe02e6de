"""The features of one stream in a scene's normal windows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pipeline.core.sample import StreamInfo
from pipeline.models.cycle import Rhythm
from pipeline.models.drift import Wander
from pipeline.models.features import Extractor, StreamFeatures
from pipeline.models.quality import Inspector, clearness, learn_limits
from pipeline.models.running_level import LearntLevel
from pipeline.models.settings import DetectorSettings
from pipeline.models.stream_model import make_extractor, make_inspector
from pipeline.models.video_view import ViewSum

Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class StreamData:
    """Features of one stream.

    Attributes:
        info: The stream.
        extractor: Its features.
        inspector: Measures of its quality.
        features: One per window in which it was seen.
        measures: Measures of its quality in the same windows, each ``(K,)``.
        seen_in: The windows' grid indices, growing.
        windows: Their positions among all kept windows, once `NormalRows.finish` was called.
        view: What stands before it in all windows taken in, if it is a camera.
        drift: How much drift widens each column, ``(P, d)``; likewise; None for sensors.
        rhythm: The cycle that it may follow; likewise.
        wander: How limits grow with time; likewise; None for all but sensors.
        running: Levels of the last hours as they were last; likewise; None unless days were learnt.
    """

    info: StreamInfo
    extractor: Extractor
    inspector: Inspector
    features: list[StreamFeatures] = field(default_factory=list)
    measures: list[Floats] = field(default_factory=list)
    seen_in: list[int] = field(default_factory=list)
    windows: Indices = field(default_factory=lambda: np.zeros(0, np.int64))
    view: ViewSum = field(default_factory=ViewSum)
    drift: Tensor | None = None
    rhythm: Rhythm | None = None
    wander: Wander | None = None
    running: LearntLevel | None = None

    def copy(self) -> StreamData:
        """The same features in lists of their own."""
        return replace(
            self,
            features=list(self.features),
            measures=list(self.measures),
            seen_in=list(self.seen_in),
            view=replace(self.view),
        )

    def positions(self, chosen: Indices) -> Indices:
        """Positions in `features` of those of the `chosen` windows that saw the stream."""
        return np.flatnonzero(np.isin(self.windows, chosen))

    def usual(self) -> npt.NDArray[np.float64]:
        """5th and 95th percentile of the raw features where present, ``(2, P, d)``."""
        places = np.stack([f.places for f in self.features]).astype(np.float64)
        present = np.stack([f.present for f in self.features])
        places[~present] = np.nan
        never = ~present.any(axis=0)
        places[:, never] = 0.0
        return np.asarray(np.nanquantile(places, [0.05, 0.95], axis=0))

    def limits(self) -> Floats:
        """How bad its quality may be before it counts as degraded, ``(K,)``."""
        return learn_limits(np.stack(self.measures), self.inspector)

    def degraded(self) -> list[bool]:
        """In which of its windows it did not see well."""
        limits, inspector = self.limits(), self.inspector
        return [
            bool(inspector.judge(clearness(m, limits, inspector)).reason) for m in self.measures
        ]

    def constant(self) -> list[str]:
        """Places whose every column stayed the same."""
        places = np.stack([f.places for f in self.features])
        flat = (places.max(axis=0) == places.min(axis=0)).all(axis=1)
        return [label for label, same in zip(self.extractor.labels, flat, strict=True) if same]


def nothing_yet(info: StreamInfo, settings: DetectorSettings) -> StreamData:
    """A stream of which nothing was seen yet."""
    extractor = make_extractor(info, settings)
    return StreamData(info, extractor, make_inspector(info, extractor))
