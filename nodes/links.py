"""The links of a deployment: who connects where, with which keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nodes.spool_choice import open_spool
from pipeline.config.deployment import Deployment
from pipeline.core.clock import Clock
from pipeline.core.ledger import Ledger
from pipeline.transport.directory_client import WorkerFinder
from pipeline.transport.directory_messages import Here, Nowhere
from pipeline.transport.directory_server import DirectoryServer
from pipeline.transport.event_link import EventSender
from pipeline.transport.event_receiver import EventReceiver
from pipeline.transport.full_ring import FullRing
from pipeline.transport.key_store import KeyStore, Role
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


def capture_sender(
    deployment: Deployment, node: str, clock: Clock, ledger: Ledger, full: FullRing | None = None
) -> Sender:
    """The link of a capture node to the fusion node, which may fetch what is kept as `full`."""
    settings = deployment.nodes[node]
    endpoint = fusion_endpoint(deployment, node)
    listen = deployment.fusion.listen
    finder = worker_finder(deployment, node) if deployment.engine.is_ray else None
    return Sender(
        node,
        endpoint,
        clock=clock,
        ledger=ledger,
        buffer_bytes=round(settings.buffer_mb * MIB),
        max_message_bytes=round(settings.max_message_mb * MIB),
        curve=_client(deployment, listen, endpoint, node, Role.CAPTURE, Role.FUSION),
        spool=open_spool(deployment, node, endpoint, clock),
        full=full,
        finder=finder,
    )


def worker_finder(deployment: Deployment, node: str) -> WorkerFinder:
    """Finds the worker of a cluster that takes the samples of a capture node."""
    directories = deployment.engine.directory
    keys = KeyStore(deployment.security.keys)

    def trusts(public: str) -> bool:
        return any(key.public == public for key in keys.peers(Role.FUSION))

    if not encrypted(deployment, *_listening(deployment)):
        return WorkerFinder(node, directories)
    curve = curve_client(deployment.security.keys, node, Role.CAPTURE, Role.FUSION)
    return WorkerFinder(node, directories, curve=curve, trusts=trusts)


def directory_server(
    deployment: Deployment, endpoint: str, lookup: Callable[[str], Here | Nowhere]
) -> DirectoryServer:
    """Answers capture nodes, with the fusion node's keys of this machine."""
    curve = _server(deployment, _listening(deployment), FUSION, Role.FUSION, Role.CAPTURE)
    limits = deployment.fusion.limits
    return DirectoryServer(endpoint, lookup, curve=curve, limits=limits)


def fusion_key(deployment: Deployment) -> str:
    """Public key that the fusion node of this machine has now; empty without encryption."""
    if not encrypted(deployment, *_listening(deployment)):
        return ""
    return KeyStore(deployment.security.keys).own(FUSION, Role.FUSION).public


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
        limits=settings.limits,
        curve=_server(deployment, _listening(deployment), FUSION, Role.FUSION, Role.CAPTURE),
    )


def event_sender(deployment: Deployment, clock: Clock) -> EventSender:
    """The link of the fusion node to the alert node."""
    endpoint = deployment.fusion.alert or reachable(deployment.alert.listen)
    listen = deployment.alert.listen
    curve = _client(deployment, listen, endpoint, FUSION, Role.FUSION, Role.ALERT)
    return EventSender(endpoint, clock=clock, curve=curve)


def event_receiver(deployment: Deployment) -> EventReceiver:
    """The alert node's end of the link from the fusion node."""
    endpoint = deployment.alert.listen
    curve = _server(deployment, (endpoint,), ALERT, Role.ALERT, Role.FUSION)
    return EventReceiver(endpoint, curve=curve, limits=deployment.alert.limits)


def fusion_endpoint(deployment: Deployment, node: str) -> str:
    """Address of the fusion node as a capture node sees it; of a cluster, of its directory."""
    if deployment.engine.is_ray:
        return deployment.engine.directory[0]
    return deployment.nodes[node].fusion or reachable(deployment.fusion.listen)


def reachable(listen: str) -> str:
    """Where to connect to on this machine for an address that is listened on."""
    return listen.replace("://0.0.0.0:", "://127.0.0.1:").replace("://*:", "://127.0.0.1:")


def encrypted(deployment: Deployment, *addresses: str) -> bool:
    """Whether a link is encrypted, given the address listened on and the one connected to.

    One socket serves all peers: when it can be reached from other machines, the peers on this
    machine encrypt as well.
    """
    wanted = deployment.security.curve
    return wanted == "on" or (wanted == "auto" and any(map(needs_curve, addresses)))


def _client(
    deployment: Deployment, listen: str, endpoint: str, node: str, role: Role, server: Role
) -> CurveClient | None:
    if not encrypted(deployment, listen, endpoint):
        return None
    return curve_client(deployment.security.keys, node, role, server)


def _listening(deployment: Deployment) -> tuple[str, ...]:
    """What says whether links from capture nodes are encrypted, at their listening end."""
    more = deployment.engine.directory if deployment.engine.is_ray else ()
    return (deployment.fusion.listen, *more)


def _server(
    deployment: Deployment, addresses: Sequence[str], node: str, role: Role, clients: Role
) -> CurveServer | None:
    if not encrypted(deployment, *addresses):
        return None
    return curve_server(deployment.security.keys, node, role, clients)
