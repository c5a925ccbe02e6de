from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.ledger import Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from tests.spool_samples import SECOND_NS
from tests.system.spool_link import MEMORY, VIB, Fusion, exact, give, reading, spooling_sender
from tests.waiting import wait_until

pytestmark = pytest.mark.system

CAM = StreamInfo("cam", Modality.VIDEO, 30.0, (200, 200, 3), "uint8", stamp="exact")


def frame(number: int) -> Sample:
    data = np.full((200, 200, 3), number % 251, np.uint8)
    return Sample("cam", 0, number, data, Encoding.RAW)


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    yield f"ipc://{tmp_path}/link"


def test_nothing_is_lost_when_the_receiver_is_away_longer_than_memory_lasts(
    tmp_path: Path, endpoint: str
) -> None:
    ledger = Ledger()
    sender = spooling_sender(tmp_path / "spool", endpoint, ledger)
    sender.add_stream(VIB)
    sender.add_stream(CAM)
    give(sender, range(4000))
    for number in range(20):
        wait_until(lambda: sender.status.buffer_used < MEMORY // 2)
        sender.send(frame(number))
    assert exact(ledger) == (4000, 0, 4000, {})
    fusion = Fusion(endpoint)
    wait_until(lambda: len(fusion.samples) > 100)
    give(sender, range(4000, 5000))
    sender.end("vib")
    sender.end("cam")
    assert sender.drain(20)
    sender.close()
    fusion.close()
    assert fusion.values("vib") == list(range(5000))
    assert fusion.values("cam") == list(range(20))
    assert exact(ledger) == (5000, 5000, 0, {})
    assert exact(ledger, "cam") == (20, 20, 0, {})
    assert list((tmp_path / "spool").glob("*.spool")) == []


def test_what_a_closed_sender_could_not_deliver_comes_first_the_next_time(
    tmp_path: Path, endpoint: str
) -> None:
    ledger = Ledger()
    sender = spooling_sender(tmp_path / "spool", endpoint, ledger, after_ns=10**15)
    sender.add_stream(VIB)
    give(sender, range(300))
    sender.close(0.1)
    assert exact(ledger) == (300, 0, 300, {})
    ledger = Ledger()
    sender = spooling_sender(tmp_path / "spool", endpoint, ledger)
    sender.add_stream(VIB)
    give(sender, range(300, 400))
    fusion = Fusion(endpoint)
    sender.end("vib")
    assert sender.drain(20)
    sender.close()
    fusion.close()
    assert fusion.values("vib") == list(range(400))
    assert exact(ledger) == (400, 400, 0, {})


def run_and_kill(
    folder: Path,
    endpoint: str,
    count: int,
    acked: int = 0,
    when: Callable[[], bool] = lambda: True,
) -> None:
    """A capture process that gives `count` readings, killed once they are in the spool.

    Save for the first `acked`, which are acked and may never get there; and not before `when`.
    """
    code = "from tests.system.test_spool_link import be_killed; be_killed()"
    arguments = [str(folder), endpoint, str(count), str(acked)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert "written\n" in process.stdout  # logs come before it
        wait_until(when)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


def be_killed() -> None:
    """Main function of the process of `run_and_kill`."""
    folder, endpoint, (count, acked) = Path(sys.argv[1]), sys.argv[2], map(int, sys.argv[3:])
    ledger = Ledger()
    sender = spooling_sender(folder, endpoint, ledger)
    sender.add_stream(VIB)
    give(sender, range(acked))
    wait_until(lambda: not acked or exact(ledger)[1] == acked)
    before = sender.status.counters["spool_written"]
    give(sender, range(acked, count))
    wait_until(lambda: sender.status.counters["spool_written"] >= before + count - acked)
    print("written", flush=True)
    threading.Event().wait()


def test_what_a_killed_process_had_spooled_arrives_once_and_before_what_is_new(
    tmp_path: Path, endpoint: str
) -> None:
    run_and_kill(tmp_path / "spool", endpoint, 3000)
    run_and_kill(tmp_path / "spool", endpoint, 10)
    ledger = Ledger()
    sender = spooling_sender(tmp_path / "spool", endpoint, ledger)
    assert exact(ledger) == (3010, 0, 3010, {})
    sender.add_stream(VIB)
    sender.send(reading(7777))
    fusion = Fusion(endpoint)
    sender.end("vib")
    assert sender.drain(20)
    sender.close()
    fusion.close()
    assert fusion.values("vib") == [*range(3000), *range(10), 7777]
    assert fusion.ended == 3
    assert exact(ledger) == (3011, 3011, 0, {})


def test_a_receiver_that_had_some_of_it_takes_the_rest_and_nothing_twice(
    tmp_path: Path, endpoint: str
) -> None:
    fusion = Fusion(endpoint, ack_to=99)
    run_and_kill(
        tmp_path / "spool", endpoint, 1000, acked=100, when=lambda: len(fusion.samples) == 1000
    )
    assert fusion.values("vib") == list(range(1000))
    ledger = Ledger()
    sender = spooling_sender(tmp_path / "spool", endpoint, ledger)
    sender.add_stream(VIB)
    sender.send(reading(7777))
    wait_until(lambda: sender.status.state == "ready")
    assert 900 <= exact(ledger)[2] - 1 <= 1000
    fusion.ack_to = 2**60
    sender.end("vib")
    assert sender.drain(20)
    sender.close()
    fusion.close()
    assert fusion.values("vib") == [*range(1000), 7777]
    captured, delivered, spooled, dropped = exact(ledger)
    assert (captured, spooled, dropped) == (delivered, 0, {})


def test_with_what_is_new_first_it_is_fresh_while_the_backlog_comes_behind(
    tmp_path: Path, endpoint: str
) -> None:
    ledger = Ledger()
    sender = spooling_sender(tmp_path / "spool", endpoint, ledger, SECOND_NS, "live_first")
    sender.add_stream(VIB)
    give(sender, range(6000))
    wait_until(lambda: sender.status.buffer_used == 0)
    fusion = Fusion(endpoint)
    count = 6000
    while fusion.values("vib~backlog")[-1:] != [5999]:
        sender.send(reading(count))
        wait_until(lambda number=count: number in fusion.values("vib")[-1:])
        count += 1
    sender.end("vib")
    assert sender.drain(20)
    sender.close()
    fusion.close()
    assert fusion.values("vib") == list(range(6000, count))
    assert fusion.values("vib~backlog") == list(range(6000))
    came = [sample.stream for sample in fusion.samples]
    assert "vib" in came[came.index("vib~backlog") :]
    assert exact(ledger) == (count, count, 0, {})


def test_a_stamp_that_no_clock_could_give_is_refused_and_harms_nobody(
    tmp_path: Path, endpoint: str
) -> None:
    ledger = Ledger()
    sender = spooling_sender(tmp_path / "spool", endpoint, ledger)
    sender.add_stream(VIB)
    for stamp_ns in (2**200, -(2**64), 5):
        sender.send(replace(reading(0), timestamp_ns=stamp_ns))
    fusion = Fusion(endpoint)
    sender.end("vib")
    assert sender.drain(20)
    sender.close()
    fusion.close()
    assert [sample.timestamp_ns for sample in fusion.samples] == [5]
    assert exact(ledger) == (3, 1, 0, {"future": 2})
