"""What a deployment needs of this machine: its ports, disk and GPU, and models that fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nodes.doctor import Finding, Level, port_finding
from nodes.doctor_machine import disk, free_bytes, gpu
from nodes.run_files import read_run_files
from pipeline.config import Deployment
from pipeline.core.errors import ModelFileError


def examine_site(deployment: Deployment) -> Iterator[Finding]:
    """Look at everything that a deployment needs here."""
    yield from gpu(deployment.fusion.device)
    yield from disk(deployment.data)
    yield from kept(deployment)
    yield from ports(deployment)
    yield from models(deployment)


def ports(deployment: Deployment) -> Iterator[Finding]:
    """Whether what the nodes listen on is free, or taken by these nodes themselves."""
    running = {found.name for found in read_run_files(deployment.data)}
    listening = {"fusion": deployment.fusion.listen, "alert": deployment.alert.listen}
    if deployment.dashboard is not None:
        listening["dashboard"] = deployment.dashboard.listen
    for node, address in listening.items():
        if address.startswith("ipc:"):
            continue
        if node in running:
            yield Finding(f"port of {node}", Level.OK, f"the node runs: {address}")
        else:
            yield port_finding(node, address)


def kept(deployment: Deployment) -> Iterator[Finding]:
    """Whether what may be kept has an end, and room."""
    record = deployment.fusion.record
    if record is not None:
        held = sum(file.stat().st_size for file in record.folder.glob("*.mcap"))
        room_gb = (free_bytes(record.folder) + held) / 1e9
        if record.max_total_gb > room_gb:
            text = (
                f"recordings may take {record.max_total_gb:g} GB, there is room for {room_gb:.0f}"
            )
            fix = f"fusion.record.max_total_gb: {max(1, int(room_gb // 2))}"
            yield Finding("recordings", Level.PROBLEM, text, fix)
    if deployment.retention is None or deployment.retention.evidence is None:
        text = "pictures, clips and sound of events are kept for ever"
        yield Finding("evidence", Level.NOTE, text, "retention: {evidence: 90d}")


def models(deployment: Deployment) -> Iterator[Finding]:
    """Whether each scene has a model that knows its streams."""
    for name, scene in deployment.scenes.items():
        if scene.model is None:
            yield Finding(f"scene {name}", Level.NOTE, "no `model`: recorded, not judged")
        elif not scene.model.is_file():
            fix = f"fusewatch commission --live CONFIG --scene {name}"
            yield Finding(f"scene {name}", Level.NOTE, f"not learnt: no {scene.model}", fix)
        else:
            yield _model(name, scene.model, deployment)


def _model(name: str, path: Path, deployment: Deployment) -> Finding:
    """How the model of a scene suits its streams."""
    try:
        from nodes.assembly import scene_model

        learnt = scene_model(deployment, name, path)
    except ModuleNotFoundError:
        return Finding(f"scene {name}", Level.NOTE, "not looked at: torch is not installed here")
    except ModelFileError as error:
        return Finding(f"scene {name}", Level.PROBLEM, error.message, error.fix)
    known = {stream.info.name for stream in learnt.streams}
    wanted = set(deployment.scenes[name].streams)
    said = [f"its model does not know {one}: left out" for one in sorted(wanted - known)]
    said += [f"its model misses {one}: judged without" for one in sorted(known - wanted)]
    if not said:
        return Finding(f"scene {name}", Level.OK, f"its model knows all of {len(known)} streams")
    fix = f"commission it again: fusewatch commission --live CONFIG --scene {name}"
    level = Level.PROBLEM if wanted - known else Level.NOTE
    return Finding(f"scene {name}", level, "; ".join(said), fix)
