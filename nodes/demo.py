"""The demo: a synthetic site is learnt, watched live for a minute, and alarmed on.

Nothing in it is made for show only: the site's normal is recorded to files and commissioned
from them, the live minute is the shipped ``configs/demo.yaml`` run by the supervisor in its
usual processes, and at the end the recording is replayed through the engine and compared,
byte for byte, with the events that the alert node delivered.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from nodes.dashboard.access import page_token
from nodes.demo_report import Match, Truth, draw_timeline, final_events, match, print_summary
from nodes.demo_site import record_normal, site_of, truths_of, zero_ns_of
from nodes.free_ports import free_ports
from nodes.logs import configure_logs
from nodes.run import children
from nodes.shipped import shipped_config
from nodes.supervisor import Supervisor
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.event import Event, from_json

if TYPE_CHECKING:
    from nodes.replay import Replayed

SCENE = "site"
PARTS = 2
DEFAULT_OUT = "../demo-out"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How the demo is run.

    Attributes:
        out: Folder for everything it makes; emptied first.
        live_s: Seconds watched live.
        learn_s: Seconds of normal learnt first.
        start: Site time of the first live second, ISO 8601, or ``now``. A fixed time makes two
            runs comparable to the byte.
    """

    out: Path
    live_s: float = 60.0
    learn_s: float = 300.0
    start: str = "now"


def run_demo(options: DemoOptions, console: Console) -> int:
    """Run the demo; 0 when anomalies were found and the replay agrees with the live run."""
    config = prepare(options)
    configure_logs("demo")
    deployment = load_deployment(config)
    console.rule("1. Learning what is normal")
    learn(deployment, options, console)
    console.rule(f"2. Watching live for {options.live_s:.0f} s")
    _tell_page(deployment, console)
    code = Supervisor(children(config, deployment)).run()
    console.rule("3. What came of it")
    return conclude(deployment, options, console) or code


def prepare(options: DemoOptions) -> Path:
    """Empty the folder, put the deployment into it, and set its variables.

    Returns:
        The deployment file.
    """
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(mode=0o700, parents=True)  # as data folders are
    config = options.out / "demo.yaml"
    # The copy lies in the folder it names, so that it can be replayed later without variables.
    config.write_text(shipped_config("demo.yaml").read_text().replace(DEFAULT_OUT, "."))
    fusion, alert, page = free_ports(3)
    os.environ.update(
        {
            "FUSEWATCH_DEMO_PORT": str(fusion),
            "FUSEWATCH_DEMO_ALERT_PORT": str(alert),
            "FUSEWATCH_DEMO_PAGE_PORT": str(page),
            "FUSEWATCH_DEMO_SECONDS": str(options.live_s),
            "FUSEWATCH_DEMO_START": options.start,
            # What the nodes find comes from the console sink; logs only when something is off.
            "FUSEWATCH_LOG_LEVEL": os.environ.get("FUSEWATCH_DEMO_LOG_LEVEL", "warning"),
        }
    )
    return config


def learn(deployment: Deployment, options: DemoOptions, console: Console) -> None:
    """Record the time before the live minute, in parallel parts, and commission from it."""
    site = site_of(deployment)
    part_s = options.learn_s / PARTS
    files = [options.out / "normal" / f"normal-{part + 1}.mcap" for part in range(PARTS)]
    zero_ns, begin_s = zero_ns_of(site, time.time_ns()), site.from_s - options.learn_s
    spans = [(begin_s + part * part_s, begin_s + (part + 1) * part_s) for part in range(PARTS)]
    with (
        console.status(f"recording {options.learn_s / 60:.0f} minutes of the site's normal"),
        ProcessPoolExecutor(PARTS, get_context("spawn")) as workers,
    ):
        parts = [
            workers.submit(record_normal, site, file, from_s, to_s, zero_ns)
            for file, (from_s, to_s) in zip(files, spans, strict=True)
        ]
        # Torch is loaded while the site is recorded.
        from nodes.commission import commission_scene
        from nodes.stage_bar import StageBar

        for part in parts:
            part.result()
    model = deployment.scenes[SCENE].model
    if model is None:
        raise ValueError("the demo's scene names no model")
    with StageBar(console) as bar:
        report = commission_scene(deployment, SCENE, files, model, progress=bar.tell)
    console.print(f"learnt from {report.windows} windows, {report.seconds / 60:.1f} minutes")


def conclude(deployment: Deployment, options: DemoOptions, console: Console) -> int:
    """Compare with the truth and with a replay, draw, and say where everything lies."""
    from nodes.replay import replay, write_events, write_scores
    from pipeline.models.odd_settings import OddSettings

    recordings = sorted((options.out / "recordings").glob("*.mcap"))
    live = read_events(options.out / "events.jsonl")
    replayed = replay(recordings, deployment)
    write_events(options.out / "replayed.jsonl", replayed.events)
    write_scores(options.out / "scores.csv", replayed.scores, replayed.start_ns)
    truths = truths_of(site_of(deployment), options.live_s)
    result = match(truths, final_events(live, replayed.start_ns))
    print_summary(console, result)
    plot = options.out / "timeline.png"
    threshold = replayed.budgets[SCENE].threshold
    draw_timeline(plot, result, replayed.scores, threshold, replayed.start_ns)
    same = same_bytes(options.out / "events.jsonl", options.out / "replayed.jsonl")
    _tell(console, options, result, replayed, recordings, same=same)
    if result.missed_between and options.learn_s < OddSettings().least_s:
        console.print(
            "what only contradicts between the senses takes a network, which is not learnt from "
            f"{options.learn_s / 60:.0f} minutes; in some minutes more: "
            f"{called_as()} demo --learn 600",
            soft_wrap=True,
        )
    return 0 if result.hits and same else 1


def read_events(path: Path) -> list[Event]:
    """Events that the jsonl sink wrote."""
    if not path.exists():
        return []
    return [from_json(line) for line in path.read_bytes().splitlines()]


def same_bytes(first: Path, second: Path) -> bool:
    """Whether both files hold the same bytes."""
    return first.exists() and second.exists() and first.read_bytes() == second.read_bytes()


def _tell_page(deployment: Deployment, console: Console) -> None:
    """Where the live minute can be watched; what follows # stays in the browser."""
    if deployment.dashboard is not None:
        page = f"http://{deployment.dashboard.listen}/login#{page_token(deployment.data)}"
        console.print(f"in the browser: {page}", soft_wrap=True, markup=False)


def _tell(
    console: Console,
    options: DemoOptions,
    result: Match,
    replayed: Replayed,
    recordings: Sequence[Path],
    *,
    same: bool,
) -> None:
    truths: list[Truth] = [truth for truth, _ in result.found]
    console.print(
        f"found {result.hits} of {len(truths)}, {len(result.false_alarms)} false alarms, "
        f"{replayed.windows} windows"
    )
    agrees = "gives the same events, byte for byte" if same else "[red]differs from the live run[/]"
    console.print(f"replay of the recording {agrees}")
    out = options.out
    for what, path in (
        ("events", out / "events.jsonl"),
        ("pictures, clips, sound", out / "evidence"),
        ("recording", recordings[-1] if recordings else out / "recordings"),
        ("scores", out / "scores.csv"),
        ("timeline", out / "timeline.png"),
    ):
        console.print(f"  {what:24} {path}", soft_wrap=True, markup=False)
    files, config, typed = " ".join(str(r) for r in recordings), out / "demo.yaml", called_as()
    for what, command in (
        ("in the browser", f"dashboard {config}"),
        ("live again, until it is stopped", f"run {config}"),
        ("again", f"replay {files} --config {config}"),
    ):
        console.print(f"{what}: {typed} {command}", soft_wrap=True, markup=False)


def called_as() -> str:
    """How fusewatch is called here: by name, or by its path where a shell would not find it."""
    called = Path(sys.argv[0])
    by_path = called.name == "fusewatch" and shutil.which("fusewatch") is None
    return str(called) if by_path else "fusewatch"
