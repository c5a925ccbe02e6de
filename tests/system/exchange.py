"""Machines that all reach each other through an exchange, which can be told to drop packets.

The exchange is a namespace that only routes. A machine hangs on it by a cable of the kernel's, or
by a `Line`. What is cut there is dropped without a word: no interface goes down, nobody is told,
as when a switch between machine rooms fails.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

from tests.system.line_queue import Way
from tests.system.lines import Line, Machine, run_ip

FORWARD = ("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")


class Exchange:
    """See the module. Machines are there from when they are connected until the exit.

    Attributes:
        machines: By name.
        addresses: IPv4 address of each machine.
        lines: Lines of those that have one, the machine at the near end.
    """

    def __init__(self) -> None:
        self.machines: dict[str, Machine] = {}
        self.addresses: dict[str, str] = {}
        self.lines: dict[str, Line] = {}
        self._router = Machine("exchange")
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            opened.enter_context(self._router)
            run_ip("netns", "exec", self._router.namespace, *FORWARD)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def connect(self, name: str, ways: tuple[Way, Way] | None = None) -> Machine:
        """A machine that is new, by a cable, or by a line to the exchange and back.

        Raises:
            CalledProcessError: The kernel does not do it.
        """
        number = len(self.machines)
        machine = self._opened.enter_context(Machine(name))
        if ways is None:
            self.addresses[name], router = self._cable(number, machine)
        else:
            line = self._opened.enter_context(Line(number, machine, self._router, *ways))
            self.lines[name] = line
            self.addresses[name], router = line.near_address, line.far_address
        run_ip("-n", machine.namespace, "route", "add", "default", "via", router)
        self.machines[name] = machine
        return machine

    def cut(self, name: str, *others: str) -> None:
        """Drop what a machine sends to others, or they to it; none named: whoever they are."""
        self._rules("add", name, others)

    def mend(self, name: str, *others: str) -> None:
        """Undo `cut`, of the same machines."""
        self._rules("del", name, others)

    def _rules(self, change: str, name: str, others: tuple[str, ...]) -> None:
        here = self.addresses[name]
        for other in (self.addresses[one] for one in others) if others else ("0.0.0.0/0",):
            for source, target in ((here, other), (other, here)):
                between = ("from", source, "to", target)
                run_ip("-n", self._router.namespace, "rule", change, *between, "blackhole")

    def _cable(self, number: int, machine: Machine) -> tuple[str, str]:
        """A pair of interfaces, one at each end; their addresses."""
        here, there = f"10.77.{number}.1", f"10.77.{number}.2"
        router, far, device = self._router.namespace, machine.namespace, f"cable{number}"
        pair = ("type", "veth", "peer", "name", "cable", "netns", far)
        run_ip("-n", router, "link", "add", device, *pair)
        for namespace, end, address in ((far, "cable", here), (router, device, there)):
            run_ip("-n", namespace, "address", "add", f"{address}/30", "dev", end)
            run_ip("-n", namespace, "link", "set", end, "up")
        return here, there
