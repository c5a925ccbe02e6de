"""What this machine has of what fusewatch can use, and what to do about the rest.

Each check gives findings: *ok*, *note* (not there, only needed for some deployments) or
*problem* (something that cannot work as it is).
"""

from __future__ import annotations

import platform
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import av
import cv2
import zmq

from pipeline import __version__
from pipeline.config.deployment import AlertSettings
from pipeline.config.fusion_settings import FusionSettings
from pipeline.core.errors import DependencyMissing, PluginError, SourceUnavailable
from pipeline.core.extras import installing, lacking, packages, pip
from pipeline.plugins import Family
from pipeline.sinks.base import SINKS
from pipeline.sources.base import SOURCES
from pipeline.sources.video_devices import list_cameras

DECODERS = {
    "h264": "most IP cameras",
    "hevc": "newer IP cameras",
    "mjpeg": "webcams and older IP cameras",
    "mpeg4": "old footage",
    "aac": "sound of files and newer IP cameras",
    "pcm_alaw": "sound of IP cameras (G.711)",
    "pcm_mulaw": "sound of IP cameras (G.711)",
    "adpcm_g726": "sound of older IP cameras",
    "opus": "sound of WebRTC cameras",
    "mp3": "sound of files",
}


class Level(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is there or is not.

    Attributes:
        about: What was looked at.
        level: How it is meant.
        text: What was found.
        fix: What to do about it; empty when nothing need be done.
    """

    about: str
    level: Level
    text: str
    fix: str = ""


def examine(addresses: Mapping[str, str] | None = None) -> list[Finding]:
    """Look at everything.

    Args:
        addresses: Where nodes listen, by node; None: as they do by default.
    """
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        versions,
        extras,
        plug_ins,
        cameras,
        audio_inputs,
        codecs,
        lambda: ports(addresses),
    )
    return [finding for check in checks for finding in check()]


def versions() -> Iterator[Finding]:
    """Versions of what everything stands on."""
    libav = ".".join(map(str, av.library_versions["libavformat"]))
    for name, version in (
        ("fusewatch", __version__),
        ("Python", platform.python_version()),
        ("PyAV", f"{av.__version__}, libavformat {libav}"),
        ("OpenCV", str(cv2.__version__)),
        ("ZeroMQ", f"{zmq.zmq_version()}, CURVE {'yes' if zmq.has('curve') else 'no'}"),
    ):
        yield Finding(name, Level.OK, version)
    if not zmq.has("curve"):
        yield Finding(
            "encryption",
            Level.PROBLEM,
            "this ZeroMQ was built without CURVE",
            f"install pyzmq from its wheel: {pip()} install --force-reinstall pyzmq",
        )


def extras() -> Iterator[Finding]:
    """Which optional parts are installed."""
    for extra, names in packages().items():
        if absent := lacking(extra):
            text = f"lacks {', '.join(absent)}"
            yield Finding(f"extra {extra}", Level.NOTE, text, installing(extra))
        else:
            yield Finding(f"extra {extra}", Level.OK, ", ".join(names))


def plug_ins() -> Iterator[Finding]:
    """Kinds of sources and sinks, those of other packages included."""
    for family in (SOURCES, SINKS):
        yield Finding(family.name, Level.OK, ", ".join(_usable(family)))


def cameras() -> Iterator[Finding]:
    """Video devices of this machine."""
    found = list_cameras()
    for camera in found:
        if camera.readable:
            yield Finding(f"camera {camera.path}", Level.OK, camera.name)
        else:
            yield Finding(
                f"camera {camera.path}",
                Level.PROBLEM,
                f"{camera.name}: no permission to open it",
                "sudo usermod -aG video $USER, then log in again",
            )
    if not found:
        yield Finding(
            "cameras",
            Level.NOTE,
            "no video device",
            "plug one in; in a container pass it through with --device /dev/video0",
        )


def audio_inputs() -> Iterator[Finding]:
    """Sound inputs of this machine."""
    try:
        from pipeline.sources.sound_devices import list_audio_inputs

        found = list_audio_inputs()
    except ModuleNotFoundError:
        yield Finding(
            "sound inputs",
            Level.NOTE,
            "sounddevice is not installed",
            installing("audio"),
        )
        return
    except (DependencyMissing, SourceUnavailable) as error:
        yield Finding("sound inputs", Level.NOTE, error.message, error.fix)
        return
    for device in found:
        text = f"{device.name}, {device.channels} channels, {device.hz:g} Hz"
        text += ", the default" if device.default else ""
        yield Finding(f"sound input {device.index}", Level.OK, text)
    if not found:
        yield Finding(
            "sound inputs",
            Level.NOTE,
            "no sound input",
            "plug a microphone in, or start the sound server of this user",
        )


def codecs() -> Iterator[Finding]:
    """What network streams and files can be decoded."""
    there = [name for name in DECODERS if _decodes(name)]
    yield Finding("decoders", Level.OK, ", ".join(there))
    for name in DECODERS.keys() - set(there):
        fix = f"install PyAV from its wheel: {pip()} install --force-reinstall av"
        yield Finding(f"decoder {name}", Level.NOTE, f"missing: {DECODERS[name]}", fix)


def ports(addresses: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """Whether the ports that nodes listen on are free."""
    usual = {"fusion": FusionSettings().listen, "alert": AlertSettings().listen}
    for node, address in (addresses or usual).items():
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        if not port.isdigit():  # ipc://, inproc://
            continue
        host = host.strip("[]").replace("*", "0.0.0.0")
        if _is_free(host, int(port)):
            yield Finding(f"port {port}", Level.OK, f"free for the {node} node")
        else:
            yield Finding(
                f"port {port}",
                Level.NOTE,
                "in use",
                f"fine if the {node} node runs here; else set {node}.listen to another port",
            )


def _usable(family: Family) -> list[str]:
    """Kinds of a family, those that lack something in brackets."""
    names = []
    for kind in family.kinds():
        try:
            family.settings(kind)
        except (DependencyMissing, PluginError):
            names.append(f"({kind})")
        else:
            names.append(kind)
    return names


def _decodes(name: str) -> bool:
    try:
        av.Codec(name, "r")
    except (ValueError, av.error.FFmpegError):
        return False
    return True


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
