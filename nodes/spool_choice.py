"""Whether a capture node has a disk spool, and how it is set.

A node whose fusion node is on another machine has one unless the deployment says otherwise: the
line between them will be cut one day, for longer than memory lasts. On one machine there is no
line, and memory outlasts a restart of the fusion node.
"""

from __future__ import annotations

import structlog

from nodes.places import spool_folder
from pipeline.alignment.audio import MEMORY_NS
from pipeline.config.deployment import Deployment
from pipeline.core.clock import Clock
from pipeline.transport.security import needs_curve
from pipeline.transport.spool import Spool
from pipeline.transport.spool_clock import clock_base
from pipeline.transport.spool_settings import SpoolSettings
from pipeline.transport.spooling import SpoolPlan

log = structlog.get_logger(__name__)

MIB = 1 << 20
SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS
COMMIT_S = 2.0


def spool_settings(deployment: Deployment, node: str, endpoint: str) -> SpoolSettings | None:
    """Settings of a node's spool; None when it has none.

    Args:
        deployment: The deployment.
        node: The capture node.
        endpoint: Address of the fusion node as seen from there.
    """
    settings = deployment.nodes[node].spool
    if settings is None:
        return SpoolSettings() if needs_curve(endpoint) else None
    return settings if settings.enabled else None


def after_s(deployment: Deployment, settings: SpoolSettings) -> float:
    """How long a sample waits for its ack before it is written, seconds."""
    if settings.after_s is not None:
        return settings.after_s
    scenes = deployment.scenes.values()
    longest_s = max(s.window_s + s.hop_s + s.latency_s + s.lateness_s for s in scenes)
    # Sound is needed for so much longer by the windows that come, to tell its true rate.
    return longest_s + MEMORY_NS / SECOND_NS + COMMIT_S


def open_spool(deployment: Deployment, node: str, endpoint: str, clock: Clock) -> SpoolPlan | None:
    """The spool of a capture node; None without one, also where its disk does not let it.

    Args:
        deployment: The deployment.
        node: The capture node.
        endpoint: Address of the fusion node as seen from there.
        clock: Node time.
    """
    settings = spool_settings(deployment, node, endpoint)
    if settings is None:
        return None
    folder = spool_folder(deployment, node)
    try:
        spool = Spool(
            folder,
            max_bytes=round(settings.max_mb * MIB),
            max_age_ns=round(settings.max_age_h * HOUR_NS),
            fsync_ns=round(settings.fsync_s * SECOND_NS),
        )
    except OSError as error:
        log.error("no spool, going on without", folder=str(folder), error=error.strerror)
        return None
    after_ns = round(after_s(deployment, settings) * SECOND_NS)
    return SpoolPlan(spool, after_ns, settings.order, clock_base(clock))
