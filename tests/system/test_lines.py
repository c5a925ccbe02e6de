"""Lines and exchanges between network namespaces carry real packets as they say, or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.system.exchange import Exchange
from tests.system.line_queue import Way
from tests.system.lines import Line, Machine, require_lines

pytestmark = [pytest.mark.system, pytest.mark.alone]

PORT = 9
ECHO = f"""
import socket
echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
echo.bind(("", {PORT}))
print("ready", flush=True)
while True:
    echo.sendto(*echo.recvfrom(100))
"""
ASK = f"""
import socket, sys, time
ask = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ask.settimeout(0.5)
for line in sys.stdin:
    began = time.monotonic()
    ask.sendto(line.encode(), (line.strip(), {PORT}))
    try:
        ask.recv(100)
    except TimeoutError:
        print("nothing", flush=True)
    else:
        print((time.monotonic() - began) * 1e3, flush=True)
"""


@pytest.fixture
def line():
    require_lines()
    with (
        Machine("near") as near,
        Machine("far") as far,
        Line(7, near, far, Way(30.0), Way(10.0)) as laid,
    ):
        yield near, far, laid


@contextmanager
def asking(near: Machine, far: Machine, address: str) -> Iterator[Callable[[], str]]:
    """Ask one machine from another; milliseconds to the answer, or ``nothing``."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen(far.command(sys.executable, "-c", ECHO), **pipes) as echo,
        subprocess.Popen(near.command(sys.executable, "-c", ASK), **pipes) as ask,
    ):

        def over_the_line() -> str:
            ask.stdin.write(f"{address}\n")
            ask.stdin.flush()
            return ask.stdout.readline().strip()

        try:
            assert echo.stdout.readline() == "ready\n"
            yield over_the_line
        finally:
            echo.kill()
            ask.kill()


@pytest.fixture
def asked(line):
    near, far, laid = line
    with asking(near, far, laid.far_address) as over_the_line:
        yield over_the_line


def test_an_answer_takes_the_delay_of_both_ways(asked) -> None:
    took_ms = [float(asked()) for _ in range(10)]
    assert min(took_ms) >= 40.0
    assert min(took_ms) < 60.0


def test_over_a_cut_line_nothing_comes_until_it_is_mended(line, asked) -> None:
    laid = line[2]
    assert float(asked()) >= 40.0
    laid.cut()
    assert asked() == "nothing"
    laid.mend()
    assert float(asked()) >= 40.0


def test_the_line_may_change_while_it_is_in_use(line, asked) -> None:
    laid = line[2]
    laid.there.way = Way(loss=1.0)
    assert asked() == "nothing"
    assert laid.there.counts["lost"] >= 1
    laid.there.way = Way(100.0)
    assert float(asked()) >= 110.0


def test_an_exchange_drops_what_it_is_told_to_between_whom_it_is_told_to() -> None:
    require_lines()
    with Exchange() as exchange:
        one, two = exchange.connect("one"), exchange.connect("two")
        edge = exchange.connect("edge", (Way(20.0), Way(20.0)))
        with (
            asking(one, two, exchange.addresses["two"]) as by_cable,
            asking(edge, one, exchange.addresses["one"]) as by_line,
        ):
            assert float(by_cable()) < 20.0
            assert float(by_line()) >= 40.0
            exchange.cut("one", "two")
            assert by_cable() == "nothing"
            assert float(by_line()) >= 40.0
            exchange.mend("one", "two")
            exchange.cut("one")
            assert by_cable() == by_line() == "nothing"
            exchange.mend("one")
            assert float(by_cable()) < 20.0
