"""What an alarm remembers from window to window, as it is committed."""

from __future__ import annotations

import msgspec

from pipeline.core.elsewhere import elsewhere
from pipeline.core.errors import StoreError, StoreVersionError
from pipeline.core.explanation import Explanation
from pipeline.detection.hop import HopState
from pipeline.detection.listening import Listening
from pipeline.detection.score import WindowScore

STATE_VERSION = 1
"""Of saved states. Fields may be added: one that an older fusewatch did not write has its
default, and one that it does not know is left out."""

SHOWN = 16
"""Explanations of one event that are remembered, each of another place: the latest."""


class Span(msgspec.Struct):
    """A stretch of anomalous windows: a candidate or a standing event.

    `shown` says where its windows over the threshold showed, `listening` which detectors spoke up
    by themselves.
    """

    start_ns: int
    end_ns: int
    peak: WindowScore
    score: float
    shown: list[Explanation] = []
    listening: Listening = msgspec.field(default_factory=Listening)

    def extend(self, score: WindowScore, level: float, threshold: float) -> None:
        """Take in one more window."""
        self.end_ns = score.end_ns
        if level > self.score:
            self.peak, self.score = score, level
        found = score.explanation
        if level >= threshold and found is not None and elsewhere(found, self.shown):
            self.shown = [*self.shown, msgspec.structs.replace(found, maps=())][-SHOWN:]


class AlarmState(msgspec.Struct):
    """Everything an alarm remembers.

    `hops` are those of the last window, `told` the detectors that the last phase named as heard.
    """

    version: int
    scene: str
    alarm: str
    last_index: int | None = None
    last_end_ns: int = 0
    candidate: Span | None = None
    event: Span | None = None
    revision: int = 0
    published_ns: int = 0
    published_end_ns: int = 0
    cleared_ns: int | None = None
    cleared_score: float = 0.0
    cleared_shown: list[Explanation] = []
    hops: int = 1
    told: list[str] = []
    hop: HopState = msgspec.field(default_factory=HopState)


_STATE_DECODER = msgspec.json.Decoder(AlarmState)


def read_state(data: bytes, scene: str) -> AlarmState:
    """Read back the state of the alarm of a scene, which may have had another name.

    Raises:
        StoreError: The bytes are not the state of this scene's alarm.
    """
    try:
        state = _STATE_DECODER.decode(data)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the saved alarm state cannot be read: {error}", where=scene) from error
    if (state.version, state.scene) != (STATE_VERSION, scene):
        raise StoreVersionError(
            f"the saved state is of alarm {state.alarm!r} of scene {state.scene!r}, "
            f"version {state.version}; this fusewatch reads version {STATE_VERSION}",
            where=scene,
            fix="use the fusewatch that wrote it, or start with another 'data' folder",
        )
    return state
