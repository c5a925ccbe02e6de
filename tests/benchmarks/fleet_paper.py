"""What a fleet needs, worked out from what one unit of it was measured to cost.

Run as ``python -m tests.benchmarks.fleet_paper [--scenes 100000] [--set NAME=VALUE...]``. Nothing
is measured here: `Units` holds what was (where and how stands beside each), `needs` multiplies, and
the table says which part of it is reached first. Other figures give another table.

A scene is that of GOALS: a camera of 640x360 at 10 Hz as JPEG, a microphone of 16 kHz, 20 channels
at 10 Hz, a window a second.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import ceil

WEEK_S = 7 * 86_400
GB, MB = 1e9, 1e6


@dataclass(frozen=True, slots=True)
class Units:
    """Measured unit costs, and the machines that are assumed.

    Attributes:
        score_ms: Of a core, to score a window on a GPU, features to verdict (`gpu_worker`, H200).
        turn_ms: Of a core, for a window's part of alarms, commits and metrics (`fleet_steps`, 64
            scenes a worker).
        message_ms: Of a core, to receive and align a message (`fleet_steps`, likewise).
        messages_hz: Messages a second of a scene: each picture, chunk and reading by itself.
        decode_ms: Of a core, to decode a picture to the size it is looked at (`prepare_picture`).
        pictures_hz: Pictures a second of a scene.
        model_hz: Windows a second of the model alone on a GPU (`gpu_worker`, H200).
        model_mb: Of a model on the GPU (`gpu_worker`).
        worker_mb: Resident memory of a worker without scenes (`fleet`).
        scene_mb: And for each scene; with one sensor stream (`fleet`) it is 0.5, a camera has more.
        windows_hz: Windows a second of a scene.
        scene_bytes_hz: Bytes a second of a scene: ten pictures of 33 kB, sound, readings.
        commits_hz: Transactions a second of a worker that is busy; assumed, `fleet` prints it.
        commit_ms: Of a core of the database, for one with two scenes (`fleet_store`).
        lease_ms: And for each scene of the worker whose lease it renews (`fleet_store`).
        commit_bytes: Of write-ahead log for one of them (`fleet_store`).
        lease_bytes: And for each scene of the worker (`fleet_store`).
        row_us: For each scene that the directory or the placer reads (`fleet_store`).
        directory_hz: Times a second that a busy directory reads all scenes (its own setting).
        start_s: From the start of a worker until it listens (`fleet`), on a machine at rest.
        events_week: Alarms of a scene a week: the budget.
        event_mb: Of evidence for one of them.
        load_ms: Of a core, for each scene of the deployment when a process reads its file.
        deployment_scenes: Scenes of a deployment: about the most that its file may hold, as a YAML
            document of more than 50,000 values or 1 MiB is refused.
        worker_scenes: Scenes of a worker.
        machine_cores: Cores of a machine with a GPU.
        gpu_gb: Memory of a GPU.
        spare: Share of cores that is left free.
    """

    score_ms: float = 3.3
    turn_ms: float = 1.9
    message_ms: float = 0.25
    messages_hz: float = 30.0
    decode_ms: float = 0.42
    pictures_hz: float = 10.0
    model_hz: float = 221_000.0
    model_mb: float = 7.35
    worker_mb: float = 600.0
    scene_mb: float = 2.0
    windows_hz: float = 1.0
    scene_bytes_hz: float = 367_000.0
    commits_hz: float = 20.0
    commit_ms: float = 1.4
    lease_ms: float = 0.0036
    commit_bytes: float = 3_500.0
    lease_bytes: float = 120.0
    row_us: float = 9.4
    directory_hz: float = 5.0
    start_s: float = 5.0
    events_week: float = 2.0
    event_mb: float = 4.0
    load_ms: float = 4.0
    deployment_scenes: float = 1_000.0
    worker_scenes: float = 40.0
    machine_cores: float = 16.0
    gpu_gb: float = 139.0
    spare: float = 0.3


@dataclass(frozen=True, slots=True)
class Needs:
    """What so many scenes need.

    Attributes:
        deployments: Deployments, each with a store, a directory and a placer of its own.
        workers: Fusion processes.
        worker_cores: Cores that one of them keeps busy; more than one is not possible.
        cores: Cores of all workers, with what is left free.
        machines: Machines with a GPU, by their cores.
        gpus_by_memory: GPUs that hold all models.
        gpus_by_speed: GPUs that compute all windows.
        memory_gb: Resident memory of all workers.
        network_gbit_s: What comes in.
        network_machine_gbit_s: And at one machine.
        recording_tb_day: If everything was recorded.
        evidence_gb_day: Evidence of events.
        events_hz: Events a second, each of at least two phases.
        commits_hz: Transactions a second.
        leases_hz: Rows of leases that these write a second.
        database_cores: Cores of the database.
        database_mb_s: Its write-ahead log.
        read_share: Share of its time that a busy directory of one deployment reads in; over 1: it
            never catches up.
        placer_share: That of its placer, which reads all once a second.
        load_s: Processor time in which each process reads the deployment's file.
        upgrade_h: Hours until the workers of a deployment were started anew, one by one.
    """

    deployments: int
    workers: int
    worker_cores: float
    cores: float
    machines: int
    gpus_by_memory: int
    gpus_by_speed: int
    memory_gb: float
    network_gbit_s: float
    network_machine_gbit_s: float
    recording_tb_day: float
    evidence_gb_day: float
    events_hz: float
    commits_hz: float
    leases_hz: float
    database_cores: float
    database_mb_s: float
    read_share: float
    placer_share: float
    load_s: float
    upgrade_h: float


def scene_ms(units: Units) -> float:
    """Milliseconds of a core that a scene takes each second."""
    windows = units.windows_hz * (units.score_ms + units.turn_ms)
    return windows + units.messages_hz * units.message_ms + units.pictures_hz * units.decode_ms


def needs(scenes: float, units: Units) -> Needs:
    """What so many scenes need, by these unit costs."""
    workers = ceil(scenes / units.worker_scenes)
    busy = scenes * scene_ms(units) / 1e3
    cores = busy / (1 - units.spare)
    machines = ceil(cores / units.machine_cores)
    commits_hz = workers * units.commits_hz
    leases_hz = commits_hz * units.worker_scenes
    bytes_hz = scenes * units.scene_bytes_hz
    events_hz = scenes * units.events_week / WEEK_S
    together = min(scenes, units.deployment_scenes)
    read_s = together * units.row_us / 1e6
    load_s = together * units.load_ms / 1e3
    return Needs(
        deployments=ceil(scenes / units.deployment_scenes),
        workers=workers,
        worker_cores=busy / workers,
        cores=cores,
        machines=machines,
        gpus_by_memory=ceil(scenes * units.model_mb * MB / (units.gpu_gb * GB)),
        gpus_by_speed=ceil(scenes * units.windows_hz / units.model_hz),
        memory_gb=(workers * units.worker_mb + scenes * units.scene_mb) * MB / GB,
        network_gbit_s=8 * bytes_hz / GB,
        network_machine_gbit_s=8 * bytes_hz / machines / GB,
        recording_tb_day=bytes_hz * 86_400 / 1e12,
        evidence_gb_day=events_hz * 86_400 * units.event_mb * MB / GB,
        events_hz=events_hz,
        commits_hz=commits_hz,
        leases_hz=leases_hz,
        database_cores=(commits_hz * units.commit_ms + leases_hz * units.lease_ms) / 1e3,
        database_mb_s=(commits_hz * units.commit_bytes + leases_hz * units.lease_bytes) / MB,
        read_share=read_s * units.directory_hz,
        placer_share=read_s,
        load_s=load_s,
        upgrade_h=ceil(together / units.worker_scenes) * (units.start_s + load_s) / 3_600,
    )


def table(found: Sequence[tuple[float, Needs]]) -> str:
    """The needs of several fleets, a column each."""
    lines = [f"{'scenes':26}" + "".join(f"{scenes:13,.0f}" for scenes, _ in found)]
    for one in fields(Needs):
        cells = [getattr(need, one.name) for _, need in found]
        lines.append(f"{one.name.replace('_', ' '):26}" + "".join(map(_cell, cells)))
    return "\n".join(lines)


def _cell(value: float) -> str:
    return f"{value:13,.2f}" if value < 10 and value != int(value) else f"{value:13,.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="what a fleet needs, on paper")
    parser.add_argument("--scenes", type=float, nargs="+", default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", dest="changes")
    given = parser.parse_args(arguments)
    known = {one.name for one in fields(Units)}
    changes = dict(change.partition("=")[::2] for change in given.changes)
    if unknown := changes.keys() - known:
        parser.error(f"no unit {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    units = replace(Units(), **{name: float(value) for name, value in changes.items()})
    print(table([(scenes, needs(scenes, units)) for scenes in given.scenes]))


if __name__ == "__main__":
    main()
