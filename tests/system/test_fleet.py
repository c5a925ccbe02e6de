"""The simulated fleet: its light nodes are real ones to a receiver, and its smallest point runs."""

import numpy as np
import pytest

from pipeline.core.arrival import SampleArrived
from pipeline.core.clock import NodeClock
from pipeline.core.codec import describe
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.receiver import Receiver
from tests.benchmarks.fleet_loop import Fleet
from tests.benchmarks.fleet_nodes import LightNode
from tests.benchmarks.fleet_point import measure
from tests.benchmarks.fleet_site import Layout, Shown
from tests.waiting import wait_until

pytestmark = pytest.mark.system
NODES, STREAMS, EVERY_NS = 24, 2, 20_000_000


def shown() -> Shown:
    info = StreamInfo("x", Modality.SENSOR, 50.0, (2,), "float64", channels=("a", "b"))
    readings = [Sample("x", 0, 0, np.array([n, -n], float), Encoding.FLOAT) for n in range(5)]
    return Shown(info, [describe(one)[1:] for one in readings], EVERY_NS, 0)


class Taken:
    """Takes and acks what comes, every so often all that there is."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.last: dict[str, dict[str, int]] = {}
        self.count = 0

    def look(self) -> None:
        for item in self.receiver.poll(0.02):
            if isinstance(item, SampleArrived):
                self.count += 1
                self.last.setdefault(item.node, {})[item.sample.stream] = item.sample.sequence
        for node, sequences in self.last.items():
            self.receiver.ack(node, sequences)


def test_light_nodes_deliver_everything_and_their_books_are_exact() -> None:
    clock = NodeClock()
    receiver = Receiver("tcp://127.0.0.1:0", clock=clock, clock_probes=False)
    taken = Taken(receiver)
    nodes = [
        LightNode(f"n{n}", receiver.address, {f"n{n}-{s}": shown() for s in range(STREAMS)}, clock)
        for n in range(NODES)
    ]

    def enough() -> bool:
        taken.look()
        return fleet.ready == NODES and taken.count > 40 * NODES

    def over() -> bool:
        taken.look()
        return fleet.done

    with Fleet(nodes, clock) as fleet:
        wait_until(enough)
        assert not fleet.unexplained()
        fleet.end()
        wait_until(over)
        accounts = fleet.accounts()
    receiver.close()
    assert len(accounts) == NODES * STREAMS
    assert sum(one.captured for one in accounts.values()) == taken.count
    assert all(one.captured == one.delivered and not one.spooled for one in accounts.values())
    assert receiver.counters["duplicate"] == 0


def test_light_nodes_come_back_to_a_receiver_that_was_gone() -> None:
    clock = NodeClock()
    first = Receiver("tcp://127.0.0.1:0", clock=clock, clock_probes=False)
    address, taken = first.address, Taken(first)
    nodes = [LightNode(f"n{n}", address, {f"n{n}": shown()}, clock) for n in range(3)]

    def resume(node: str, _session: str, _streams: object) -> dict[str, int]:
        return {name: at + 1 for name, at in taken.last.get(node, {}).items()}

    def some() -> bool:
        taken.look()
        return taken.count > 30

    def over() -> bool:
        taken.look()
        return fleet.done

    with Fleet(nodes, clock) as fleet:
        wait_until(some)
        first.close()
        taken.receiver = Receiver(address, clock=clock, resume=resume, clock_probes=False)
        wait_until(lambda: some() and fleet.ready == 3 and taken.count > 100)
        fleet.end()
        wait_until(over)
        accounts = fleet.accounts()
    taken.receiver.close()
    assert not fleet.unexplained()
    assert sum(one.captured for one in accounts.values()) == taken.count


@pytest.mark.alone
@pytest.mark.timeout(600)
def test_the_smallest_point_runs_against_a_real_worker(tmp_path) -> None:
    cost = measure(Layout(), 2, 4.0, tmp_path)
    assert cost.kept_up
    assert cost.books.exact
    assert cost.books.dropped == 0
    assert 0 < cost.total < 1
    assert cost.stages["score"] > 0
    assert cost.bare < cost.total
