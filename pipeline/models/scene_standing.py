"""What stands still before the cameras of a scene, from window to window.

Windows overlap, and the map of a camera is to see every moment once: each window adds the
newest of its views, by the time since the window before. So what stands is a function of the
windows in their order, however they are shared out to calls, and goes on from its saved bytes
as if nothing had happened. A gap counts little, not more than windows are apart by themselves.
Pictures that cannot be trusted are left out: those in a light that was never seen, and all while
the camera is degraded.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Self

import msgspec
import numpy as np

from pipeline.core.errors import StoreError
from pipeline.models.background import Background
from pipeline.models.features import StreamFeatures
from pipeline.models.standing import StandingMap

_LONGEST_STEP_S = 5.0  # where windows are nearer to each other than that


class Standing:
    """Follows what stands before one camera.

    Args:
        background: The place as it was learnt.
        hop_ns: Step from one window to the next, as set.
    """

    def __init__(self, background: Background, hop_ns: int = 0) -> None:
        self.map = StandingMap(*background.middle.shape[:2])
        self.at_ns = 0
        self._background = background
        self._longest_s = max(_LONGEST_STEP_S, hop_ns / 1e9)

    def follow(self, features: StreamFeatures, start_ns: int, clear: bool = True) -> StreamFeatures:
        """The features with what is background by then; takes them in.

        A window that is not later than the last one is not taken in.

        Args:
            features: What the camera showed in a window.
            start_ns: Site time of the window's first moment.
            clear: Whether the camera saw well.
        """
        shown = replace(features, stood=self.map.stood)
        seconds = min((start_ns - self.at_ns) / 1e9, self._longest_s)
        if seconds > 0:
            self.at_ns = start_ns
            if clear and features.views:
                self._see(features.views[-1], seconds)
        return shown

    def _see(self, view: bytes, seconds: float) -> None:
        seen = self._background.against(view)
        if not seen.covered:
            self.map.see(seen.level, seen.differs, seconds)


class _Kept(msgspec.Struct, frozen=True):
    """One camera's map as bytes."""

    at_ns: int
    colours: bytes
    stood_s: bytes
    still_s: bytes
    there: bytes


_KEPT_DECODER = msgspec.msgpack.Decoder(dict[str, _Kept])


class SceneStanding:
    """What stands before all cameras of a scene.

    Args:
        backgrounds: By name of the stream.
        hop_ns: Step from one window to the next, as set.
    """

    def __init__(self, backgrounds: Mapping[str, Background], hop_ns: int = 0) -> None:
        self._standing = {name: Standing(one, hop_ns) for name, one in backgrounds.items()}

    @property
    def hiding(self) -> frozenset[str]:
        """Streams in whose pictures something is background because it stood."""
        return frozenset(n for n, one in self._standing.items() if one.map.stood is not None)

    def follow(
        self, features: Mapping[str, StreamFeatures], start_ns: int, degraded: Collection[str]
    ) -> dict[str, StreamFeatures]:
        """As `Standing.follow`, for one window's features by stream.

        Args:
            features: Of the window.
            start_ns: Site time of its first moment.
            degraded: Streams that did not see well in it.
        """
        return {
            name: self._standing[name].follow(one, start_ns, name not in degraded)
            if name in self._standing
            else one
            for name, one in features.items()
        }

    def state(self) -> bytes:
        """Everything remembered."""
        kept = {
            name: _Kept(
                one.at_ns,
                zlib.compress(one.map.colours.tobytes(), 1),
                zlib.compress(one.map.stood_s.tobytes(), 1),
                zlib.compress(one.map.still_s.tobytes(), 1),
                zlib.compress(one.map.there.tobytes(), 1),
            )
            for name, one in self._standing.items()
        }
        return msgspec.msgpack.encode(kept)

    def restore(self, state: bytes) -> Self:
        """Go on from `state`'s bytes.

        Raises:
            StoreError: They are not what stands in such a scene.
        """
        try:
            kept = _KEPT_DECODER.decode(state)
            if kept.keys() != self._standing.keys():
                raise ValueError("it is of other streams")
            for name, one in kept.items():
                _restore(self._standing[name], one)
        except (msgspec.MsgspecError, ValueError, zlib.error) as error:
            raise StoreError(f"what was saved to stand still cannot be read: {error}") from error
        return self


def _restore(standing: Standing, kept: _Kept) -> None:
    """Fill a map from its bytes.

    Raises:
        ValueError: They are of another size.
    """
    found, shape = standing.map, standing.map.colours.shape
    colours = np.frombuffer(zlib.decompress(kept.colours), np.uint8).reshape(shape)
    stood_s = np.frombuffer(zlib.decompress(kept.stood_s), np.float32).reshape(shape[:3])
    still_s = np.frombuffer(zlib.decompress(kept.still_s), np.float32).reshape(shape[:3])
    there = np.frombuffer(zlib.decompress(kept.there), np.bool_).reshape(shape[:3])
    found.colours, found.stood_s = colours.copy(), stood_s.copy()
    found.still_s = still_s.copy()
    found.hide(there.copy())
    standing.at_ns = kept.at_ns
