"""What the doctor sees of clock and GPU, and of a deployment on this machine: disk and models."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from nodes.doctor import Finding, Level
from pipeline.config.deployment import Deployment
from pipeline.core.errors import FusewatchError

GB = 1e9
LEAST_FREE_GB = 1.0
_TIMEX = struct.Struct("@Iqqqqi")  # modes, offset, freq, maxerror, esterror, status; then more
_ROOM = 512  # of the kernel's structure, bytes; more than it has
_ERROR, _UNSYNC = 5, 0x40  # TIME_ERROR, STA_UNSYNC of <linux/timex.h>

KernelClock = Callable[[], tuple[bool, float]]


def kernel_clock() -> tuple[bool, float]:
    """Whether something keeps the system clock, and how far it may be off, seconds.

    Raises:
        OSError: The kernel does not tell.
    """
    room = ctypes.create_string_buffer(_ROOM)
    state = ctypes.CDLL(None, use_errno=True).adjtimex(room)
    if state < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    _, _, _, most_us, _, status = _TIMEX.unpack_from(room.raw)
    return state != _ERROR and not status & _UNSYNC, most_us / 1e6


def clock(kernel: KernelClock = kernel_clock) -> Iterator[Finding]:
    """Whether the system clock is kept right, by which events are dated."""
    try:
        kept, most_s = kernel()
    except (OSError, AttributeError) as error:
        yield Finding("clock", Level.NOTE, f"the kernel does not tell how it is kept: {error}")
        return
    if kept:
        yield Finding("clock", Level.OK, f"kept by NTP, off by {most_s * 1e3:.0f} ms at most")
    else:
        yield Finding(
            "clock",
            Level.NOTE,
            "nothing keeps the system clock: events will be dated by it",
            "timedatectl set-ntp true, or chrony. Streams of several machines fit together all "
            "the same: their clocks are measured",
        )


def gpu() -> Iterator[Finding]:
    """What torch computes on, where it is installed."""
    if find_spec("torch") is None:
        return
    import torch

    if not torch.cuda.is_available():
        text = f"none that torch {torch.__version__} can use: it computes on the CPU"
        yield Finding("GPU", Level.OK, text)
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        text = f"{torch.cuda.get_device_name(number)}, {free / GB:.0f} of {total / GB:.0f} GB free"
        yield Finding(f"GPU {number}", Level.OK, text)


def disk(deployment: Deployment) -> Iterator[Finding]:
    """Whether what may be kept has room."""
    folder = deployment.data
    there = next(one for one in (folder, *folder.parents) if one.exists())
    free_gb = shutil.disk_usage(there).free / GB
    if not os.access(there, os.W_OK | os.X_OK):
        fix = "give it to the user that runs fusewatch, or set 'data' to another folder"
        yield Finding("disk", Level.PROBLEM, f"cannot write into {there}", fix)
    elif free_gb < LEAST_FREE_GB:
        fix = "make room: what cannot be written is not recorded, and not acknowledged"
        yield Finding("disk", Level.PROBLEM, f"{free_gb:.1f} GB free for {folder}", fix)
    else:
        yield Finding("disk", Level.OK, f"{free_gb:.0f} GB free for {folder}")
    record = deployment.fusion.record
    if record is not None and record.max_total_gb > free_gb + _held_gb(record.folder):
        fix = f"fusion.record.max_total_gb: {max(1, int(free_gb // 2))}"
        text = f"recordings may take {record.max_total_gb:g} GB, {free_gb:.0f} GB are free"
        yield Finding("recordings", Level.PROBLEM, text, fix)
    if deployment.retention is None or deployment.retention.evidence is None:
        text = "pictures, clips and sound of events are kept for ever"
        yield Finding("evidence", Level.NOTE, text, "retention: {evidence: 90d}")


def models(deployment: Deployment) -> Iterator[Finding]:
    """Each scene's model beside the streams that the scene has now."""
    for name, scene in deployment.scenes.items():
        about = f"model of {name}"
        if scene.model is None or not scene.model.exists():
            fix = "fusewatch commission --live CONFIG"
            yield Finding(about, Level.NOTE, "not there: nothing is scored yet", fix)
            continue
        if find_spec("torch") is None:
            text = f"{scene.model}; cannot be read without torch"
            yield Finding(about, Level.NOTE, text, "run the doctor where the fusion node runs")
            continue
        yield _beside(about, scene.model, set(scene.streams))


def _beside(about: str, file: Path, streams: set[str]) -> Finding:
    from pipeline.models.checkpoint import load_model

    try:
        learnt = {stream.info.name for stream in load_model(file).streams}
    except FusewatchError as error:
        return Finding(about, Level.PROBLEM, error.message, error.fix or "commission again")
    if new := sorted(streams - learnt):
        text = f"has not learnt {', '.join(new)}: left out of the scene"
        return Finding(about, Level.PROBLEM, text, "record with all of them and commission again")
    if gone := sorted(learnt - streams):
        text = f"has learnt {', '.join(gone)} as well, which the scene has not"
        return Finding(about, Level.NOTE, text, "add them, or commission again")
    return Finding(about, Level.OK, f"knows {', '.join(sorted(streams))}")


def _held_gb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.glob("*.mcap")) / GB
