"""The detector on synthetic sites that it has not seen, beside the targets of GOALS.

Run by hand: ``python -m tests.benchmarks.fusion``; ``make bench`` leaves it out, as a variant
takes four CPU minutes a site, some fusions twenty. Half an hour of normal is learnt; half an hour
of fresh normal and half an hour with an anomaly every 14 s are judged. The first run renders
the sites (a few CPU minutes each, see `tests.benchmarks.synthetic_sites`); ``--quick`` takes
eight minutes of each part, ``--help`` tells the other options. The thresholds are those of
the model's own calibration. The three sites it takes by default were looked at while options of
the detector were chosen: for a verdict, name others (``--sites``).

Rows of the tables are variants of the detector. Peers in the same run: every detector alone,
their late fusion, issue A's joint density, loudness, motion, a random score and one that is
always the same.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import platformdirs
import structlog
import torch

from pipeline.core.sample import Modality
from pipeline.models.contexts.base import CONTEXTS
from pipeline.models.fusions.base import FUSIONS
from pipeline.models.settings import DetectorSettings, Evidence
from tests.benchmarks.fusion_figures import Learnt, Outcome, Variant, judge, learn, together
from tests.benchmarks.fusion_tables import as_json, tables
from tests.benchmarks.synthetic_sites import EVERY, FULL_S, FULL_SIZE, Part, Site, recorded

SITES = ((3, 11), (5, 21), (8, 31))
QUICK_S = 480
SHORTEST_S = 36
USUAL = "default,late,joint"
_MODALITIES = tuple(one for one in Modality if one in EVERY)


def variants() -> dict[str, Variant]:
    """All variants by name.

    Every evidence between streams that is used is also left out once, and every fusion and
    context of the network is tried.
    """
    used = DetectorSettings().evidence
    found = {
        "default": Variant(),
        "late": Variant(DetectorSettings(evidence=())),
        "joint": Variant(DetectorSettings(evidence=(Evidence.JOINT,))),
    }
    for one in used if len(used) > 1 else ():
        rest = tuple(other for other in used if other is not one)
        found[f"without-{one}"] = Variant(DetectorSettings(evidence=rest))
    found |= {f"fusion-{kind}": _odd(fusion=kind) for kind in FUSIONS.kinds()}
    found |= {f"context-{kind}": _odd(context=kind) for kind in CONTEXTS.kinds()}
    found |= {"one-network": _odd(members=1)}
    found |= {f"{one}-alone": Variant(having=frozenset({one})) for one in _MODALITIES}
    found |= {f"{one}-missing": Variant(missing=frozenset({one})) for one in _MODALITIES}
    return found | {f"{m}-minutes": Variant(learn_s=m * 60.0) for m in (5, 10)}


def _odd(**options: object) -> Variant:
    return Variant(DetectorSettings.model_validate({"odd": options}))


def run(
    sites: Sequence[Site],
    chosen: Mapping[str, Variant],
    cache: Path,
    tell: Callable[[str], None],
) -> Iterator[list[Outcome]]:
    """Measure variants at sites, one after the other.

    Args:
        sites: The sites.
        chosen: Variants by name.
        cache: Folder of rendered sites.
        tell: Called with a line about what is being done.

    Yields:
        Outcomes of a site, in the order of the variants.
    """
    for site in sites:
        yield _run_site(site, chosen, cache, tell)


def _run_site(
    site: Site, chosen: Mapping[str, Variant], cache: Path, tell: Callable[[str], None]
) -> list[Outcome]:
    parts = {part: recorded(site, part, cache, tell) for part in Part}
    learnt: dict[tuple[object, ...], Learnt] = {}
    outcomes: list[Outcome] = []
    for name, variant in chosen.items():
        tell(f"{site.name}: {name}")
        if variant.lesson not in learnt:
            learnt[variant.lesson] = learn(variant, parts)
        outcomes.append(judge(name, variant, site.name, parts, learnt[variant.lesson]))
    return outcomes


def report(measured: Iterable[list[Outcome]]) -> list[Outcome]:
    """Print the tables of each site as it comes and of all together; all of the outcomes."""
    sites: list[list[Outcome]] = []
    for outcomes in measured:
        _print(outcomes)
        sites.append(outcomes)
    means = [together(same) for same in zip(*sites, strict=True)]
    if len(sites) > 1:
        _print(means)
    return [*(one for outcomes in sites for one in outcomes), *means]


def _print(outcomes: Sequence[Outcome]) -> None:
    print(f"== {outcomes[0].site}\n\n{tables(outcomes)}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for and print it."""
    asked = _parser().parse_args(arguments)
    # The figures are those of one core, and a log line a model would break the tables up.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    part_s = QUICK_S if asked.quick else round(asked.minutes * 60)
    sites = [Site(place, seed, part_s, asked.size) for place, seed in asked.sites]
    chosen = _possible(asked.variants, part_s)
    outcomes = report(run(sites, chosen, asked.cache, _tell))
    if asked.json is not None:
        told = {"part_s": part_s, "outcomes": [as_json(one) for one in outcomes]}
        asked.json.write_text(json.dumps(told, indent=1, allow_nan=False) + "\n", "utf-8")


def _possible(chosen: Mapping[str, Variant], part_s: int) -> dict[str, Variant]:
    """Variants that do not want to learn more than there is."""
    fit = {n: one for n, one in chosen.items() if one.learn_s is None or one.learn_s <= part_s}
    if len(fit) < len(chosen):
        _tell(f"left out, as parts are shorter: {', '.join(sorted(chosen.keys() - fit.keys()))}")
    return fit


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.benchmarks.fusion", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    cache = platformdirs.user_cache_path("fusewatch") / "sites"
    sites = " ".join(f"{place},{seed}" for place, seed in SITES)
    names = ", ".join(variants())
    add = parser.add_argument
    add("--sites", type=_site, nargs="+", default=SITES, help=f"PLACE,SEED ...; {sites}")
    add("--variants", type=_chosen, default=_chosen(USUAL), help=f"{USUAL}; all, or of: {names}")
    add("--cache", type=Path, default=cache, help="folder of rendered sites")
    add("--quick", action="store_true", help=f"parts of {QUICK_S // 60} minutes: a smoke run")
    add("--minutes", type=_minutes, default=FULL_S / 60, help="length of each part")
    add("--size", type=_size, default=FULL_SIZE, help="WIDTHxHEIGHT of the camera, pixels")
    add("--json", type=Path, help="write the figures there too")
    return parser


def _site(text: str) -> tuple[int, int]:
    place, seed = map(int, text.split(","))
    return place, seed


def _size(text: str) -> tuple[int, int]:
    wide, high = map(int, text.split("x"))
    return wide, high


def _minutes(text: str) -> float:
    if not float(text) * 60 >= SHORTEST_S:
        raise argparse.ArgumentTypeError(f"under {SHORTEST_S} s there is nothing to learn from")
    return float(text)


def _chosen(text: str) -> dict[str, Variant]:
    known = variants()
    names = list(known) if text == "all" else text.split(",")
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(
            f"no variant {', '.join(unknown)}; there are {', '.join(known)}"
        )
    return {name: known[name] for name in names}


if __name__ == "__main__":
    main()
