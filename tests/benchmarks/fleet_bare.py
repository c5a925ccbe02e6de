"""Bare ZeroMQ reception of a fleet's messages: the least that any worker must do with them.

``python -m tests.benchmarks.fleet_bare COUNT`` says a port, receives so many messages on it, and
says the processor seconds that it took.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import zmq

ROOT = Path(__file__).resolve().parents[2]
MESSAGES = 10_000


def bare_s(messages: Sequence[Sequence[bytes]]) -> float:
    """Processor seconds that a process takes to receive one of these messages over ZeroMQ."""
    command = [sys.executable, "-m", "tests.benchmarks.fleet_bare", str(MESSAGES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        if process.stdout is None:
            raise RuntimeError("the receiver was started without a pipe")
        with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
            socket.connect(f"tcp://127.0.0.1:{int(process.stdout.readline())}")
            for number in range(MESSAGES):
                socket.send_multipart(messages[number % len(messages)])
            return float(process.stdout.readline()) / MESSAGES


def receive(count: int) -> None:
    """Receive, and say what it took."""
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        print(socket.bind_to_random_port("tcp://127.0.0.1"), flush=True)
        socket.poll()
        began = time.process_time()
        for _ in range(count):
            socket.poll()
            socket.recv_multipart(copy=False)
        print(time.process_time() - began, flush=True)


if __name__ == "__main__":
    receive(int(sys.argv[1]))
