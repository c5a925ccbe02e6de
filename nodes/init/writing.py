"""A plan as a deployment file with comments, and its secrets as files that only we can read.

The text is written by hand rather than by a YAML library, which would lose the comments; every
value that is no plain path goes through JSON, which YAML reads.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, count
from pathlib import Path

from nodes.init.plan import SitePlan
from nodes.init.yaml_text import BUDGET, window_lines, yaml_name, yaml_value
from nodes.window_fit import better_window
from pipeline.config.deployment import SceneSettings
from pipeline.config.fusion_settings import RecordSettings

_HEAD = """\
# Made by `fusewatch init`; yours from now on. `fusewatch config check {file}` finds every mistake.
# Next:
#   fusewatch commission --live {file}      records the ordinary until it is enough, and learns it
#   fusewatch run {file}
name: {name}
data: {data}          # everything that is kept lies here

nodes:
  here:
    sources:
"""
_SCENE = """\
  {scene}:
    streams: [{streams}]        # what is fused{hint}
    model: {model}
{more}"""
_LATE = "    latency_s: 2              # a message of many readings comes when the last is taken\n"
_WINDOW_S = float(SceneSettings.model_fields["window_s"].default)
_FILES = 8  # that there is room for at the least, so that little goes at once
_FILE_MB = float(RecordSettings.model_fields["max_file_mb"].default)
_SPLIT = "; split it if they watch different places"
_REST = """
fusion:
  record: {{folder: {recordings}, {record_limits}}}   # the oldest go first

retention: {{evidence: 90d, events: 1y}}   # how old pictures and events may get

alert:
  sinks:                 # who is told; `fusewatch alert test {file}` tries them
    - type: console
    - type: jsonl
      path: {events}
{home_assistant}{webhook}
dashboard: {{}}            # http://127.0.0.1:7780/, the token is in {data}/dashboard-token
"""

Keep = Callable[[str, str], str]
"""Keeps a secret under a name; what to write in its place."""
Block = tuple[list[tuple[str, str]], str]
"""Scenes and names of streams, and the lines of the source that gives them."""


def write(plan: SitePlan, file: Path) -> list[Path]:
    """Write a plan to `file`, and its secrets to a folder beside it.

    Returns:
        Files of secrets.

    Raises:
        OSError: The disk refuses.
    """
    secrets = Secrets(file.with_name(f"{file.stem}.secrets"))
    reach = _reach(plan, secrets.keep)
    sources = [
        *_devices(plan),
        *_network(plan, secrets.keep),
        *_sound(plan),
        *_broker(plan, reach),
    ]
    scenes: dict[str, list[str]] = {}
    for scene, stream in chain.from_iterable(names for names, _ in sources):
        scenes.setdefault(scene, []).append(stream)
    parts = [
        _HEAD.format(
            file=shlex.quote(file.name), name=yaml_name(plan.scene), data=yaml_value(plan.data)
        ),
        "\n".join(block for _, block in sources),
        _slow(
            [n for n, r in zip(_reading_names(plan), plan.readings, strict=True) if not r.rate_hz]
        ),
        BUDGET.format(budget=plan.budget),
        _scenes(plan, scenes),
        _REST.format(
            file=shlex.quote(file.name),
            data=plan.data,
            recordings=yaml_value(plan.data / "recordings"),
            events=yaml_value(plan.data / "events.jsonl"),
            record_limits=_record_limits(plan.record_gb),
            home_assistant=_home_assistant(plan, reach),
            webhook=_webhook(plan, secrets.keep),
        ),
    ]
    file.write_text("".join(parts), "utf-8")
    return secrets.files


def _record_limits(total_gb: int) -> str:
    """What recordings may take, in files of which that holds several."""
    file_mb = total_gb * 1024 // _FILES
    files = f", max_file_mb: {file_mb}" if file_mb < _FILE_MB else ""
    return f"max_total_gb: {total_gb}{files}"


class Secrets:
    """Files that only this user can read.

    Args:
        folder: Where they go; made when there is one.

    Attributes:
        files: Those written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: list[Path] = []

    def keep(self, name: str, secret: str) -> str:
        """Write one; its path as it stands in the deployment file beside the folder."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / name
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(secret)
        self.files.append(path)
        return yaml_value(f"{self._folder.name}/{name}")


def _devices(plan: SitePlan) -> Iterator[Block]:
    for name, device in zip(_names(plan.scene, "camera", plan.devices), plan.devices, strict=True):
        yield (
            [(plan.scene, name)],
            f"""\
      - type: camera
        stream: {name}
        device: {yaml_value(device)}
        width: 640                # small is enough to see what is unusual, and cheap
        height: 480
        fps: 10
""",
        )


def _network(plan: SitePlan, keep: Keep) -> Iterator[Block]:
    places = [camera.place or plan.scene for camera in plan.network]
    of_each = {p: iter(_names(p, "view", [q for q in places if q == p])) for p in places}
    for place, camera in zip(places, plan.network, strict=True):
        name = next(of_each[place])
        sound = f"{place}-sound{name.removeprefix(f'{place}-view')}"
        streams = [(place, one) for one in [name] * camera.video + [sound] * camera.audio]
        lines = ["      - type: media", f"        url_file: {keep(name + '-url', camera.url)}"]
        if camera.video:
            lines += [f"        video: {name}", "        video_hz: 10", "        width: 640"]
        if camera.audio:
            lines.append(f"        audio: {sound}")
        yield streams, "\n".join(lines) + "\n"


def _sound(plan: SitePlan) -> Iterator[Block]:
    if plan.microphone:
        name = f"{plan.scene}-microphone"
        yield (
            [(plan.scene, name)],
            f"""\
      - type: microphone          # the default input; `fusewatch doctor` lists them
        stream: {name}
""",
        )


def _reach(plan: SitePlan, keep: Keep) -> list[str]:
    """How the broker is reached, as its readings and the alarms for Home Assistant say it."""
    broker = plan.broker
    if broker is None or not (plan.readings or plan.home_assistant):
        return []
    lines = [f"host: {yaml_value(broker.host)}", f"port: {broker.port}"]
    if broker.username:
        lines.append(f"username: {yaml_value(broker.username)}")
        lines.append(f"password_file: {keep('mqtt-password', broker.password)}")
    return lines


def _broker(plan: SitePlan, reach: Sequence[str]) -> Iterator[Block]:
    if not plan.readings:
        return
    lines = ["      - type: mqtt", *(f"        {line}" for line in reach)]
    lines.append("        streams:")
    names = _reading_names(plan)
    for name, readings in zip(names, plan.readings, strict=True):
        lines += [f"          - name: {name}", f"            topic: {yaml_value(readings.topic)}"]
        if readings.rate_hz:
            lines.append(f"            rate_hz: {readings.rate_hz:g}")
        if readings.batch:
            lines.append("            batch: {}           # each message holds lists of readings")
        if readings.time:
            of_device = f"{{path: {yaml_value(readings.time)}}}"
            lines.append(f"            # time: {of_device}   # its own time, if its clock is right")
        lines.append("            channels:")
        lines += [f"              - {_channel(path)}" for path in readings.channels]
    scenes = [plan.place_of(readings.topic) for readings in plan.readings]
    yield list(zip(scenes, names, strict=True)), "\n".join(lines) + "\n"


def _channel(path: str) -> str:
    if not path:
        return '{name: value, path: ""}'
    return f"{{name: {yaml_value(path.replace('.', '_'))}, path: {yaml_value(path)}}}"


def _scenes(plan: SitePlan, scenes: Mapping[str, Sequence[str]]) -> str:
    hint = _SPLIT if len(scenes) == 1 else ""
    late = {plan.place_of(readings.topic) for readings in plan.readings if readings.batch}
    windows = _windows(plan, scenes)
    blocks = (
        _SCENE.format(
            scene=yaml_name(scene),
            streams=", ".join(streams),
            hint=hint,
            model=yaml_value(plan.data / f"{scene}.model"),
            more=windows.get(scene, "") + (_LATE if scene in late else ""),
        )
        for scene, streams in scenes.items()
    )
    return "\nscenes:\n" + "".join(blocks)


def _windows(plan: SitePlan, scenes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What is said of the windows of scenes of nothing but slow readings, by scene."""
    rates_hz: dict[str, list[float | None]] = {}
    for readings in plan.readings:
        rates_hz.setdefault(plan.place_of(readings.topic), []).append(readings.rate_hz)
    found = {}
    for scene, rates in rates_hz.items():
        better = better_window(rates, _WINDOW_S)
        if better is not None and len(rates) == len(scenes[scene]):
            found[scene] = window_lines(*better)
    return found


def _slow(readings: Sequence[str]) -> str:
    if not readings:
        return ""
    lines = ["", "streams:                  # sensors that report changes only"]
    lines += [f"  {name}: {{interpolation: previous, max_gap_s: 300}}" for name in readings]
    return "\n".join(lines) + "\n"


def _home_assistant(plan: SitePlan, reach: Sequence[str]) -> str:
    if not plan.home_assistant:
        return ""
    about = "      # Home Assistant finds it by itself: Settings, Devices, MQTT"
    lines = ["    - type: mqtt", about, *(f"      {line}" for line in reach)]
    return "\n".join(lines) + "\n"


def _webhook(plan: SitePlan, keep: Keep) -> str:
    if not plan.webhook:
        return ""
    return f"    - type: webhook\n      url_file: {keep('webhook-url', plan.webhook)}\n"


def _reading_names(plan: SitePlan) -> list[str]:
    """Names of the sensor streams: the ends of the topics, made different."""
    names: list[str] = []
    for readings in plan.readings:
        end = "-".join(readings.topic.split("/")[-2:])
        slug = re.sub(r"[^a-z0-9]+", "-", end.lower()).strip("-")[:40] or "readings"
        scene = plan.place_of(readings.topic)
        name = slug if slug.startswith(f"{scene}-") and scene in plan.places else f"{scene}-{slug}"
        numbered = (f"{name}-{number}" for number in count(2))
        names.append(next(one for one in chain([name], numbered) if one not in names))
    return names


def _names(scene: str, what: str, things: Sequence[str]) -> list[str]:
    if len(things) == 1:
        return [f"{scene}-{what}"]
    return [f"{scene}-{what}-{number + 1}" for number in range(len(things))]
