"""The links of a deployment: who connects where, with which keys."""

from __future__ import annotations

from pipeline.config.deployment import Deployment
from pipeline.core.clock import Clock
from pipeline.core.ledger import Ledger
from pipeline.transport.event_link import EventReceiver, EventSender
from pipeline.transport.key_store import Role
from pipeline.transport.receiver import Receiver
from pipeline.transport.receiver_session import Resumes
from pipeline.transport.security import (
    CurveClient,
    CurveServer,
    curve_client,
    curve_server,
    needs_curve,
)
from pipeline.transport.sender import Sender

MIB = 1 << 20
FUSION, ALERT = "fusion", "alert"


def capture_sender(deployment: Deployment, node: str, clock: Clock, ledger: Ledger) -> Sender:
    """The link of a capture node to the fusion node."""
    settings = deployment.nodes[node]
    endpoint = fusion_endpoint(deployment, node)
    return Sender(
        node,
        endpoint,
        clock=clock,
        ledger=ledger,
        buffer_bytes=round(settings.buffer_mb * MIB),
        max_message_bytes=round(settings.max_message_mb * MIB),
        curve=_client(deployment, endpoint, node, Role.CAPTURE, Role.FUSION),
    )


def sample_receiver(deployment: Deployment, clock: Clock, resume: Resumes) -> Receiver:
    """The fusion node's end of the links from the capture nodes."""
    settings = deployment.fusion
    return Receiver(
        settings.listen,
        clock=clock,
        resume=resume,
        credit_bytes=round(settings.credit_mb * MIB),
        max_message_bytes=round(settings.max_message_mb * MIB),
        max_streams=settings.max_streams,
        curve=_server(deployment, settings.listen, FUSION, Role.FUSION, Role.CAPTURE),
    )


def event_sender(deployment: Deployment, clock: Clock) -> EventSender:
    """The link of the fusion node to the alert node."""
    endpoint = deployment.fusion.alert or deployment.alert.listen
    curve = _client(deployment, endpoint, FUSION, Role.FUSION, Role.ALERT)
    return EventSender(endpoint, clock=clock, curve=curve)


def event_receiver(deployment: Deployment) -> EventReceiver:
    """The alert node's end of the link from the fusion node."""
    endpoint = deployment.alert.listen
    curve = _server(deployment, endpoint, ALERT, Role.ALERT, Role.FUSION)
    return EventReceiver(endpoint, curve=curve)


def fusion_endpoint(deployment: Deployment, node: str) -> str:
    """Address of the fusion node as a capture node sees it."""
    return deployment.nodes[node].fusion or deployment.fusion.listen


def encrypted(deployment: Deployment, endpoint: str) -> bool:
    """Whether a link to this address is encrypted."""
    wanted = deployment.security.curve
    return wanted == "on" or (wanted == "auto" and needs_curve(endpoint))


def _client(
    deployment: Deployment, endpoint: str, node: str, role: Role, server: Role
) -> CurveClient | None:
    if not encrypted(deployment, endpoint):
        return None
    return curve_client(deployment.security.keys, node, role, server)


def _server(
    deployment: Deployment, endpoint: str, node: str, role: Role, clients: Role
) -> CurveServer | None:
    if not encrypted(deployment, endpoint):
        return None
    return curve_server(deployment.security.keys, node, role, clients)
