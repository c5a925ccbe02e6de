"""What a machine gives beyond devices and packages: its GPU, its disk and its clock."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from nodes.doctor import Finding, Level

LITTLE_GB, TOO_LITTLE_GB = 10.0, 1.0
TIME_ERROR = 5
"""What adjtimex(2) returns for a clock that nothing keeps."""
DOUBTFUL_S = 0.1
_TIMEX_BYTES = 208  # struct timex of Linux, on 64-bit machines


def gpu(wanted: str = "auto") -> Iterator[Finding]:
    """Whether the models find a GPU, and whether the deployment asks for one.

    Args:
        wanted: ``fusion.device`` of the deployment.
    """
    try:
        import torch
    except ModuleNotFoundError:
        return  # a machine that only captures; the extra says so
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(number)
            memory = f"{device.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
            yield Finding(f"GPU {number}", Level.OK, f"{device.name}, {memory}")
        return
    built = torch.version.cuda
    lacking = "see that nvidia-smi lists it" if built else "install torch's build with CUDA"
    if wanted == "cuda":
        fix = f"{lacking}; or fusion.device: auto"
        yield Finding("GPU", Level.PROBLEM, "fusion.device is cuda, and torch finds none", fix)
    else:
        yield Finding("GPU", Level.NOTE, "none: models run on the CPU", f"to use one, {lacking}")


def disk(folder: Path) -> Iterator[Finding]:
    """Whether there is room where things are kept, and whether they may be kept there."""
    there, free_gb = _existing(folder), free_bytes(folder) / 2**30
    text = f"{free_gb:.1f} GiB free at {folder}"
    fix = "recordings and evidence need it: make room, or another `data`; limits: `retention`"
    if not os.access(there, os.W_OK | os.X_OK):
        fix = f"as root: chown {os.environ.get('USER', 'USER')} {there}; or name another `data`"
        yield Finding("disk", Level.PROBLEM, f"no permission to write into {there}", fix)
    elif free_gb < TOO_LITTLE_GB:
        yield Finding("disk", Level.PROBLEM, text, fix)
    else:
        little = free_gb < LITTLE_GB
        yield Finding("disk", Level.NOTE if little else Level.OK, text, fix if little else "")


def free_bytes(folder: Path) -> int:
    """What is free on the disk that a folder lies on, or will lie on."""
    return shutil.disk_usage(_existing(folder)).free


def clock(read: Callable[[], tuple[int, float] | None] | None = None) -> Iterator[Finding]:
    """Whether something keeps the system clock right, and how well.

    Args:
        read: Returns the clock's state and how far it may be off, seconds; None: the kernel.
    """
    found = (read or _kernel_clock)()
    if found is None:
        return
    state, off_s = found
    fix = "timedatectl set-ntp true, or chrony; in a container it is the host's to do"
    if state == TIME_ERROR:
        text = "nothing keeps it right: events will be dated by it all the same"
        yield Finding("clock", Level.NOTE, text, fix)
    elif off_s > DOUBTFUL_S:
        yield Finding("clock", Level.NOTE, f"may be {off_s:.2g} s off", fix)
    else:
        yield Finding("clock", Level.OK, f"kept right to within {off_s * 1e3:.2g} ms")


def _kernel_clock() -> tuple[int, float] | None:
    """State and largest error of the kernel's clock, adjtimex(2); None where there is none."""
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_long) != 8:
        return None
    fields = (ctypes.c_long * (_TIMEX_BYTES // 8))()  # modes 0 reads; maxerror, us, is the fourth
    state = int(ctypes.CDLL(None).adjtimex(ctypes.byref(fields)))
    return None if state < 0 else (state, fields[3] / 1e6)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
