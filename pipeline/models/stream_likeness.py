"""Whether a live stream is like the one that was learnt: what its features need of it."""

from __future__ import annotations

from pipeline.core.sample import Modality, StreamInfo
from pipeline.models.picture import grid_shape
from pipeline.models.settings import DetectorSettings


def differences(
    known: StreamInfo, live: StreamInfo, settings: DetectorSettings
) -> list[tuple[str, str, str]]:
    """What differs, in words: what, as it was learnt, as it is live."""
    found = _differences(known, live, settings)
    return [(what, _words(learnt), _words(now)) for what, learnt, now in found]


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(part) or "none" for part in value) or "none"
    return str(value) or "none"


def _differences(
    known: StreamInfo, live: StreamInfo, settings: DetectorSettings
) -> list[tuple[str, object, object]]:
    found: list[tuple[str, object, object]] = []
    if known.modality is not live.modality:
        return [("the modality", known.modality.value, live.modality.value)]
    if known.channels != live.channels:
        found.append(("the list of channels", known.channels, live.channels))
    if (known.unit, known.units) != (live.unit, live.units):
        found.append(("the unit", known.units or known.unit, live.units or live.unit))
    if not _same_shape(known, live, settings):
        found.append(("the shape", known.shape, live.shape))
    exact = known.modality is Modality.AUDIO
    if not _same_rate(known.rate_hz, live.rate_hz, 0.005 if exact else 0.25):
        found.append(("the rate in Hz", known.rate_hz, live.rate_hz))
    return found


def _same_shape(known: StreamInfo, live: StreamInfo, settings: DetectorSettings) -> bool:
    if known.shape == live.shape or known.modality is not Modality.VIDEO:
        return known.shape == live.shape
    if not all(len(shape) == 3 and shape[0] and shape[1] for shape in (known.shape, live.shape)):
        return False
    cells = settings.picture_cells
    learnt = grid_shape(known.shape[0], known.shape[1], cells)
    return learnt == grid_shape(live.shape[0], live.shape[1], cells)


def _same_rate(known: float | None, live: float | None, tolerance: float) -> bool:
    if known is None or live is None:
        return True
    return abs(live - known) <= tolerance * known
