"""Stamps in node time that outlive the process that made them.

Node time is the time since the machine was booted plus an offset that each process measures for
itself (`pipeline.core.clock`). So what an earlier process stamped can be told in the node time
of this one as long as the machine was not booted anew; after that nobody knows.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.core.clock import Clock, NodeClock
from pipeline.transport.kept import OffsetAt
from pipeline.transport.spool_format import ClockBase, StoredSample

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def clock_base(clock: Clock, boot: Path = _BOOT) -> ClockBase | None:
    """What a clock counts from; None for one that is not this machine's, or where none tells.

    Args:
        clock: Node time.
        boot: File that holds the id of the boot.
    """
    if not (isinstance(clock, NodeClock) and clock.is_of_this_machine and boot.exists()):
        return None
    return ClockBase(boot.read_text().strip(), clock.offset_ns)


def put_on_site_time(
    sample: StoredSample, base: ClockBase | None, offset_at: OffsetAt | None
) -> bool:
    """Move the stamp of a sample that was written in node time; False when nobody can.

    Args:
        sample: The sample; its header is changed.
        base: What node time is counted from now.
        offset_at: The clock offset.
    """
    if sample.base is None:
        return True
    if base is None or offset_at is None or sample.base.boot != base.boot:
        return False
    header = sample.header
    node_ns = header.timestamp_ns + base.offset_ns - sample.base.offset_ns
    offset_ns, unsure_ns = offset_at(node_ns)
    header.timestamp_ns = node_ns + offset_ns
    header.uncertainty_ns += unsure_ns
    return True
