"""Scores from the CSV that ``fusewatch replay --scores`` writes, or anything of that shape.

Columns: ``start_s``, ``end_s`` and ``p`` (calibrated, small is anomalous), ``scene`` if there
is more than one, and any number of further ones with a p-value per detector, empty where it
could not see.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.core.errors import ConfigError
from pipeline.detection.score import WindowScore

SECOND_NS = 1_000_000_000
_OWN = ("start_s", "end_s", "p", "scene")


def read_scores(path: Path, scene: str | None = None) -> tuple[list[WindowScore], int]:
    """Read the scores of one scene.

    Args:
        path: The CSV.
        scene: Which scene; None: the only one.

    Returns:
        One score a window, in order, with times from second 0; and the hop in nanoseconds.

    Raises:
        ConfigError: The file cannot be read, a row is wrong (with its line), there are several
            scenes, or fewer than two windows.
    """
    rows = _rows(path)
    names = list(dict.fromkeys(score.scene for score in rows))
    wanted = scene if scene is not None else names[0] if len(names) == 1 else None
    if wanted is None or (wanted not in names and names != [""]):
        what = f"no scene {scene!r}" if scene is not None else "scores of several scenes"
        raise ConfigError(what, where=str(path), fix=f"--scene {'|'.join(names)}")
    chosen = sorted((s for s in rows if s.scene in {wanted, ""}), key=lambda s: s.end_ns)
    return _numbered(chosen, str(path))


def _rows(path: Path) -> list[WindowScore]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            _check_columns(table.fieldnames or (), path)
            scores = [_score(row, f"{path}:{table.line_num}") for row in table]
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"not a CSV: {error}", where=str(path)) from error
    if not scores:
        raise ConfigError("holds no scores", where=str(path))
    return scores


def _check_columns(names: Sequence[str], path: Path) -> None:
    if missing := [name for name in ("start_s", "end_s", "p") if name not in names]:
        raise ConfigError(
            f"has no column {', '.join(missing)}",
            where=str(path),
            fix="write it with fusewatch replay --scores",
        )


def _score(row: Mapping[str, str], where: str) -> WindowScore:
    start_s, end_s = _number(row, "start_s", where), _number(row, "end_s", where)
    detectors = {
        name: _p(row, name, where)
        for name, text in row.items()
        if name not in _OWN and name is not None and text
    }
    return WindowScore(
        scene=row.get("scene") or "",
        index=0,
        start_ns=round(start_s * SECOND_NS),
        end_ns=round(end_s * SECOND_NS),
        p=_p(row, "p", where),
        detectors=detectors,
    )


def _number(row: Mapping[str, str], name: str, where: str) -> float:
    text = row.get(name)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"{name} is {text!r}, not a number", where=where)
    return value


def _p(row: Mapping[str, str], name: str, where: str) -> float:
    value = _number(row, name, where)
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} is {value:g}, not a p-value between 0 and 1", where=where)
    return value


def _numbered(scores: Sequence[WindowScore], where: str) -> tuple[list[WindowScore], int]:
    """Scores with their places on the grid, which the CSV does not tell, and the hop."""
    ends = np.array([score.end_ns for score in scores])
    steps = np.diff(ends)
    if not len(steps):
        raise ConfigError("fewer than two windows", where=where)
    if not steps.min() > 0:
        at_s = ends[int(steps.argmin())] / SECOND_NS
        raise ConfigError(f"two windows end at {at_s:.3f} s", where=where)
    # Gaps make some steps longer; times are told in milliseconds, so steps differ a little.
    hop = float(steps[steps < 1.5 * steps.min()].mean())
    places = np.concatenate([[0], np.round(steps / hop).astype(int).cumsum()])
    numbered = [
        WindowScore(s.scene, int(place), s.start_ns, s.end_ns, s.p, s.detectors)
        for s, place in zip(scores, places, strict=True)
    ]
    return numbered, round(hop)
