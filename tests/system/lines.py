"""Machines that are network namespaces of this one, and lines between them that are not perfect.

A line has a TUN device at each end and a thread that carries packets from one to the other
through a `LineQueue`. So it needs root and ``/dev/net/tun``, but not the kernel's ``netem``,
which many kernels lack, and is the same everywhere. The thread adds some 0.1 ms of its own.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import struct
import subprocess
import threading
import time
from contextlib import ExitStack
from typing import Self

from tests.requirements import missing
from tests.system.line_queue import LineQueue, Way

TUN = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_LARGEST = 65_536


def require_lines() -> None:
    """Skip, or fail where nothing may be skipped, on a machine that cannot have lines."""
    if why := hindrance():
        missing(why)


def hindrance() -> str:
    """Why this machine cannot have lines, in words; empty when it can."""
    if shutil.which("ip") is None:
        return "the program 'ip' is not installed"
    try:
        with Machine("try") as near, Machine("other") as far, Line(0, near, far):
            return ""
    except OSError as error:
        return f"no lines can be laid here: {error}"
    except subprocess.CalledProcessError as error:
        return f"no network namespaces can be made here: {error.stderr.decode().strip()}"


class Machine:
    """A network namespace; everything else is shared with the machine it is on.

    Args:
        name: What it is, unique in this process.
    """

    def __init__(self, name: str) -> None:
        self.namespace = f"fusewatch-{os.getpid()}-{name}"
        self._opened = ExitStack()

    def command(self, *command: str) -> list[str]:
        """The command that runs `command` there."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            run_ip("netns", "add", self.namespace)
            opened.callback(run_ip, "netns", "del", self.namespace)
            run_ip("-n", self.namespace, "link", "set", "lo", "up")
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()


class Line:
    """A line between two machines.

    Args:
        number: Its number among the lines of this process, 0 to 255: it gives the addresses.
        near: The machine at one end.
        far: The machine at the other.
        there: From near to far.
        back: From far to near.

    Attributes:
        machines: Both.
        near_address: IPv4 address of the near end.
        far_address: IPv4 address of the far end.
        there: Packets from near to far; their `way` may be replaced while they go.
        back: Packets from far to near; likewise.
    """

    def __init__(
        self,
        number: int,
        near: Machine,
        far: Machine,
        there: Way | None = None,
        back: Way | None = None,
    ) -> None:
        self.machines = near, far
        self.near_address, self.far_address = f"10.77.{number}.1", f"10.77.{number}.2"
        self.there = LineQueue(there or Way(), seed=2 * number)
        self.back = LineQueue(back or Way(), seed=2 * number + 1)
        self._ends = (
            (f"{number}a", near, self.near_address),
            (f"{number}b", far, self.far_address),
        )
        self._opened = ExitStack()

    def cut(self) -> None:
        """Nothing comes through any more, in either direction; nobody is told."""
        self.there.cut = self.back.cut = True

    def mend(self) -> None:
        """Undo `cut`."""
        self.there.cut = self.back.cut = False

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            near, far = (self._end(opened, *end) for end in self._ends)
            stop = os.eventfd(0, os.EFD_CLOEXEC)
            opened.callback(os.close, stop)
            carrier = threading.Thread(target=self._carry, args=(near, far, stop), daemon=True)
            carrier.start()
            opened.callback(carrier.join)
            opened.callback(os.eventfd_write, stop, 1)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    @staticmethod
    def _end(opened: ExitStack, end: str, machine: Machine, address: str) -> int:
        """Make a device, which lives as long as its file is open, and move it to its machine."""
        device = f"fw{os.getpid()}n{end}"
        file = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        opened.callback(os.close, file)
        fcntl.ioctl(
            file, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI)
        )
        run_ip("link", "set", device, "netns", machine.namespace)
        run_ip("-n", machine.namespace, "address", "add", f"{address}/30", "dev", device)
        run_ip("-n", machine.namespace, "link", "set", device, "up")
        return file

    def _carry(self, near: int, far: int, stop: int) -> None:
        ways = ((near, self.there, far), (far, self.back, near))
        while True:
            wait_s = _wait_s([queue.due_ns for _, queue, _ in ways], time.monotonic_ns())
            ready, _, _ = select.select([near, far, stop], [], [], wait_s)
            if stop in ready:
                return
            for source, queue, target in ways:
                while source in ready and (packet := _read(source)):
                    queue.push(packet, time.monotonic_ns())
                for packet in queue.pop(time.monotonic_ns()):
                    os.write(target, packet)


def _wait_s(due_ns: list[int | None], now_ns: int) -> float | None:
    known = [due for due in due_ns if due is not None]
    return max(0.0, (min(known) - now_ns) / 1e9) if known else None


def _read(device: int) -> bytes:
    """One packet; empty when there is none."""
    try:
        return os.read(device, _LARGEST)
    except BlockingIOError:
        return b""


def run_ip(*arguments: str) -> None:
    """Run the program ``ip``, which changes interfaces, addresses and routes.

    Raises:
        CalledProcessError: It failed; what it said is its ``stderr``.
    """
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)
