"""Every benchmark of this folder, one after the other: ``python -m tests.benchmarks [NAME...]``.

Each runs in a process of its own, so that none disturbs another and one that dies does not
take the rest along. The exit code is 1 when any of them failed. Those that take more than a
minute run only when they are named.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
LONG = {
    "clock",
    "day",
    "edge",
    "fleet",
    "fusion",
    "gpu_worker",
    "overload",
    "peers",
    "phases",
    "real_time",
    "recalibration",
    "replay",
    "sync_exact",
    "sync_watch",
    "two_nodes",
}


def benchmarks() -> list[str]:
    """Names of the modules in this folder that have a ``main``."""
    files = sorted(FOLDER.glob("[!_]*.py"))
    return [file.stem for file in files if "\ndef main(" in file.read_text("utf-8")]


def run(name: str) -> int:
    """Run one under its heading; its exit code."""
    print(f"\n=== {name} {'=' * (74 - len(name))}", flush=True)
    began = time.monotonic()
    command = [sys.executable, "-m", f"tests.benchmarks.{name}"]
    code = subprocess.run(command, check=False, cwd=ROOT).returncode
    took = f"{time.monotonic() - began:.0f} s"
    print(f"--- {name}: {took}" if code == 0 else f"--- {name} FAILED ({code}), {took}", flush=True)
    return code


def main(wanted: Sequence[str]) -> int:
    """Run those wanted, or all; 1 if any failed, 64 if there is no such benchmark."""
    known = benchmarks()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 64
    usual = [name for name in known if name not in LONG]
    failed = [name for name in wanted or usual if run(name)]
    print(f"\n{len(failed)} failed: {', '.join(failed)}" if failed else "\nall ran to their end")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
