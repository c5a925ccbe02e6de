"""Whether what the ledger calls delivered is there: the recordings, read sample by sample.

The books of the capture node could be exact and wrong. The fusion node acks a sample only when
it lies in a recording, so within one life of the capture node no sequence may be missing between
the first and the last that are recorded, as nothing is dropped in a soak that goes well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.arrival import SampleArrived
from pipeline.core.errors import RecordingError
from pipeline.recording.reader import Recording


@dataclass(slots=True)
class Recorded:
    """What is recorded of one stream.

    Attributes:
        samples: How many, each counted once.
        missing: Sequences between the first and the last of a life that are not there.
    """

    samples: int = 0
    missing: int = 0


@dataclass(slots=True)
class _Life:
    """Samples of one stream in one life of its node: sequences begin anew with each."""

    seen: set[int] = field(default_factory=set)
    highest: int = -1
    newest_ns: int = -1

    def is_another(self, sequence: int, timestamp_ns: int) -> bool:
        """Whether a sample belongs to a later life: newer, and counted from the start again."""
        return sequence <= self.highest and timestamp_ns > self.newest_ns

    def take(self, sequence: int, timestamp_ns: int) -> None:
        self.seen.add(sequence)
        self.highest = max(self.highest, sequence)
        self.newest_ns = max(self.newest_ns, timestamp_ns)

    def close(self, account: Recorded) -> None:
        account.samples += len(self.seen)
        if self.seen:
            account.missing += self.highest - min(self.seen) + 1 - len(self.seen)


def recorded(samples: Iterable[tuple[str, int, int]]) -> dict[str, Recorded]:
    """Account of ``(stream, sequence, timestamp)`` in the order of arrival."""
    lives: dict[str, _Life] = {}
    accounts: dict[str, Recorded] = {}
    for stream, sequence, timestamp_ns in samples:
        life = lives.setdefault(stream, _Life())
        account = accounts.setdefault(stream, Recorded())
        if life.is_another(sequence, timestamp_ns):
            life.close(account)
            life = lives[stream] = _Life()
        life.take(sequence, timestamp_ns)
    for stream, life in lives.items():
        life.close(accounts[stream])
    return accounts


def read_recorded(folder: Path) -> dict[str, Recorded]:
    """Account of the recordings that a folder still holds."""
    return recorded(_samples(folder))


def _samples(folder: Path) -> Iterable[tuple[str, int, int]]:
    for path in sorted(folder.glob("*.mcap")):
        try:
            with Recording(path) as recording:
                for arrival in recording.arrivals():
                    if isinstance(arrival, SampleArrived):
                        sample = arrival.sample
                        yield sample.stream, sample.sequence, sample.timestamp_ns
        except RecordingError:  # removed for its age while a soak that still runs is judged
            continue
