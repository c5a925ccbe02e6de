"""What can be asked to be taken out of a stream: zones, motion or faces, everything but levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from pipeline.core.sample import Modality
from pipeline.core.settings import Settings

QUALITY = 85
LEAST_AREA = 1e-6

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Point: TypeAlias = tuple[Share, Share]


def _checked(points: list[Point]) -> list[Point]:
    """The polygon, if what lies inside it is beyond doubt."""
    edges = list(pairwise([*points, points[0]]))
    for (i, one), (j, other) in combinations(enumerate(edges), 2):
        if j - i not in (1, len(edges) - 1) and _cross(*one, *other):
            raise ValueError("the zone's outline crosses itself: write its corners in order")
    twice_area = sum(a[0] * b[1] - b[0] * a[1] for a, b in edges)  # the shoelace formula
    if abs(twice_area) < 2 * LEAST_AREA:
        raise ValueError("the zone has no area: write its corners one after the other")
    return points


Zone = Annotated[list[Point], Field(min_length=3), AfterValidator(_checked)]
"""Corners ``[x, y]`` in order, each 0 to 1."""


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments a-b and c-d have a point in common inside both."""

    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


class BlurSettings(Settings):
    """What is made coarse in every picture of a stream, before anything else sees it."""

    what: Literal["moving", "all", "faces"]
    """moving: whatever is not the learnt background; all: the whole picture; faces: what a face
    detector finds, which misses some, see `model`."""

    cells: int = Field(default=24, ge=4, le=120)
    """Cells of the mosaic from the top of the picture to its bottom; fewer hide more."""

    hold_s: float = Field(default=10.0, ge=0.0)
    """A cell stays covered this long after what was found there, seconds."""

    model: Path | None = None
    """YuNet face detector (ONNX) for ``faces``; none comes with OpenCV, and none with fusewatch."""

    @model_validator(mode="after")
    def _faces_by_a_model(self) -> Self:
        if (self.what == "faces") != (self.model is not None):
            raise ValueError(
                "'what: faces' needs 'model: FILE.onnx' (YuNet), and nothing else does"
            )
        return self


@dataclass(frozen=True, slots=True)
class Privacy:
    """What is taken out of one stream.

    Attributes:
        zones: Polygons that are blackened, by name.
        blur: What is made coarse; None: nothing.
        features: Whether sound becomes band levels.
        jpeg_quality: Of pictures that come as JPEG and go on as JPEG.
    """

    zones: Mapping[str, list[Point]] = field(default_factory=dict)
    blur: BlurSettings | None = None
    features: bool = False
    jpeg_quality: int = QUALITY

    @property
    def modality(self) -> Modality | None:
        """The kind of stream it is meant for; None when nothing is taken out."""
        if self.zones or self.blur is not None:
            return Modality.VIDEO
        return Modality.AUDIO if self.features else None
