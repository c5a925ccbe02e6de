"""The line of a capture node is cut for eleven minutes of site time; a node is killed meanwhile.

One fusion node and four capture nodes, each on a machine of its own: ``plain`` is not disturbed,
``cut`` sends its backlog first, ``fresh`` what is new, ``killed`` never reaches the fusion node
before it is killed with all it captured in its spool.

Site time passes `SPEED` times as fast as ours: CI cuts the line for nine seconds. By hand, in
real time, for eleven minutes: ``FUSEWATCH_FAULT_SPEED=1 python -m pytest FILE`` (18 minutes).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.core.arrival import Arrival, LedgerReport, SampleArrived
from pipeline.core.event import Event, Phase
from pipeline.core.ledger import StreamAccount
from pipeline.transport.spool_backlog import BACKLOG
from tests.requirements import require_module
from tests.system.lines import require_lines
from tests.system.spool_site import (
    REAL,
    SECOND_NS,
    SECONDS,
    SPEED,
    START_NS,
    SpoolSite,
    seconds_of,
    told,
    write_recording,
)
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300 + 2 * SECONDS / SPEED)]

SPOOLS = {
    "plain": "",
    "cut": "{after_s: 0.2}",
    "fresh": "{after_s: 1, order: live_first}",
    "killed": "{after_s: 0}",
}
BEFORE_S, CUT_S = 60, 660
KILLED_AT_S = 700


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        folder: The site's.
        events: All events, in order.
        arrivals: Samples of each stream as they came.
        accounts: The last account of each stream.
    """

    folder: Path
    events: list[Event]
    arrivals: dict[str, list[SampleArrived]]
    accounts: dict[str, StreamAccount]

    def seconds(self, stream: str) -> list[float]:
        """When the readings of a stream were taken, as they came."""
        stamps = [a.sample.timestamp_ns for a in self.arrivals.get(stream, ())]
        return [(stamp_ns - START_NS) / SECOND_NS for stamp_ns in stamps]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    require_module("torch")
    require_lines()
    folder = tmp_path_factory.mktemp("site")
    with SpoolSite(folder, SPOOLS) as site:
        be_killed(site)
        site.wait_for("fusion", (site.folder / "data/run/fusion.json").exists)
        for name in ("plain", "cut", "fresh"):
            site.start(name, "capture", str(site.config), "--node", name)
        for name in ("cut", "fresh"):
            wait_until(lambda name=name: f"{name}-a" in streams(site.recorded(), BEFORE_S))
            site.lines[name].cut()
        pause(CUT_S / SPEED)
        for name in ("cut", "fresh"):
            assert list((folder / "data" / "spool" / name).glob("*.spool"))
            site.lines[name].mend()
        live_on(site)
        site.end(*SPOOLS)
        wait_until(lambda: all(not a.spooled for a in accounts(site.recorded()).values()))
        arrivals: dict[str, list[SampleArrived]] = {}
        for arrival in site.recorded():
            if isinstance(arrival, SampleArrived):
                arrivals.setdefault(arrival.sample.stream, []).append(arrival)
        return Outcome(folder, site.events(), arrivals, accounts(site.recorded()))


def pause(wait_s: float) -> None:
    """Let time pass that is part of the fault."""
    threading.Event().wait(wait_s)


def be_killed(site: SpoolSite) -> None:
    """Node ``killed`` takes its first minutes at once, cannot deliver them, and is killed."""
    name = "killed"
    site.lines[name].cut()
    write_recording(site.folder / f"first-{name}.mcap", name, 0, KILLED_AT_S)
    config = site.write(site.folder / "first.yaml", "first-", "max")
    site.start(name, "capture", str(config), "--node", name)
    taken = sum(len(seconds_of(sensor, 0, KILLED_AT_S)) for sensor in "ab")
    site.wait_for(name, lambda: site.spooled(name) == taken)
    site.kill(name)
    site.lines[name].mend()


def live_on(site: SpoolSite) -> None:
    """Node ``killed`` is started again, for the rest."""
    name = "killed"
    write_recording(site.folder / f"rest-{name}.mcap", name, KILLED_AT_S, SECONDS)
    config = site.write(site.folder / "rest.yaml", "rest-", "1" if REAL else "max")
    site.start(name, "capture", str(config), "--node", name)


def streams(arrivals: list[Arrival], from_s: int) -> set[str]:
    """Streams of which something came that was captured after so many seconds."""
    from_ns = START_NS + from_s * SECOND_NS
    samples = [a.sample for a in arrivals if isinstance(a, SampleArrived)]
    return {sample.stream for sample in samples if sample.timestamp_ns >= from_ns}


def accounts(arrivals: list[Arrival]) -> dict[str, StreamAccount]:
    """The last account of each stream."""
    found: dict[str, StreamAccount] = {}
    for arrival in arrivals:
        if isinstance(arrival, LedgerReport):
            found.update(arrival.accounts)
    return found


@pytest.mark.parametrize("node", SPOOLS)
def test_every_sample_is_delivered_and_in_the_books(outcome: Outcome, node: str) -> None:
    for sensor in "ab":
        account = outcome.accounts[f"{node}-{sensor}"]
        assert (account.missing, account.spooled, account.dropped) == (0, 0, {})
        assert account.delivered == account.captured == len(seconds_of(sensor))
    assert list((outcome.folder / "data" / "spool" / node).glob("*.spool")) == []


@pytest.mark.parametrize("node", ["plain", "cut", "killed"])
def test_in_the_order_of_capture_the_fusion_node_has_every_sample_once(
    outcome: Outcome, node: str
) -> None:
    for sensor in "ab":
        assert outcome.seconds(f"{node}-{sensor}") == seconds_of(sensor)


@pytest.mark.parametrize("node", ["cut", "killed"])
def test_in_the_order_of_capture_the_events_are_those_of_an_undisturbed_run(
    outcome: Outcome, node: str
) -> None:
    undisturbed = told(outcome.events, "plain")
    assert [event[0] for event in undisturbed] == [Phase.RAISED, Phase.CLEARED]
    assert told(outcome.events, node) == undisturbed


def test_with_what_is_new_first_the_backlog_comes_behind_it_and_apart(outcome: Outcome) -> None:
    live, late = outcome.arrivals["fresh-a"], outcome.arrivals["fresh-a" + BACKLOG]
    seconds = outcome.seconds("fresh-a")
    assert seconds == sorted(seconds)
    assert sorted(seconds + outcome.seconds("fresh-a" + BACKLOG)) == seconds_of("a")
    newer = [a for a in live if a.sample.timestamp_ns > late[-1].sample.timestamp_ns]
    # At this speed of time both may be taken at one look, which has one time of arrival.
    assert newer[0].arrival_ns <= late[0].arrival_ns


def test_windows_that_were_over_are_not_judged_from_a_backlog(outcome: Outcome) -> None:
    lacking = [e for e in told(outcome.events, "plain") if e[0] is Phase.RAISED]
    assert lacking[0] not in told(outcome.events, "fresh")


def test_a_node_on_another_machine_has_a_spool_by_itself(outcome: Outcome) -> None:
    assert (outcome.folder / "data" / "spool" / "plain").is_dir()
