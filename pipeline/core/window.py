"""Windows: what all streams of a scene showed in one half-open span of site time.

``Window`` *k* of a scene covers ``[k * hop_ns, k * hop_ns + length_ns)``: the grid hangs on
the Unix epoch, not on the first sample, so a restarted engine cuts the same windows. Each
stream contributes one slice. What is missing is masked, never invented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.core.sample import Sample, StreamInfo


@dataclass(frozen=True, slots=True)
class VideoSlice:
    """Frames nearest to a regular grid.

    Attributes:
        info: The stream.
        grid_ns: Times of the grid points, int64 ``(T,)``.
        frames: The frame within half a period of each point, or None, ``(T,)``.
        present: Which points have a frame, bool ``(T,)``.
        coverage: Share of points present, 0 to 1.
    """

    info: StreamInfo
    grid_ns: npt.NDArray[np.int64]
    frames: tuple[Sample | None, ...]
    present: npt.NDArray[np.bool_]
    coverage: float


@dataclass(frozen=True, slots=True)
class AudioSlice:
    """Sound, cut sample-exactly.

    Attributes:
        info: The stream; ``info.rate_hz`` is the rate of `samples`.
        samples: float32 ``(N, channels)`` in -1 to 1; zeros where not present.
        present: Which samples were heard, bool ``(N,)``.
        coverage: Share present, 0 to 1, of the samples that there are to hear: all, but of a
            labelled sound that is shorter than the window.
    """

    info: StreamInfo
    samples: npt.NDArray[np.float32]
    present: npt.NDArray[np.bool_]
    coverage: float

    @property
    def filled(self) -> float:
        """Share of the window that there is sound for: 1, but where a labelled sound has ended."""
        return float(self.present.mean()) / self.coverage if self.coverage else 1.0


@dataclass(frozen=True, slots=True)
class SensorSlice:
    """Readings interpolated on a regular grid.

    Attributes:
        info: The stream.
        grid_ns: Times of the grid points, int64 ``(T,)``.
        values: float64 ``(T, C)``; NaN where not present.
        present: Which cells are backed by readings near enough, bool ``(T, C)``.
        coverage: Share of cells present, 0 to 1.
        beyond: Channels of which most readings were out of the range that was declared for them.
    """

    info: StreamInfo
    grid_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    present: npt.NDArray[np.bool_]
    coverage: float
    beyond: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextSlice:
    """Lines that fell into the window.

    Attributes:
        info: The stream.
        timestamps_ns: One time per line, int64 ``(L,)``.
        lines: The lines, ``(L,)``. No line is normal for text, so coverage tells whether the
            stream was alive, not whether it spoke.
        coverage: 1 when the stream was alive throughout, else 0.
    """

    info: StreamInfo
    timestamps_ns: npt.NDArray[np.int64]
    lines: tuple[str, ...]
    coverage: float


Slice: TypeAlias = VideoSlice | AudioSlice | SensorSlice | TextSlice


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a scene.

    Attributes:
        scene: Name of the scene.
        index: Position on the grid; ``start_ns == index * hop_ns``.
        start_ns: First nanosecond, inclusive.
        end_ns: End, exclusive.
        slices: One per stream of the scene, in the scene's order of streams.
        uncertainty_ns: Largest clock uncertainty among the samples used, per stream.
        late: Samples per stream that came behind the watermark since the last window.
        complete: False when the latency bound cut the wait short.
        hops: Hops since the last window of the scene that is scored: more than one where the
            fusion node could not keep up and left out those between (`HopSet`).
    """

    scene: str
    index: int
    start_ns: int
    end_ns: int
    slices: Mapping[str, Slice]
    uncertainty_ns: Mapping[str, int] = field(default_factory=dict)
    late: Mapping[str, int] = field(default_factory=dict)
    complete: bool = True
    hops: int = 1
