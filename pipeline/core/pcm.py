"""Sound as 16-bit PCM."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def pcm_of_floats(sound: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """Samples between -1 and 1 as int16, louder ones cut off; what is no number is silent."""
    scaled = np.clip(np.nan_to_num(sound), -1.0, 1.0) * 32767
    return np.asarray(np.rint(scaled), np.int16)


def pcm_of(sound: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """Samples as int16: floats lie between -1 and 1, integers reach as far as their type does."""
    if np.issubdtype(sound.dtype, np.floating):
        return pcm_of_floats(sound)
    spare = sound.dtype.itemsize * 8 - 16
    if spare < 0:
        return np.asarray(sound.astype(np.int16) * 256, np.int16)
    return np.asarray(sound // 2**spare, np.int16)
