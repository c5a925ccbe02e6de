"""Fuzz one reader with atheris, for as long as you like.

Run: ``python -m tests.fuzz NAME --minutes 10``; without a name it lists them. The inputs that
come with fusewatch (``tests/fuzz/corpus``) and the valid ones of the target are where it begins;
what it finds goes into ``--out``, an input that breaks a promise into ``crash-*`` there. Needs
``pip install atheris``. The same targets run in the test suite with what hypothesis draws.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import structlog

from tests.fuzz.targets import TARGETS, Target

CORPUS = Path(__file__).parent / "corpus"
_TIMEOUT_S, _MEMORY_MB = 20, 4096


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz; libFuzzer ends the process, with 77 when it found something."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", nargs="?", choices=[*TARGETS, None], help="what to fuzz")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--out", type=Path, default=Path("fuzz-out"), help="what is found")
    options = parser.parse_args(arguments)
    if options.name is None:
        print("\n".join(TARGETS))
        return 0
    try:
        atheris = import_module("atheris")
    except ModuleNotFoundError:
        print("atheris is not installed: pip install atheris", file=sys.stderr)
        return 69
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    target = TARGETS[options.name]
    with atheris.instrument_imports(include=["pipeline"]):  # before anything else imports it
        read = target.reader()
    found = prepare(target, options.out)
    flags = [
        f"-max_total_time={round(options.minutes * 60)}",
        f"-max_len={target.largest}",
        f"-timeout={_TIMEOUT_S}",
        f"-rss_limit_mb={_MEMORY_MB}",
        f"-artifact_prefix={found.parent}/crash-{target.name}-",
        "-print_final_stats=1",
    ]
    kept = [str(folder) for folder in (found, CORPUS / target.name) if folder.is_dir()]
    atheris.Setup([sys.argv[0], *flags, *kept], read)
    atheris.Fuzz()
    return 0


def prepare(target: Target, out: Path) -> Path:
    """The folder for what is found, with the target's valid inputs in it."""
    folder = out / target.name
    folder.mkdir(parents=True, exist_ok=True)
    for data in target.valid():
        (folder / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
