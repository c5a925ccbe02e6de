"""``fusewatch capture`` on a machine whose clock is wrong and whose crystal is not exact.

``python -P -m tests.system.shifted_node CONFIG NODE AHEAD_S FAST_PPM``. A capture node reads no
clock but the one it is given (`pipeline.core.clock`), so it is given another one here, and all
else is what the command does. ``faketime`` would shift every clock of the process, the stamps
of the kernel's own excepted, and with them all timeouts; a time namespace knows no other rate
and leaves the time of day as it is.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from nodes.capture import CaptureNode
from nodes.logs import configure_logs
from nodes.runner import RunOptions, run_node
from pipeline.config import load
from pipeline.core.clock import NodeClock


class ShiftedClock:
    """Node time of a machine with a wrong clock.

    Args:
        ahead_s: How far ahead of this machine's time of day it starts, seconds.
        fast_ppm: By how much it runs too fast, parts per million.
    """

    def __init__(self, ahead_s: float, fast_ppm: float) -> None:
        self._fast = fast_ppm * 1e-6
        self._begun_ns = time.monotonic_ns()
        self._start_ns = NodeClock().now_ns() + round(ahead_s * 1e9)

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch, as that machine believes."""
        passed_ns = time.monotonic_ns() - self._begun_ns
        return self._start_ns + passed_ns + round(passed_ns * self._fast)


def main(config: str, node: str, ahead_s: str, fast_ppm: str) -> int:
    """Run the node until it ends; its exit code."""
    loaded = load(Path(config))
    deployment = loaded.deployment
    capture = CaptureNode(deployment, node, ShiftedClock(float(ahead_s), float(fast_ppm)))
    configure_logs(capture.name, secrets=loaded.secrets)
    options = RunOptions(data=deployment.data, http=deployment.nodes[node].http)
    return run_node(capture, options)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
