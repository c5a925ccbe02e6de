"""Where in the picture an anomaly is at a moment: `Anomaly.box` is where it is in all its time."""

from __future__ import annotations

import numpy as np

from pipeline.sources.synthetic.anomalies import Anomaly, Box
from pipeline.sources.synthetic.chance import Floats
from pipeline.sources.synthetic.perspective import Camera
from pipeline.sources.synthetic.place import make_place
from pipeline.sources.synthetic.settings import SiteSettings

_LOOK_S = 0.1


class Whereabouts:
    """Follows objects and people that do not belong at a site.

    Args:
        settings: The site.
    """

    def __init__(self, settings: SiteSettings) -> None:
        self._camera = Camera(make_place(settings.place).view, *settings.size)
        self._size = np.array(settings.size, np.float64)

    def between(self, anomaly: Anomaly, from_s: float, to_s: float) -> Box | None:
        """Where it is seen within a span, ``(x0, y0, x1, y1)`` as shares of width and height.

        Args:
            anomaly: The anomaly.
            from_s: First scene second.
            to_s: Last.

        Returns:
            The box around all places of it, or None when it cannot be seen then.
        """
        begin, end = max(from_s, anomaly.start_s), min(to_s, anomaly.end_s)
        moments = np.arange(begin, max(end, begin + 1e-9), _LOOK_S)
        boxes = [box for t in moments if (box := self._at(anomaly, float(t))) is not None]
        if end < begin or not boxes:
            return None
        low, high = np.min(boxes, axis=0), np.max(boxes, axis=0)
        return float(low[0]), float(low[1]), float(high[2]), float(high[3])

    def _at(self, anomaly: Anomaly, t_s: float) -> Box | None:
        corners = _corners(anomaly, t_s)
        if corners is None:
            return None
        shown = self._camera.project(corners) / self._size
        low, high = np.clip(shown.min(axis=0), 0, 1), np.clip(shown.max(axis=0), 0, 1)
        return None if (low >= high).any() else (*low.tolist(), *high.tolist())


def _corners(anomaly: Anomaly, t_s: float) -> Floats | None:
    """Corners of the upright box around what is wrong, ``(8, 3)``."""
    if anomaly.stay is not None:
        return anomaly.stay.at(t_s).corners()
    if anomaly.visit is not None and anomaly.visit.seen:
        return anomaly.visit.corners(t_s)
    return None
