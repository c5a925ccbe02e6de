"""PortAudio, and the sound inputs of this machine as it lists them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.core.errors import DependencyMissing, SourceUnavailable

try:
    import sounddevice as portaudio
except OSError as missing:  # the package is there, the C library behind it is not
    raise DependencyMissing(
        "microphones need the PortAudio library", fix="install it: apt install libportaudio2"
    ) from missing

__all__ = ["AudioInput", "advice", "list_audio_inputs", "portaudio"]


@dataclass(frozen=True, slots=True)
class AudioInput:
    """A sound input as PortAudio lists it.

    Attributes:
        index: Its number; may change when devices come and go.
        name: Its name.
        channels: Most channels it records.
        hz: Its own rate.
        default: Whether it is used when no device is named.
    """

    index: int
    name: str
    channels: int
    hz: float
    default: bool


def list_audio_inputs() -> list[AudioInput]:
    """Every sound input there is now.

    Raises:
        SourceUnavailable: The sound system does not answer.
    """
    try:
        with _silent_stderr():
            devices, default = portaudio.query_devices(), portaudio.default.device[0]
    except portaudio.PortAudioError as error:
        raise SourceUnavailable(f"the sound system does not answer: {error}") from error
    return [
        AudioInput(
            index=d["index"],
            name=d["name"],
            channels=d["max_input_channels"],
            hz=d["default_samplerate"],
            default=d["index"] == default,
        )
        for d in devices
        if d["max_input_channels"] > 0
    ]


def advice() -> str:
    """What to write when a sound input could not be opened."""
    try:
        names = ", ".join(f"{d.index}: {d.name}" for d in list_audio_inputs())
    except SourceUnavailable:
        names = ""
    return f"inputs here: {names}" if names else "there is no sound input here now"


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keep ALSA's remarks about devices that are not there off the terminal."""
    saved = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
