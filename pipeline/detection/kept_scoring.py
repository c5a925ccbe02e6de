"""The state of a scene's scoring as it lies in the store, for who looks into it without a model.

Fields may be added: one that an older fusewatch did not write has its default, and one that it
does not know is left out. Nothing here needs torch: the page and ``fusewatch events`` read it.
"""

from __future__ import annotations

import msgspec

from pipeline.core.errors import StoreError, StoreVersionError
from pipeline.detection.live_rate import Span, Watched
from pipeline.detection.recalibration import RecalibrationState
from pipeline.detection.verdict_row import Level

STATE_VERSION = 1


class ScoringState(msgspec.Struct, omit_defaults=True):
    """Everything the scoring of a scene remembers.

    Attributes:
        version: Of this layout.
        scene: Name of the scene.
        model: Digest of its model: what was learnt of another one's scores says nothing.
        watched: When the scene was watched, see `Watched`.
        recalibration: See `Recalibrator`; None when it is off.
        past: The latest windows, see `Past.state`.
        running: Levels of the last hours, see `RunningLevels.state`.
        standing: What stands still before the cameras, see `SceneStanding.state`.
        row: Scores of the latest windows, while recalibration is off.
    """

    version: int
    scene: str
    model: str = ""
    watched: list[Span] = []
    recalibration: RecalibrationState | None = None
    past: bytes = b""
    running: bytes = b""
    standing: bytes = b""
    row: list[Level] = []


_DECODER = msgspec.msgpack.Decoder(ScoringState)


def watched_in(scene: str, data: bytes) -> Watched:
    """When a scene was watched, from the bytes of its scoring state; never when they are empty.

    Raises:
        StoreError: The bytes are not the scoring state of this scene.
    """
    return Watched(read_state(scene, data).watched) if data else Watched()


def read_state(scene: str, data: bytes) -> ScoringState:
    """What was kept of a scene's scoring.

    Raises:
        StoreError: The bytes are not the scoring state of this scene.
    """
    try:
        state = _DECODER.decode(data)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the saved scoring state cannot be read: {error}", where=scene) from error
    if (state.version, state.scene) != (STATE_VERSION, scene):
        raise StoreVersionError(
            f"the saved scoring state is of scene {state.scene!r}, version {state.version}; "
            f"this fusewatch reads version {STATE_VERSION}",
            where=scene,
            fix="use the fusewatch that wrote it, or start with another 'data' folder",
        )
    return state
