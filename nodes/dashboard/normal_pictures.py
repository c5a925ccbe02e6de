"""Small pictures of normal moments, out of the scenes' model files, to compare events with.

They are as they were recorded, less what the deployment masks today.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import structlog
from fastapi import FastAPI, HTTPException, Response

from pipeline.config.deployment import Deployment
from pipeline.core.errors import ModelFileError
from pipeline.models.normal_bank_file import pictures_in
from pipeline.sources.masks import Masks

log = structlog.get_logger(__name__)

MILLISECOND_NS = 1_000_000
_QUALITY = 80
_Pictures = Mapping[tuple[str, int], bytes]


class NormalPictures:
    """Pictures of the models as they are now. May be used by several threads.

    Args:
        deployment: Says which models, and what is masked.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._lock = threading.Lock()
        self._read: dict[Path, tuple[int, _Pictures]] = {}

    def picture(self, scene: str, stream: str, at_ms: int) -> bytes | None:
        """A JPEG of a camera at a normal moment; None when the model has none of it (any more).

        Args:
            scene: The scene whose model it is.
            stream: The camera.
            at_ms: When the moment began, as an explanation says, milliseconds.
        """
        settings = self._deployment.scenes.get(scene)
        if settings is None or settings.model is None:
            return None
        jpeg = self._pictures(settings.model).get((stream, at_ms))
        return None if jpeg is None else self._masked(stream, jpeg)

    def _pictures(self, model: Path) -> _Pictures:
        """Those of a model file, by camera and milliseconds, read anew when it was replaced."""
        try:
            changed_ns = model.stat().st_mtime_ns
            with self._lock:
                known_ns, pictures = self._read.get(model, (0, {}))
                if changed_ns != known_ns:
                    read = pictures_in(model).items()
                    pictures = {(name, at // MILLISECOND_NS): jpeg for (name, at), jpeg in read}
                    self._read[model] = changed_ns, pictures
        except (OSError, ModelFileError) as error:
            what = "no pictures of normal moments"
            log.warning(what, model=str(model), error=str(error), every_s=60)
            return {}
        return pictures

    def _masked(self, stream: str, jpeg: bytes) -> bytes | None:
        zones = self._deployment.stream(stream).mask
        if not zones:
            return jpeg
        try:
            pixels = np.asarray(simplejpeg.decode_jpeg(jpeg, colorspace="BGR"), np.uint8)
        except ValueError:
            return None  # what cannot be masked is not shown
        masked = Masks(zones).apply(pixels)
        return bytes(simplejpeg.encode_jpeg(masked, quality=_QUALITY, colorspace="BGR"))


def add_normal_pictures(app: FastAPI, pictures: NormalPictures, who: Any) -> None:  # noqa: ANN401
    """Let them be asked for by those that `who` lets in, a dependency of FastAPI's."""

    @app.get(
        "/api/scenes/{scene}/normal/{stream}/{at_ms}",
        dependencies=[who],
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}},
    )
    def normal_picture(scene: str, stream: str, at_ms: int) -> Response:
        """A camera's picture at a normal moment that an explanation names."""
        jpeg = pictures.picture(scene, stream, at_ms)
        if jpeg is None:
            raise HTTPException(404, "the scene's model has no picture of this moment")
        return Response(jpeg, media_type="image/jpeg")
