"""Lines between network namespaces carry real packets as late as they say, or not at all."""

from __future__ import annotations

import subprocess
import sys

import pytest

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


@pytest.fixture
def asked(line):
    """Ask over the line; milliseconds to the answer, or ``nothing``."""
    near, far, laid = line
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen(far.command(sys.executable, "-c", ECHO), **pipes) as echo,
        subprocess.Popen(near.command(sys.executable, "-c", ASK), **pipes) as ask,
    ):

        def over_the_line() -> str:
            ask.stdin.write(f"{laid.far_address}\n")
            ask.stdin.flush()
            return ask.stdout.readline().strip()

        try:
            assert echo.stdout.readline() == "ready\n"
            yield over_the_line
        finally:
            echo.kill()
            ask.kill()


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
