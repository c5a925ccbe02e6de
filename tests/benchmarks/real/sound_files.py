"""Real sounds for the benchmarks: read them, draw long stretches from short ones, mix at an SNR.

Recordings of ambience are seconds to two minutes long. A longer stretch is *drawn*: pieces from
random places of one portion of a file, faded into each other. It is no more independent than
the portion is long, so who judges by it must say how long that is, and must never draw what is
learnt and what is judged from the same portion.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import RecordingError
from pipeline.recording.import_audio import AudioInput

Sound = npt.NDArray[np.float32]

RATE_HZ = 16_000
PIECE_S = (3.0, 8.0)
FADE_S = 0.25
ACTIVE_DB = 30.0  # below the loudest frame a sound counts as silent
FRAME_S = 0.02
SHORTEST_S = 0.1  # a clip with less sound than this is not one
LONGEST_S = 4.0  # a longer clip is cut into several
_DCASE = "dcase2016_office/train/sound"
_SCAPER = "scaper_samples/audio/foreground"


@dataclass(frozen=True, slots=True)
class Clip:
    """One sound.

    Attributes:
        name: Name of its file, without the ending.
        samples: ``(n,)`` at `RATE_HZ`, without silence at either end.
    """

    name: str
    samples: Sound

    @property
    def length_s(self) -> float:
        """How long it is, seconds."""
        return len(self.samples) / RATE_HZ


def read_sound(path: Path) -> Sound:
    """A file as one channel at `RATE_HZ`, float32 ``(n,)`` in -1 to 1.

    Raises:
        RecordingError: It holds no sound.
    """
    sound = AudioInput("sound", path, rate_hz=RATE_HZ)
    chunks = [np.asarray(sample.data, np.float32) for _, sample in sound.samples(0)]
    if not chunks:
        raise RecordingError("the file holds no sound", where=str(path))
    return np.asarray(np.concatenate(chunks).mean(axis=1) / 32768.0, np.float32)


def clips_by_kind(data: Path) -> dict[str, list[Clip]]:
    """All sounds of short events under the folder of recordings, by their kind.

    Kinds and clips are in the order of their names; a folder that is not there gives none.
    """
    found: defaultdict[str, list[Clip]] = defaultdict(list)
    for kind, path in sorted(_event_files(data), key=lambda pair: (pair[0], pair[1].name)):
        found[kind] += _clips(path.stem, trimmed(read_sound(path)))
    return dict(found)


def _clips(name: str, samples: Sound) -> list[Clip]:
    pieces = np.array_split(samples, max(1, -(-len(samples) // round(LONGEST_S * RATE_HZ))))
    if len(pieces) > 1:
        pieces = [trimmed(piece) for piece in pieces]
    return [Clip(name, piece) for piece in pieces if len(piece) >= SHORTEST_S * RATE_HZ]


def _event_files(data: Path) -> list[tuple[str, Path]]:
    office = [(p.stem.rstrip("0123456789"), p) for p in (data / _DCASE).glob("*.wav")]
    single = [(p.stem.replace("-", " "), p) for p in (data / "max_samples").glob("*.wav")]
    folders = [(p.parent.name.replace("_", " "), p) for p in (data / _SCAPER).glob("*/*.wav")]
    barks = [("dog bark", p) for p in (data / "scaper_samples/lufs").glob("dogbark.wav")]
    return office + single + folders + barks


def trimmed(samples: Sound) -> Sound:
    """Without what is `ACTIVE_DB` under the loudest frame at either end."""
    active = np.flatnonzero(_active(samples))
    if not len(active):
        return samples[:0]
    size = round(FRAME_S * RATE_HZ)
    return samples[active[0] * size : (active[-1] + 1) * size]


def active_power(samples: Sound) -> float:
    """Mean power over the frames that are no more than `ACTIVE_DB` under the loudest."""
    active = _active(samples)
    return float(_powers(samples)[active].mean()) if active.any() else 0.0


def _active(samples: Sound) -> npt.NDArray[np.bool_]:
    powers = _powers(samples)
    loudest = powers.max(initial=0.0)
    return np.asarray((powers > 0) & (powers >= loudest * 10 ** (-ACTIVE_DB / 10)))


def _powers(samples: Sound) -> npt.NDArray[np.float64]:
    size = round(FRAME_S * RATE_HZ)
    whole = samples[: len(samples) // size * size].reshape(-1, size)
    return np.asarray(np.square(whole, dtype=np.float64).mean(axis=1))


def drawn(portion: Sound, length: int, random: np.random.Generator) -> Sound:
    """A stretch of `length` samples from random pieces of `portion`.

    Pieces are 3 to 8 s long, or as long as the portion allows, and fade into each other with
    constant power, so that a seam is no louder or quieter than what is around it.
    """
    fade = round(FADE_S * RATE_HZ)
    rise = np.sin(np.linspace(0.0, np.pi / 2, fade, dtype=np.float32))
    found = np.zeros(length + fade + round(PIECE_S[1] * RATE_HZ), np.float32)
    at = 0
    while at < length + fade:
        size = min(round(random.uniform(*PIECE_S) * RATE_HZ), len(portion))
        begin = int(random.integers(0, len(portion) - size + 1))
        piece = portion[begin : begin + size].copy()
        piece[:fade] *= rise
        piece[-fade:] *= rise[::-1]
        found[at : at + size] += piece
        at += size - fade
    return found[fade : fade + length]


def add_clip(track: Sound, clip: Clip, at: int, snr_db: float, background: Sound) -> None:
    """Add a clip to `track`, in place.

    Args:
        track: What it is added to, ``(n,)``.
        clip: The sound; must end before the track does.
        at: First sample.
        snr_db: Active power of the clip against the power of `background` in the clip's span.
        background: What the power is measured of, ``(n,)``: the track before anything was added.
    """
    span = slice(at, at + len(clip.samples))
    behind = float(np.square(background[span], dtype=np.float64).mean())
    gain = np.sqrt(behind / active_power(clip.samples) * 10 ** (snr_db / 10))
    track[span] += np.float32(gain) * clip.samples


def moments(length: int, every: int, longest: int, random: np.random.Generator) -> list[int]:
    """First samples of events at random places, one in each stretch of `every` samples.

    No event of up to `longest` samples reaches into the next one's stretch.
    """
    room = every - longest
    starts = range(0, length - every + 1, every)
    return [start + int(random.integers(0, max(1, room))) for start in starts]
