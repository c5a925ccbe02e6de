"""Exact labels of a site's anomalies, and the file that ``fusewatch evaluate`` reads."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pipeline.core.errors import ConfigError
from pipeline.sources.synthetic.anomalies import Anomaly
from pipeline.sources.synthetic.reel import Reel
from pipeline.sources.synthetic.settings import SiteSettings


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """One anomaly.

    Attributes:
        start_s: First scene second at which a sample differs from the normal.
        end_s: End, exclusive, echo included.
        kind: V, A, S, X1, X2, X3 or X4.
        variant: Which sort of this kind.
        modalities: Where it shows, the odd one first.
        altered: Modalities whose samples differ from the same site without the anomaly.
        description: One line a person understands.
        box: Where in the picture, ``[x0, y0, x1, y1]`` as shares of width and height, or null.
    """

    start_s: float
    end_s: float
    kind: str
    variant: str
    modalities: tuple[str, ...]
    altered: tuple[str, ...]
    description: str
    box: tuple[float, float, float, float] | None = None


def labels(
    settings: SiteSettings, *, from_s: float | None = None, to_s: float | None = None
) -> list[Label]:
    """Labels of all anomalies that overlap a span, by their start; times are scene seconds.

    Args:
        settings: The site.
        from_s: First scene second; none: the settings' `from_s`.
        to_s: End; none: the end of the settings' `duration_s`.

    Raises:
        ConfigError: Neither `to_s` nor `duration_s` is given and the schedule never ends.
    """
    begin = settings.from_s if from_s is None else from_s
    end = to_s
    if end is None and settings.duration_s is not None:
        end = settings.from_s + settings.duration_s
    plan = Reel(settings).plan
    if end is None and plan.endless:
        raise ConfigError(
            "labels of an endless schedule were asked for",
            where="scene",
            fix="set duration_s, or say to_s",
        )
    found = plan.between(begin, float("inf") if end is None else end)
    return sorted((_label(a) for a in found), key=lambda label: label.start_s)


def write_labels(
    settings: SiteSettings,
    path: Path,
    *,
    from_s: float | None = None,
    to_s: float | None = None,
) -> list[Label]:
    """Write labels as JSON, in seconds since the span's begin, as a recording of it counts them.

    Args:
        settings: The site.
        path: File to write.
        from_s: First scene second; none: the settings' `from_s`.
        to_s: End; none: the end of the settings' `duration_s`.

    Returns:
        The labels as written.
    """
    begin = settings.from_s if from_s is None else from_s
    moved = [
        msgspec.structs.replace(
            label,
            start_s=round(label.start_s - begin, 6),
            end_s=round(label.end_s - begin, 6),
        )
        for label in labels(settings, from_s=from_s, to_s=to_s)
    ]
    path.write_bytes(msgspec.json.format(msgspec.json.encode(moved), indent=1) + b"\n")
    return moved


def _label(anomaly: Anomaly) -> Label:
    return Label(
        start_s=anomaly.start_s,
        end_s=anomaly.end_s,
        kind=str(anomaly.kind),
        variant=anomaly.variant,
        modalities=tuple(str(m) for m in anomaly.modalities),
        altered=tuple(sorted(str(m) for m in anomaly.altered)),
        description=anomaly.description,
        box=anomaly.box,
    )
