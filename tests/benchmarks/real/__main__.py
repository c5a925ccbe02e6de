"""The detector on real recordings, beside simple peers: ``python -m tests.benchmarks.real``.

Run by hand, with any of ``skab``, ``smd``, ``asd``, ``rooms``, ``surveillance``, ``sounds``,
``labelled`` (the plain classifier), ``composite`` (which takes more than half an hour); all
without a name.
The recordings lie beside the checkout (``--data``, ``../shared/data``) and are never part of it;
a set that is not there is passed over with a line that says so. CPU, one thread.

Limits come from what was learnt, never from what is judged, and there is no point adjustment:
it lifts a random score to an F1 of .85 on SMD. Each set is told in two halves: the files that
options were chosen on, and the others, which nobody looked at before.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import structlog
import torch

from tests.benchmarks.real import composite, labelled, rooms, servers, skab, sounds, surveillance

DATA = Path("../shared/data")
SETS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "skab": ("skab", skab.run),
    "smd": ("smd", partial(servers.run, which="smd")),
    "sounds": ("ambience_blanket", sounds.run),
    "rooms": ("room_climate", rooms.run),
    "asd": ("asd_omi", partial(servers.run, which="asd")),
    "surveillance": ("video_vtest", surveillance.run),
    "labelled": ("dcase2016_office", labelled.run),
    "composite": ("video_intel", composite.run),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sets that the command line names and print the tables."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.real", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the recordings")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.sets if name not in SETS]:
        parser.error(f"no set {', '.join(unknown)}; there are {', '.join(SETS)}")
    torch.set_num_threads(1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    for name in asked.sets or SETS:
        folder, run = SETS[name]
        if (asked.data / folder).is_dir():
            run(asked.data)
        else:
            print(f"{name}: left out, {asked.data / folder} is not there")


if __name__ == "__main__":
    main()
