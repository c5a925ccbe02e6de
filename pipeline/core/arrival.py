"""What reaches the fusion node, in the order in which it arrived.

The receiver yields these, the recorder writes them, the reader of a recording yields them
again, and the engine takes them: live and replay speak one language, which is why a replay
gives the same windows and events as the live run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pipeline.core.ledger import StreamAccount
from pipeline.core.sample import Sample, StreamInfo


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """A node announced a stream, or announced it anew with other properties.

    ``session`` names the life of the node's process that its sequences count in: it belongs
    to resume points and acks. Empty where there is no link, as in a recording.
    """

    arrival_ns: int
    node: str
    info: StreamInfo
    session: str = ""


@dataclass(frozen=True, slots=True)
class SampleArrived:
    """A sample, stamped with site time, reached the fusion node."""

    arrival_ns: int
    node: str
    sample: Sample


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """A stream will give no more: its finite source ended or its node said goodbye."""

    arrival_ns: int
    node: str
    stream: str


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """A node's account of its streams, sent about once a second and at the end.

    ``waits``: whether samples waited to be sent, behind those that came before it. In which order
    arrivals are taken follows from it; a recording, which has them in that order, does not hold it.
    """

    arrival_ns: int
    node: str
    accounts: Mapping[str, StreamAccount]
    waits: bool = False


@dataclass(frozen=True, slots=True)
class HopSet:
    """From here on the fusion node scores every ``times``-th window of a scene alone.

    It depends on how busy the node was, so it is an input like what arrives: a recording holds
    it, and a replay leaves out the same windows. Said twice it means the same.

    Attributes:
        arrival_ns: When it was said.
        scene: The scene.
        times: 1: every window; n: those whose index is a multiple of n.
        from_ns: Start of the first window that it holds for.
        lag_ns: For how long what had arrived waited when it was decided.
        left_out: Windows left out until then, since the hop was widened.
    """

    arrival_ns: int
    scene: str
    times: int
    from_ns: int
    lag_ns: int = 0
    left_out: int = 0

    @property
    def node(self) -> str:
        """No capture node said it."""
        return ""


@dataclass(frozen=True, slots=True)
class SamplesWait:
    """Samples of a node wait their turn: the fusion node is behind, the node is not silent.

    Like `HopSet` it depends on how busy the fusion node was, so a recording holds it, and a replay
    tells no silence either.

    Attributes:
        arrival_ns: When it was said.
        node: The node.
        until_ns: When the fusion node looked and they waited; arrivals that are taken after this
            may bear times up to then.
    """

    arrival_ns: int
    node: str
    until_ns: int


def fusion_began(now_ns: int) -> LedgerReport:
    """The fusion node itself begins: until now nothing could arrive.

    A report of no node on no stream, so that recordings hold it as they are.
    """
    return LedgerReport(now_ns, "", {})


Arrival: TypeAlias = (
    StreamOpened | SampleArrived | StreamEnded | LedgerReport | HopSet | SamplesWait
)
