"""Vectors of windows by a network that reads words; needs the library `transformers`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nodes.commission import windows_of
from nodes.search_building import Seen, about_of
from pipeline.config.deployment import Deployment
from pipeline.models.settings import DetectorSettings
from pipeline.models.text_aligned import TextAligned


class ByEncoder:
    """Vectors by a text-aligned network, of the streams that it can see.

    Args:
        deployment: The deployment.
        scene: Which of its scenes.
        encoder: The network.
    """

    kind = "encoder"

    def __init__(self, deployment: Deployment, scene: str, encoder: TextAligned) -> None:
        self._deployment, self._scene, self._encoder = deployment, scene, encoder
        self.about = about_of(deployment, scene, f"encoder {encoder.digest}")
        self.widths = dict.fromkeys(deployment.scenes[scene].streams, encoder.width)

    def windows(self, recording: Path) -> Iterator[Seen]:
        """The windows of a recording, cut exactly as live, pictures as large as it wants."""
        options = DetectorSettings(picture_cells=self._encoder.picture_cells)
        for window in windows_of(self._deployment, self._scene, [recording], options):
            found = {n: self._encoder.of_slice(part) for n, part in window.slices.items()}
            seen = {name: vector for name, vector in found.items() if vector is not None}
            yield Seen(window, seen, float("nan"))
