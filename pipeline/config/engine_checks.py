"""What a deployment says of its cluster that cannot be meant."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.config import addresses
from pipeline.config.deployment import Deployment
from pipeline.config.groups import groups_of, scenes_of_node
from pipeline.config.problems import Problem, suggest

ENGINE = "engine"


def engine_problems(deployment: Deployment) -> Iterator[Problem]:
    """Faults of a deployment whose engine is a cluster; none for any other."""
    if not deployment.engine.is_ray:
        return
    yield from _store(deployment)
    yield from _directory(deployment)
    yield from _groups(deployment)
    yield from _apart(deployment)
    if deployment.dashboard is not None and deployment.engine.evidence is None:
        yield Problem(
            ("dashboard",),
            "the page of a cluster shows no evidence: it lies with the workers, in data/groups",
            "name a folder that all machines share: 'engine: {evidence: ...}'",
            fatal=False,
        )


def _store(deployment: Deployment) -> Iterator[Problem]:
    store = deployment.fusion.store
    if store is None:
        yield Problem(
            (ENGINE, "kind"),
            "workers of a cluster need a database that all of them share",
            "write 'fusion: {store: postgresql+psycopg://...}'",
        )
    elif store.get_secret_value().startswith("sqlite"):
        yield Problem(
            ("fusion", "store"),
            "a file is shared by the processes of one machine only",
            "write a postgresql+psycopg:// address for a cluster of several machines",
            fatal=False,
        )


def _directory(deployment: Deployment) -> Iterator[Problem]:
    engine, listen = deployment.engine, deployment.fusion.listen
    if not engine.directory:
        yield Problem(
            (ENGINE, "directory"),
            "missing: capture nodes must know where to ask for their worker",
            "write 'directory: [tcp://HOST:7712]', the machine that runs 'fusewatch cluster up'",
        )
    for index, address in enumerate(engine.directory):
        path = (ENGINE, "directory", index)
        if addresses.fault_of(address) or not addresses.host_of(address):
            yield Problem(path, f"{address!r} is not an address", "write tcp://HOST:PORT")
        elif addresses.is_wildcard(address):
            yield Problem(path, f"nobody can connect to {address!r}", "write the machine's name")
        elif addresses.is_this_machine(listen) and not addresses.is_this_machine(address):
            yield Problem(
                ("fusion", "listen"),
                f"workers that listen as {listen} are reached from their own machine only, the "
                f"directory {address} from others",
                "write 'listen: tcp://0.0.0.0:7710'",
            )
    if not addresses.fault_of(listen) and not addresses.host_of(listen):
        yield Problem(
            ("fusion", "listen"), "workers of a cluster listen on TCP", "write tcp://0.0.0.0:7710"
        )


def _groups(deployment: Deployment) -> Iterator[Problem]:
    groups, scenes = deployment.engine.groups, deployment.scenes
    first: dict[str, str] = {}
    for group, names in groups.items():
        path = (ENGINE, "groups", group)
        if not names:
            yield Problem(path, "has no scene", "name its scenes, or leave it out")
        for index, name in enumerate(names):
            if name not in scenes:
                yield Problem((*path, index), f"there is no scene {name!r}", suggest(name, scenes))
            elif name in first:
                yield Problem((*path, index), f"scene {name!r} is in {first[name]!r} already")
            first.setdefault(name, group)
    for name in scenes if groups else ():
        if name not in first:
            yield Problem((ENGINE, "groups"), f"scene {name!r} is in no group", "add it to one")
    for node in deployment.nodes if groups else ():
        of = {first[s]: s for s in scenes_of_node(deployment, node) if s in first}
        if len(of) > 1:
            told = ", ".join(f"{scene!r} is in {group!r}" for group, scene in of.items())
            yield Problem(
                (ENGINE, "groups", list(of)[-1]),
                f"node {node!r} would have to send to several workers: {told}",
                "put these scenes into one group, or split the node in two",
            )


def _apart(deployment: Deployment) -> Iterator[Problem]:
    """Scenes of one incident that no worker sees together."""
    if not deployment.incidents.within_ns or any(_unknown(deployment)):
        return
    together = deployment.incidents.groups
    wanted = [list(deployment.scenes)] if together is None else together
    group_of = {scene: group for group, names in groups_of(deployment).items() for scene in names}
    if any(len({group_of.get(scene) for scene in scenes}) > 1 for scenes in wanted):
        yield Problem(
            ("incidents", "groups") if together is not None else (ENGINE, "kind"),
            "events of scenes in different groups are told apart, not as one incident",
            "put scenes that one cause can reach into one group of the engine",
            fatal=False,
        )


def _unknown(deployment: Deployment) -> Iterator[str]:
    for names in deployment.engine.groups.values():
        yield from (name for name in names if name not in deployment.scenes)
