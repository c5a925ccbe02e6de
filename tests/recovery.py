"""How long a cluster may take to recover, for the tests of its rules and of its processes."""

from __future__ import annotations

RECOVERED_S = 30.0
"""From a fault to the first window that the new owner of a scene has scored."""
TIMERS_S = 15.0
"""What all timers between may come to, so that as much is left for what is work: starts."""
