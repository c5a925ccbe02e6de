"""How fine the small pictures of each camera are: one size for all scenes that it is in.

A frame is made small once, when it arrives, whatever scenes it goes to.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.core.errors import ModelError
from pipeline.core.sample import Modality
from pipeline.models.picture import grid_shape
from pipeline.models.scene_model import SceneModel


def cells_of_cameras(models: Mapping[str, SceneModel]) -> dict[str, int]:
    """Cells of the pictures of each camera, by stream.

    Args:
        models: Model per scene.

    Raises:
        ModelError: Two scenes that share a camera have learnt pictures of another size.
    """
    found: dict[str, tuple[str, int, tuple[int, int]]] = {}
    for scene, model in models.items():
        cells = model.settings.picture_cells
        for info in (stream.info for stream in model.streams):
            if info.modality is not Modality.VIDEO:
                continue
            height, width, _ = info.shape
            grid = grid_shape(height, width, cells)
            other, others, as_theirs = found.setdefault(info.name, (scene, cells, grid))
            if grid != as_theirs:
                raise ModelError(
                    f"the model of scene {other!r} learnt pictures of {others} cells, that of "
                    f"scene {scene!r} of {cells}, but both use this camera",
                    where=info.name,
                    fix="commission one of them again, with the picture_cells of the other",
                )
    return {stream: cells for stream, (_, cells, _) in found.items()}
