"""One process of a name on one data folder: an advisory lock for each.

The lock is `flock` on ``<data>/locks/<name>.lock``. It belongs to the open file, so the kernel
lets go of it when the process ends, however it ends; the file stays and means nothing by
itself. The holder writes its process id into it, for those who come second.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog

from pipeline.core.errors import AlreadyRunning, StoreError

FOLDER = "locks"
_POLL_S = 0.1
_TRIES, _PAUSE_S = 10, 0.02  # `holders` takes each lock for an instant

log = structlog.get_logger(__name__)


@contextmanager
def hold(data: Path, name: str) -> Iterator[None]:
    """Be the only process of this name on this data folder while the block runs.

    Args:
        data: Data folder of a deployment; made when absent, for its owner alone, as pictures
            and sound of rooms lie in it.
        name: Name of the process, such as ``fusion``.

    Raises:
        AlreadyRunning: Another process is; it tells which.
        StoreError: The folder cannot be written, or its file system has no locks.
    """
    file = _open(data, name)
    try:
        if not _locked_soon(file, data):
            raise _error(data, name, _pid(file))
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(file)


def holders(data: Path) -> dict[str, int]:
    """Processes that hold a lock on this folder: pid by name, 0 where it is not known."""
    found = {}
    for path in sorted((data / FOLDER).glob("*.lock")):
        file = os.open(path, os.O_RDONLY)
        try:
            if not _locked(file, data):
                found[path.stem] = _pid(file)
        finally:
            os.close(file)
    return found


def wait_until_free(
    data: Path,
    names: Sequence[str],
    patience_s: float,
    *,
    now_s: Callable[[], float] = time.monotonic,
) -> None:
    """Wait for processes of these names to end, such as those of a run that was just killed.

    Args:
        data: Data folder of a deployment.
        names: Names of processes.
        patience_s: Longest wait, seconds.
        now_s: Monotonic seconds.

    Raises:
        AlreadyRunning: One of them still runs.
    """
    until_s = now_s() + patience_s
    told = False
    while left := {name: pid for name, pid in holders(data).items() if name in names}:
        name, pid = next(iter(left.items()))
        if now_s() >= until_s:
            raise _error(data, name, pid)
        if not told:
            log.warning("waiting for the nodes of an earlier run to end", pids=left)
            told = True
        time.sleep(_POLL_S)


def _open(data: Path, name: str) -> int:
    path = data / FOLDER / f"{name}.lock"
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(
            f"cannot write into the data folder: {error.strerror}",
            where=str(data),
            fix="check 'data' in the deployment, the folder's owner and its permissions",
        ) from error


def _locked_soon(file: int, data: Path) -> bool:
    for _ in range(_TRIES):
        if _locked(file, data):
            return True
        time.sleep(_PAUSE_S)
    return False


def _locked(file: int, data: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StoreError(
            f"its file system cannot lock files: {error.strerror}",
            where=str(data),
            fix="put 'data' on a local disk",
        ) from error
    return True


def _error(data: Path, name: str, pid: int) -> AlreadyRunning:
    what = f"'fusewatch {name}'" if name == "run" else name
    who = f"process {pid}" if pid else "another process"
    stop = f"kill {pid}" if pid else "see 'fuser' on its lock file"
    return AlreadyRunning(
        f"{who} runs {what} on this data folder already",
        where=str(data),
        fix=f"stop that one ({stop}), or give this deployment a 'data' folder of its own",
    )


def _pid(file: int) -> int:
    text = os.pread(file, 32, 0).decode(errors="replace").strip()
    return int(text) if text.isdecimal() else 0
