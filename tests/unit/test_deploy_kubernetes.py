"""The manifests are what Kubernetes takes, and name what there is in fusewatch and its settings."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from nodes.cluster.directory import DirectoryNode
from nodes.cluster.narrowing import data_of, worker_name
from nodes.fusion import FusionNode
from nodes.probe import PAGES, TIMEOUT_S
from nodes.runner import RunOptions
from pipeline.config import Deployment, check_file
from pipeline.config.fusion_settings import FusionSettings
from pipeline.config.groups import groups_of
from pipeline.transport.key_store import KeyStore, Role
from tests.documents import faults
from tests.rendered import KUBERNETES, SITE, Rendered, rendered, with_components
from tests.requirements import require_module

OVERLAYS = ("single-gpu", "cluster", "all of single-gpu")
VERSIONS = ("1.28", "1.37")
"""The first that numbers the pods of a set by a label, and the newest that the validator knows."""
FOREIGN = frozenset({"PodMonitor"})


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    name = str(request.param)
    if name.startswith("all of "):
        copy = tmp_path_factory.mktemp("kubernetes")
        return rendered(with_components(copy, name.removeprefix("all of ")))
    return rendered(KUBERNETES / name)


@pytest.fixture
def deployment(overlay: Rendered, tmp_path: Path) -> Deployment:
    return loaded(overlay.site, tmp_path)


def loaded(text: str, folder: Path) -> Deployment:
    file = folder / SITE
    file.write_text(text, encoding="utf-8")
    report = check_file(file, environ={})
    assert [str(problem) for problem in report.problems] == []
    assert report.loaded is not None
    return report.loaded.deployment


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


@pytest.mark.parametrize("version", VERSIONS)
def test_each_manifest_is_what_kubernetes_takes(overlay: Rendered, version: str) -> None:
    require_module("kubernetes_validate")
    import kubernetes_validate

    for document in overlay.documents:
        if document["kind"] not in FOREIGN:
            kubernetes_validate.validate(document, version, strict=True)


def test_the_deployment_in_it_checks_green(deployment: Deployment, overlay: Rendered) -> None:
    secrets = {f"{n}_URL" for n in ("WEBHOOK", "HALL_CAMERA", "YARD_CAMERA")}
    assert {name for name in re.findall(r"\$\{(\w+_URL)", overlay.site)} <= secrets
    assert deployment.fusion.device == "cuda"


def test_containers_start_commands_and_nodes_that_there_are(
    overlay: Rendered, deployment: Deployment
) -> None:
    for _, container in overlay.containers():
        typed = container["args"]
        assert faults(["fusewatch", *typed]) == []
        assert f"/etc/fusewatch/{SITE}" in typed
        if "--node" in typed:
            assert typed[typed.index("--node") + 1] in deployment.nodes


def probes(container: dict[str, Any]) -> list[dict[str, Any]]:
    return [container[kind] for kind in ("startupProbe", "livenessProbe", "readinessProbe")]


def asked(probe: dict[str, Any], index: str = "1") -> list[str]:
    """What is typed, a shell's words taken apart."""
    command = list(probe["exec"]["command"])
    if command[:2] == ["sh", "-c"]:
        words = command[2].replace("$POD_INDEX", index).replace('"', "")
        return words.removeprefix("exec ").split()
    return command


def test_probes_ask_the_node_that_runs_there(overlay: Rendered, deployment: Deployment) -> None:
    names = {
        "fusion": FusionNode.__init__.__kwdefaults__["name"],
        "alert": "alert",
        "dashboard": "dashboard",
        "directory": DirectoryNode.name,
    }
    for workload, container in overlay.containers():
        data, expected = deployment.data, names.get(container["name"])
        if workload == "fusewatch-worker":
            data, expected = data_of(deployment, "group-1"), worker_name("group-1")
        for probe, page in zip(probes(container), ("livez", "livez", "readyz"), strict=True):
            command, what, where, *node = asked(probe)
            assert (command, what, where) == ("fusewatch-probe", page, str(data))
            assert page in PAGES
            assert node[:1] in ([], [expected])
            assert probe["timeoutSeconds"] > TIMEOUT_S


def test_a_node_has_time_to_drain(overlay: Rendered) -> None:
    drain_s = RunOptions.__dataclass_fields__["drain_s"].default
    for _, pod in overlay.pods():
        waits = [
            float(c["lifecycle"]["preStop"]["exec"]["command"][1])
            for c in pod["spec"]["containers"]
            if "lifecycle" in c
        ]
        assert all(wait > drain_s for wait in waits), "the alert node outlasts the fusion node"
        assert pod["spec"]["terminationGracePeriodSeconds"] >= 2 * drain_s + sum(waits)


def test_services_have_the_ports_that_are_listened_on(
    overlay: Rendered, deployment: Deployment
) -> None:
    services = overlay.of("Service")
    offered = {
        name: {(p["port"], p.get("protocol", "TCP")) for p in service["spec"].get("ports", ())}
        for name, service in services.items()
    }
    listen = port(deployment.fusion.listen)
    assert listen == port(FusionSettings().listen)
    for node in deployment.nodes.values() if not deployment.engine.is_ray else ():
        assert node.fusion == f"tcp://fusewatch-fusion:{listen}"
        assert offered["fusewatch-fusion"] == {(listen, "TCP"), (listen, "UDP")}
    for address in deployment.engine.directory:
        assert offered["fusewatch-directory"] == {(port(address), "TCP")}
    if deployment.fusion.alert is not None:
        assert deployment.fusion.alert == f"tcp://fusewatch-alert:{port(deployment.alert.listen)}"
        assert offered["fusewatch-alert"] == {(port(deployment.alert.listen), "TCP")}


def test_services_and_policies_choose_pods_that_there_are(overlay: Rendered) -> None:
    labels = [pod["metadata"]["labels"] for _, pod in overlay.pods()]
    chosen = [s["spec"]["selector"] for s in overlay.of("Service").values()]
    for policy in overlay.of("NetworkPolicy").values():
        chosen.append(policy["spec"]["podSelector"]["matchLabels"])
        peers = [peer for rule in policy["spec"].get("ingress", ()) for peer in rule["from"]]
        chosen += [p["podSelector"]["matchLabels"] for p in peers if "podSelector" in p]
    for budget in overlay.of("PodDisruptionBudget").values():
        chosen.append(budget["spec"]["selector"]["matchLabels"])
    for selector in chosen:
        assert any(selector.items() <= own.items() for own in labels), selector


def test_workers_are_the_groups_of_the_deployment(
    overlay: Rendered, deployment: Deployment
) -> None:
    if "fusewatch-worker" not in overlay.workloads:
        assert not deployment.engine.is_ray
        return
    spec = overlay.workloads["fusewatch-worker"]["spec"]
    first, count = spec["ordinals"]["start"], spec["replicas"]
    assert [f"group-{n}" for n in range(first, first + count)] == list(groups_of(deployment))


def test_nothing_runs_with_more_rights_than_it_needs(
    overlay: Rendered, request: pytest.FixtureRequest
) -> None:
    devices = str(request.node.callspec.params["overlay"]).startswith("all of ")
    for name, pod in overlay.pods():
        of_pod = pod["spec"]["securityContext"]
        assert of_pod["runAsNonRoot"]
        assert of_pod["runAsUser"] == 10001
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in (*pod["spec"]["initContainers"], *pod["spec"]["containers"]):
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"]
            if devices and (name, container["name"]) == ("fusewatch-capture-hall", "capture"):
                assert own["privileged"]
                continue
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert own["allowPrivilegeEscalation"] is False


def test_what_is_for_its_owner_alone_stays_so_on_a_volume(overlay: Rendered) -> None:
    for workload in overlay.workloads.values():
        if workload["spec"].get("volumeClaimTemplates"):
            security = workload["spec"]["template"]["spec"]["securityContext"]
            assert security["fsGroupChangePolicy"] == "OnRootMismatch"


def test_the_data_lie_in_a_folder_of_their_own_on_the_volume(
    overlay: Rendered, deployment: Deployment
) -> None:
    for _, container in overlay.containers():
        mounted = {Path(m["mountPath"]): m["name"] for m in container["volumeMounts"]}
        assert mounted[deployment.data.parent] == "data"


def test_keys_of_a_secret_become_keys_that_nodes_take(overlay: Rendered, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    KeyStore(tmp_path / "given").create("fusion", Role.FUSION)
    for file in (tmp_path / "given").iterdir():
        file.chmod(0o440)  # a Secret's files, with fsGroup
    commands = {
        json.dumps(c["command"]) for _, p in overlay.pods() for c in p["spec"]["initContainers"]
    }
    (command,) = commands
    subprocess.run(json.loads(command.replace("/run/", f"{tmp_path}/")), check=True)
    keys = KeyStore(tmp_path / "keys")
    assert keys.own("fusion", Role.FUSION).node == "fusion"
    assert [key.node for key in keys.trusted()] == ["fusion"]
    assert {stat.S_IMODE(os.stat(f).st_mode) for f in (tmp_path / "keys").iterdir()} == {0o600}


def test_metrics_are_served_and_watched_at_the_same_ports(tmp_path: Path) -> None:
    kustomization = (KUBERNETES / "metrics" / "kustomization.yaml").read_text("utf-8")
    lines = re.findall(r"^#   (.*)$", kustomization, re.MULTILINE)
    wanted = yaml.safe_load("\n".join(lines))
    site = yaml.safe_load((KUBERNETES / "single-gpu" / SITE).read_text("utf-8"))
    for part, more in wanted.items():
        site[part] |= more
    deployment = loaded(yaml.safe_dump(site), tmp_path)
    overlay = rendered(with_components(tmp_path / "k", "single-gpu"))
    ports = {
        p["name"]: p["containerPort"] for _, c in overlay.containers() for p in c.get("ports", ())
    }
    (monitor,) = overlay.of("PodMonitor").values()
    watched = [ports[end["port"]] for end in monitor["spec"]["podMetricsEndpoints"]]
    assert watched == [port(str(deployment.fusion.http)), port(str(deployment.alert.http))]
    policy = overlay.of("NetworkPolicy")["fusewatch-metrics"]
    assert [p["port"] for rule in policy["spec"]["ingress"] for p in rule["ports"]] == watched
