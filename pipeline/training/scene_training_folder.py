"""The folder in which the state of a scene's training lies, so that it can be gone on with.

There is a file per phase, and one that says of which run they are.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pipeline.core.errors import ModelError
from pipeline.core.settings import Settings
from pipeline.models.fusion_model import FusionModel
from pipeline.training.labelled import LabelledScene
from pipeline.training.prepared import PreparedScene

_MANIFEST = "run.json"
_STATES = "phase-{}.safetensors"


def state_file(folder: Path, number: int) -> Path:
    """Where the state of a phase lies, of this number from 0."""
    return folder / _STATES.format(number + 1)


def fingerprint(
    settings: Settings,
    model: FusionModel,
    normal: PreparedScene,
    labelled: LabelledScene | None,
) -> str:
    """What a run must have in common with the one it goes on with."""
    told = hashlib.sha256(settings.model_dump_json().encode())
    told.update(json.dumps(model.names).encode())
    for scene in (normal, None if labelled is None else labelled.scene):
        told.update(b"-" if scene is None else scene.index.tobytes())
    if labelled is not None:
        told.update(json.dumps(labelled.kinds).encode() + labelled.kind.tobytes())
    return told.hexdigest()


def begin(folder: Path, run: str, resume: bool) -> None:
    """Take over the state that lies there, or clear it away.

    Args:
        folder: The folder.
        run: Its `fingerprint`.
        resume: Go on with the run that lies there, if there is one.

    Raises:
        ModelError: It is to be gone on with and is another run.
    """
    manifest = folder / _MANIFEST
    if resume and manifest.exists():
        found = json.loads(manifest.read_text("utf-8"))
        if found != {"run": run}:
            raise ModelError(
                "the run that lies there had other settings, recordings or labels",
                where=str(folder),
                fix="begin anew without --resume",
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(_STATES.format("*")):
        old.unlink()
    manifest.write_text(json.dumps({"run": run}), "utf-8")
