"""Samples and streams that tests of the link send and receive."""

from __future__ import annotations

import numpy as np

from pipeline.core.arrival import SampleArrived
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.protocol import PROTOCOL_VERSION, Hello
from pipeline.transport.receiver_session import ReceiverSession

VIB = StreamInfo("vib", Modality.SENSOR, 10.0, (3,), "float64")
CAM = StreamInfo("cam", Modality.VIDEO, 10.0, (4, 4, 3), "uint8")
NOW = 1_000_000_000_000
S = 1_000_000_000


def reading(sequence: int, timestamp_ns: int = NOW, stream: str = "vib") -> Sample:
    return Sample(stream, sequence, timestamp_ns, np.zeros(3), Encoding.FLOAT)


def sequences(session: ReceiverSession) -> list[int]:
    return [a.sample.sequence for a in session.arrivals if isinstance(a, SampleArrived)]


def hello(node: str = "n1", session: str = "s1", attempt: int = 1, *infos: StreamInfo) -> Hello:
    return Hello(PROTOCOL_VERSION, node, session, attempt, list(infos or (VIB,)))
