"""Manifests of `configs/deploy/kubernetes` as kustomize puts them together, and what is in them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tests.requirements import command_of

KUBERNETES = Path(__file__).resolve().parents[1] / "configs" / "deploy" / "kubernetes"
WORKLOADS = frozenset({"StatefulSet", "Deployment"})
SITE = "site.yaml"


@dataclass(frozen=True)
class Rendered:
    """One overlay."""

    documents: tuple[dict[str, Any], ...]

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """All of a kind, by name."""
        return {d["metadata"]["name"]: d for d in self.documents if d["kind"] == kind}

    @cached_property
    def workloads(self) -> dict[str, dict[str, Any]]:
        """What runs pods, by name."""
        found = [d for d in self.documents if d["kind"] in WORKLOADS]
        return {d["metadata"]["name"]: d for d in found}

    def pods(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each pod's template, with the name of what runs it."""
        for name, workload in self.workloads.items():
            yield name, workload["spec"]["template"]

    def containers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each container that stays, with the name of its workload."""
        for name, pod in self.pods():
            for container in pod["spec"]["containers"]:
                yield name, container

    @cached_property
    def site(self) -> str:
        """The deployment in the ConfigMap."""
        (found,) = [d for d in self.documents if d["kind"] == "ConfigMap"]
        return str(found["data"][SITE])


def rendered(overlay: Path) -> Rendered:
    command = [command_of("kubectl"), "kustomize", str(overlay)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return Rendered(tuple(yaml.safe_load_all(said.stdout)))


def with_components(folder: Path, overlay: str) -> Path:
    """A copy of all manifests in which an overlay's components are switched on."""
    shutil.copytree(KUBERNETES, folder, dirs_exist_ok=True)
    file = folder / overlay / "kustomization.yaml"
    text = file.read_text("utf-8")
    assert "\n# components: " in text
    file.write_text(text.replace("\n# components: ", "\ncomponents: "), encoding="utf-8")
    return folder / overlay
