"""A deployment file for recordings that are there already: made elsewhere and imported, as a rule.

Streams, scenes, lengths of windows and how long a reading holds are taken from what they hold.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from nodes.init.yaml_text import BUDGET, window_lines, yaml_name, yaml_value
from nodes.window_fit import window_for
from pipeline.config.deployment import NAME, SceneSettings
from pipeline.config.stream_settings import StreamSettings
from pipeline.core.errors import RecordingError
from pipeline.core.sample import Modality, StreamInfo
from pipeline.recording.layout import StreamTotal
from pipeline.recording.reader import Recording

_HEAD = """\
# Made by `fusewatch init` for what was recorded; yours from now on. `fusewatch config check {file}`
# finds every mistake. {next}
name: {name}
data: {data}          # everything that is kept lies here

nodes:
  player:                # plays it as if it were live, for `fusewatch run`
    sources:
      - type: recording
        paths: [{paths}]
        streams: [{streams}]
        speed: 1                # times real time
"""
_SCENE = """\
  {scene}:
    streams: [{streams}]        # what is fused
    model: {model}
{windows}"""
_REST = """
alert:
  sinks:                 # who is told
    - type: console
    - type: jsonl
      path: {events}

dashboard: {{}}            # http://127.0.0.1:7780/, the token is in {data}/dashboard-token
"""
_WINDOW_S = float(SceneSettings.model_fields["window_s"].default)
_HOLDS_S = float(StreamSettings.model_fields["max_gap_s"].default)
_LONG_HOLD_S = 300.0  # of a sensor that reports changes only, at least
_GAPS = 5.0  # times its mean gap
_DAY_S = 86_400.0
_OFTEN, _SELDOM = "6/hour", "2/day"  # half of less than a day counts the one, not the other


@dataclass(frozen=True, slots=True)
class Recorded:
    """What recordings hold.

    Attributes:
        paths: The recordings.
        name: Of the deployment.
        scenes: Streams of each scene.
        streams: What each of them is.
        totals: How much of each there is.
        seconds: How long all was recorded, in all; time that two have in common counts once.
    """

    paths: Sequence[Path]
    name: str
    scenes: Mapping[str, Sequence[str]]
    streams: Mapping[str, StreamInfo]
    totals: Mapping[str, StreamTotal]
    seconds: float

    @property
    def budget(self) -> str:
        """A budget of false alarms that half of it can count."""
        return _SELDOM if self.seconds >= _DAY_S else _OFTEN

    def next_steps(self, file: Path) -> list[str]:
        """What to do with a deployment file of them: learn a part, and replay the rest."""
        named = quote(str(file))
        if len(self.paths) > 1:
            return [
                "Next, learn some of them, and see what the others would have raised:",
                f"  fusewatch commission {named} -r NORMAL.mcap -r ...{self._which}",
                f"  fusewatch replay OTHERS.mcap ... --config {named} --events events.jsonl",
            ]
        path, until_s = quote(str(self.paths[0])), f"{self.seconds * 2 / 3:.0f}"
        return [
            "Next, learn the first part, and see what the rest would have raised:",
            f"  fusewatch commission {named} -r {path} --to {until_s}{self._which}",
            f"  fusewatch replay {path} --config {named} --from {until_s} --events events.jsonl",
        ]

    @property
    def _which(self) -> str:
        return "" if len(self.scenes) == 1 else " --scene " + "|".join(self.scenes)


def recorded_in(paths: Sequence[Path], scene: str | None = None) -> Recorded:
    """Look into recordings.

    Args:
        paths: The files.
        scene: Name of the scene, where there is one; None: as it is called, or as the first file.

    Raises:
        RecordingError: One cannot be read, or there is no stream at all.
    """
    scenes: dict[str, list[str]] = {}
    streams: dict[str, StreamInfo] = {}
    totals: dict[str, StreamTotal] = {}
    spans: list[tuple[int, int]] = []
    for path in paths:
        with Recording(path) as recording:
            streams |= recording.streams
            totals |= recording.totals
            spans.append((recording.origin_ns, recording.end_ns))
            for name, fused in recording.scenes.items():
                known = scenes.setdefault(name, [])
                known += [one for one in fused if one not in known]
    there = {name: [one for one in fused if one in streams] for name, fused in scenes.items()}
    scenes = {name: fused for name, fused in there.items() if fused}
    if streams and not scenes:
        scenes = {_name(paths[0]): list(streams)}
    if scene is not None and len(scenes) == 1:
        scenes = {scene: next(iter(scenes.values()))}
    if not scenes:
        raise RecordingError("holds no stream", where=", ".join(map(str, paths)))
    return Recorded(paths, next(iter(scenes)), scenes, streams, totals, _covered_s(spans))


def _covered_s(spans: Sequence[tuple[int, int]]) -> float:
    """How much time spans of nanoseconds cover, seconds."""
    covered_ns, until_ns = 0, min(begin_ns for begin_ns, _ in spans)
    for begin_ns, end_ns in sorted(spans):
        covered_ns += max(0, end_ns - max(begin_ns, until_ns))
        until_ns = max(until_ns, end_ns)
    return covered_ns / 1e9


def _name(path: Path) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:40]
    return slug if re.match(NAME, slug) else "site"


def write_recorded(recorded: Recorded, file: Path, data: Path, budget: str | None) -> None:
    """Write a deployment file for recordings.

    Args:
        recorded: What they hold.
        file: The file.
        data: Folder for everything that is kept.
        budget: False alarms that may be spent; None: what the recordings can count.

    Raises:
        OSError: The disk refuses.
    """
    fused = dict.fromkeys(name for names in recorded.scenes.values() for name in names)
    folder = file.resolve().parent
    paths = [Path(os.path.relpath(path.resolve(), folder)) for path in recorded.paths]
    about = _HEAD.format(
        file=quote(str(file)), next="\n# ".join(recorded.next_steps(file)),
        name=yaml_name(recorded.name),
        data=yaml_value(data), paths=_list(map(str, paths)), streams=_list(fused),
    )  # fmt: skip
    scenes = "".join(
        _SCENE.format(
            scene=yaml_name(name),
            streams=_list(names),
            model=yaml_value(data / f"{name}.model"),
            windows=_windows([recorded.streams[one] for one in names]),
        )
        for name, names in recorded.scenes.items()
    )
    slow = "".join(_slow(recorded, fused))
    parts = [
        about,
        f"\nstreams:\n{slow}" if slow else "",
        BUDGET.format(budget=budget or recorded.budget),
        f"\nscenes:\n{scenes}",
        _REST.format(events=yaml_value(data / "events.jsonl"), data=data),
    ]
    file.write_text("".join(parts), "utf-8")


def _list(names: Iterator[str] | Mapping[str, None] | Sequence[str]) -> str:
    return ", ".join(map(yaml_value, names))


def _windows(streams: Sequence[StreamInfo]) -> str:
    """Windows of a scene of slow readings; nothing where the usual ones do."""
    better = window_for(streams, _WINDOW_S)
    return "" if better is None else window_lines(*better)


def _slow(recorded: Recorded, fused: Mapping[str, None]) -> Iterator[str]:
    """How long a reading holds, of sensors that are read seldom or unevenly."""
    for name in fused:
        info, total = recorded.streams[name], recorded.totals.get(name)
        if info.modality is not Modality.SENSOR or total is None:
            continue
        if info.rate_hz:
            period_s = 1 / info.rate_hz
            if 2 * period_s > _HOLDS_S:
                about = f"# a reading every {period_s:.4g} s"
                yield f"  {yaml_value(name)}: {{max_gap_s: {2 * period_s:.4g}}}   {about}\n"
        else:
            gap_s = (total.end_ns - total.start_ns) / 1e9 / max(1, total.samples - 1)
            holds_s = max(_LONG_HOLD_S, _GAPS * gap_s)
            how = f"interpolation: previous, max_gap_s: {holds_s:.4g}"
            yield f"  {yaml_value(name)}: {{{how}}}   # reports unevenly\n"
