"""Run a deployment for hours under load and random faults, and judge what came of it.

Run: ``python -m tests.soak --hours 2 --out FOLDER``. A capture node (camera of 1280x720 at 15
frames a second, microphone of 16 kHz, 20 channels at 10 Hz, spool on), a fusion node with a
commissioned scene and an alert node with a webhook are real processes under ``fusewatch run``.
Nodes are killed and stopped, the line between them is cut, the web address answers 500, all
drawn from ``--seed``. Every few seconds memory, ages, ledger and queues are looked at.

At the end everything must be delivered. Then `tests.soak.judging` says whether the ledger was
exact at every look, nothing was lost, memory is flat, and the web address took exactly the
events that the store holds. In the folder: ``report.json``, ``soak.png``, ``looks.jsonl``,
``run.log``. Exit code 1 on a violation. ``--judge`` judges a folder again.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.soak.faults import Fault, Mischief, plan
from tests.soak.judging import Verdict, judge
from tests.soak.kept import LOOKS, read, write_end, write_plan
from tests.soak.material import prepare
from tests.soak.plot import draw
from tests.soak.sampling import Look, look
from tests.soak.site import SoakSite

DRAIN_S = 600.0
UNDER_WAY = 150
"""Samples of a stream that may wait for their ack when all is well: some seconds of them."""


def run(folder: Path, seconds: float, faults: list[Fault], every_s: float, material: Path) -> None:
    """Run, and leave everything that `tests.soak.kept.read` reads in `folder`."""
    with SoakSite(folder, material) as site, (folder / LOOKS).open("w") as file:
        began_s = time.monotonic()
        write_plan(folder, seconds, faults)
        mischief = Mischief(faults, began_s, site.pids, site.line, site.refuse)
        try:
            for seen in _looks(site, began_s, began_s + seconds, every_s):
                print(seen.to_json(), file=file, flush=True)
        finally:
            mischief.close()
        for seen in _looks(site, began_s, time.monotonic() + DRAIN_S, every_s):
            print(seen.to_json(), file=file, flush=True)
            if _drained(seen):
                break
        write_end(folder, site.stop(), site.taken())


def _looks(site: SoakSite, began_s: float, until_s: float, every_s: float) -> Iterator[Look]:
    """Look again and again until it is late or the deployment has ended."""
    while (now_s := time.monotonic()) < until_s and site.alive():
        yield look(site.data, now_s - began_s, site.others())
        time.sleep(max(0.0, now_s + every_s - time.monotonic()))


def _drained(seen: Look) -> bool:
    """Whether nothing waits but what always does."""
    waiting = [seen.waiting.get(what, 1.0) for what in ("events", "outbox")]
    under_way = [books.spooled for books in seen.ledger.values()]
    return max(under_way, default=UNDER_WAY) < UNDER_WAY and not any(waiting)


def conclude(folder: Path) -> Verdict:
    """Judge a folder, write report and picture, and say the verdict."""
    kept = read(folder)
    verdict = judge(kept)
    (folder / "report.json").write_text(verdict.to_json())
    draw(kept, folder / "soak.png")
    for name, value in verdict.figures.items():
        print(f"{name:34} {json.dumps(value)}")
    for violation in verdict.violations[:50]:
        print(f"VIOLATION: {violation}")
    print("well" if not verdict.violations else f"{len(verdict.violations)} violations")
    return verdict


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and judge; 1 on a violation."""
    parser = argparse.ArgumentParser("python -m tests.soak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--hours", type=float, default=2.0, help="how long (default 2)")
    parser.add_argument("--out", type=Path, default=Path("soak-out"), help="an empty folder")
    parser.add_argument("--material", type=Path, help="where site and model are kept for again")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    parser.add_argument("--every", type=float, default=5.0, help="seconds from look to look")
    parser.add_argument("--judge", action="store_true", help="judge what is in the folder already")
    options = parser.parse_args(arguments)
    if not options.judge:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # it takes its nodes with it
        options.out.mkdir(parents=True, exist_ok=True)
        if any(options.out.iterdir()):
            parser.error(f"{options.out} is not empty")
        material = options.material or options.out / "material"
        prepare(material)
        seconds = options.hours * 3600
        run(options.out, seconds, plan(seconds, options.seed), options.every, material)
    return 1 if conclude(options.out).violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
