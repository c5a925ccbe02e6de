"""What the processes of a deployment say of themselves over HTTP, read and not interpreted.

A process on this machine is found by its run file (workers of a cluster in their groups' folders),
any other by the ``http`` address that the
deployment gives it, if that has a port of its own: over TLS and with the token of
``security.http`` where other machines can reach it.
"""

from __future__ import annotations

import http
import http.client
import json
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from nodes.cluster.narrowing import data_of, worker_name
from pipeline.config.addresses import is_loopback
from pipeline.config.deployment import Deployment
from pipeline.config.groups import groups_of
from pipeline.config.http_settings import HttpSettings
from pipeline.core.errors import ConfigError

Labels: TypeAlias = Mapping[str, str]
TIMEOUT_S = 2.0
_ANYWHERE = ("0.0.0.0", "::", "*", "")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process is asked.

    Attributes:
        name: Name of the process, as its run file has it.
        address: ``HOST:PORT``; empty: it is not known.
        guard: Token and certificate of a page that other machines can reach; None: plain HTTP.
    """

    name: str
    address: str
    guard: HttpSettings | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a process said.

    Attributes:
        name: Name of the process.
        at_s: When it was asked, monotonic seconds.
        error: Why it could not be asked; empty when it answered.
        troubles: Checks of its readiness that fail, with their details.
        values: Every sample of its metrics, by name: labels and value.
    """

    name: str
    at_s: float
    error: str = ""
    troubles: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, list[tuple[Labels, float]]] = field(default_factory=dict)

    @property
    def silent(self) -> bool:
        """Whether it did not answer, so that nothing is known of it."""
        return bool(self.error)

    def each(self, name: str) -> Iterator[tuple[Labels, float]]:
        """Samples of one metric."""
        yield from self.values.get(name, ())

    def by(self, label: str, name: str) -> dict[str, float]:
        """Samples of one metric, by one label; those that share it are added up."""
        found: dict[str, float] = {}
        for labels, value in self.each(name):
            key = labels.get(label, "")
            found[key] = found.get(key, 0.0) + value
        return found

    def one(self, name: str) -> float | None:
        """The only sample of a metric; None: there is none."""
        return next((value for _, value in self.each(name)), None)


def places(deployment: Deployment, given: Iterable[str] = ()) -> list[Place]:
    """Where each process of a deployment is asked.

    Args:
        deployment: The deployment.
        given: ``NAME=HOST:PORT`` of processes that neither it nor this machine knows.

    Raises:
        ConfigError: One of them is not such, or names no process.
    """
    known = {f"capture-{name}": node.http for name, node in deployment.nodes.items()}
    workers = {worker_name(group): group for group in cluster_groups(deployment)}
    fusion = dict.fromkeys(workers) or {"fusion": deployment.fusion.http}
    known |= {**fusion, "alert": deployment.alert.http}
    named = dict(_named(one, known) for one in given)
    guard = deployment.security.http
    found = []
    for name, address in known.items():
        data = data_of(deployment, workers[name]) if name in workers else deployment.data
        near = _running(data, name) if name not in named else ""
        far = named.get(name, address) or ""
        if name in workers and not near and not far:
            continue  # it is elsewhere: the store tells how it is
        outside = not is_loopback(far.rpartition(":")[0].strip("[]"))
        found.append(Place(name, near or _written(far), guard if outside and not near else None))
    return found


def read_all(where: Iterable[Place]) -> dict[str, Reading]:
    """Ask every process at once; by name."""
    asked = list(where)
    with ThreadPoolExecutor(max_workers=max(1, min(32, len(asked)))) as pool:
        return {reading.name: reading for reading in pool.map(read, asked)}


def read(place: Place) -> Reading:
    """Ask one process."""
    at_s = time.monotonic()
    if not place.address:
        return Reading(
            place.name, at_s, f"not running on this machine; elsewhere: --at {place.name}=HOST:PORT"
        )
    try:
        checks = json.loads(_page(place, "/readyz"))["checks"]
        values = _values(_page(place, "/metrics"))
    except _Refused as error:
        return Reading(place.name, at_s, f"{place.address}: {error}")
    except (OSError, http.client.HTTPException) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Reading(place.name, at_s, f"{place.address}: {said}{_advice(place)}")
    except (ValueError, KeyError) as error:
        return Reading(place.name, at_s, f"{place.address} is no fusewatch: {error}")
    troubles = {name: check["detail"] for name, check in checks.items() if not check["ok"]}
    return Reading(place.name, at_s, troubles=troubles, values=values)


def _page(place: Place, path: str) -> str:
    connection, headers = _connection(place)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        if answer.status == http.HTTPStatus.UNAUTHORIZED:
            raise _Refused("it does not take our token (security.http.token)")
        return answer.read().decode()
    finally:
        connection.close()


def _advice(place: Place) -> str:
    """What may be wrong where another machine does not answer."""
    if place.guard is not None or is_loopback(_host_and_port(place)[0]):
        return ""
    return " (other machines answer by TLS only, for which security.http is to be given here)"


class _Refused(Exception):
    """The process does not answer who we are."""


def _host_and_port(place: Place) -> tuple[str, int]:
    host, _, port = place.address.rpartition(":")
    return host.strip("[]"), int(port)


def _connection(place: Place) -> tuple[http.client.HTTPConnection, dict[str, str]]:
    """A connection to a process, and what it must be told to answer."""
    host, port = _host_and_port(place)
    if place.guard is None:
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S), {}
    trust = ssl.create_default_context()
    trust.load_verify_locations(place.guard.certificate)
    trust.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself, whoever signed it
    safe = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=trust)
    return safe, {"Authorization": f"Bearer {place.guard.token.get_secret_value()}"}


def _values(text: str) -> dict[str, list[tuple[Labels, float]]]:
    found: dict[str, list[tuple[Labels, float]]] = {}
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, float(sample.value)))
    return found


def cluster_groups(deployment: Deployment) -> Mapping[str, Sequence[str]]:
    """Groups of scenes that have a worker each; none where one process fuses all."""
    return groups_of(deployment) if deployment.engine.is_ray else {}


def _running(data: Path, name: str) -> str:
    """Address of a process that runs on this machine."""
    try:
        port = json.loads((data / "run" / f"{name}.json").read_bytes())["http"]
    except (OSError, ValueError, KeyError):
        return ""
    return f"127.0.0.1:{port}" if port else ""


def _written(address: str | None) -> str:
    """The address that the deployment gives, as it can be connected to."""
    host, _, port = (address or "").rpartition(":")
    if not port.isdecimal() or int(port) == 0:
        return ""
    return f"127.0.0.1:{port}" if host in _ANYWHERE else f"{host}:{port}"


def _named(given: str, known: Mapping[str, object]) -> tuple[str, str]:
    name, _, address = given.partition("=")
    if name not in known or not address.rpartition(":")[2].isdecimal():
        names = ", ".join(known)
        raise ConfigError(
            f"{given!r} is not NAME=HOST:PORT", fix=f"write one of {names}, '=' and an address"
        )
    return name, address
