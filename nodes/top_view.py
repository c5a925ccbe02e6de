"""How a deployment is, for people to look at: a few tables, and colour where something is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import (
    Console,
    ConsoleOptions,
    Group,
    JustifyMethod,
    RenderableType,
    RenderResult,
)
from rich.segment import SegmentLines
from rich.table import Table
from rich.text import Text

from nodes.cluster.showing import SERVING, groups_table
from nodes.top_model import SceneStatus, SinkStatus, Status, StreamStatus
from nodes.top_status import CAPTURE

BUSY, WAITS_S = 0.5, 1.0
"""What scenes need is shown when together it is more than this share of the time, or when what
arrived waits longer than this, seconds."""
OLD_S = 5.0
"""A stream whose last sample is older than this is marked, seconds."""

RAISED = "alarms, faults of equipment: standing now; last day: alarms raised in 24 hours"
RULE = "captured = delivered + spooled + dropped; missing: on the way, and nobody says why"
LOAD = "needs: of the fusion node's time; waits: what arrived; hop: times as wide as set"
HELD = "held: while its cause stands (scenes), for later (sinks: events list --held)"
GOOD, DIM, ODD, BAD = "green", "dim", "yellow", "bold red"
_UNKNOWN = Text("-", DIM)
_NARROWEST = {
    "stream": 12, "scene": 6, ">dropped": 8, ">held": 4, "sees": 6, "budget spent": 10,
}  # fmt: skip


def view(status: Status) -> RenderableType:
    """The whole picture."""
    moment = datetime.fromtimestamp(status.time_s, UTC).astimezone()
    title = Text.assemble(
        (status.deployment, "bold"), f"  {moment:%Y-%m-%d %H:%M:%S}  ", _verdict(status)
    )
    parts: list[RenderableType] = [title, Text(), _processes(status)]
    parts += [Text(), _streams(status.streams), Text(RULE, DIM)]
    if status.groups or status.groups_trouble:
        trouble = Text(f"groups: {status.groups_trouble}", BAD)
        parts += [Text(), trouble if status.groups_trouble else groups_table(status.groups)]
    parts += [Text(), _scenes(status.scenes), Text(RAISED, DIM)]
    if _is_busy(status.scenes):
        parts += [Text(), _load(status.scenes), Text(LOAD, DIM)]
    parts += [Text(), _sinks(status.sinks)]
    if any(scene.held for scene in status.scenes) or any(sink.held for sink in status.sinks):
        parts.append(Text(HELD, DIM))
    return Group(*parts)


class LiveView:
    """The whole picture in a window: what has no room is counted, not cut off unseen.

    Args:
        status: What is shown.
    """

    def __init__(self, status: Status) -> None:
        self._status = status

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lines that fit the height, the last of them on how to see the rest."""
        height = options.height or options.max_height
        free = options.update(height=None)
        lines = console.render_lines(view(self._status), free, pad=False)
        if len(lines) >= height:
            lines = [line for line in lines if "".join(part.text for part in line).strip()]
        more = len(lines) - (height - 1)
        note = f"{more} more lines: a higher window, or --once shows them; " if more > 0 else ""
        yield SegmentLines(lines[: height - 1], new_lines=True)
        yield Text(f"{note}Ctrl-C ends", ODD if note else DIM)


def _verdict(status: Status) -> Text:
    """One word for all of it, the worst first."""
    return next(_wrong(status), Text("every sample is accounted for", GOOD))


def _wrong(status: Status) -> Iterator[Text]:
    lost = sum(stream.unexplained or 0 for stream in status.streams)
    if lost:
        yield Text(f"{lost} samples are unaccounted for", BAD)
    lost_groups = [one.group for one in status.groups if one.state != SERVING]
    if lost_groups:
        yield Text(f"not fused: {', '.join(lost_groups)}", BAD)
    gone = [one.name for one in status.processes if not one.answers]
    if gone:
        yield Text(f"not reached: {', '.join(gone)}", BAD)
    if widened := _widened(status):
        yield Text(f"cannot keep up, looked at less often: {', '.join(widened)}", ODD)
    down = [sink.sink for sink in status.sinks if sink.up is False]
    if down:
        yield Text(f"down: {', '.join(down)}", ODD)
    if any(one.trouble for one in status.processes):
        yield Text("not all is ready", ODD)


def _widened(status: Status) -> list[str]:
    """Scenes that are looked at less often than set, as the fusion node cannot keep up."""
    return [one.scene for one in status.scenes if (one.hop_times or 1) > 1]


def _processes(status: Status) -> Table:
    clocks = {CAPTURE + stream.node: _clock(stream) for stream in status.streams}
    table = _table("process", "state", ">CPU", ">MiB", ">clock ± bound", "trouble")
    for one in status.processes:
        state = ("ready", GOOD) if not one.trouble else ("not ready", ODD)
        table.add_row(
            Text(one.name),
            Text(*state) if one.answers else Text("no answer", BAD),
            _number(one.cpu, "{:.0%}"),
            _number(one.memory_mb, "{:.0f}"),
            clocks.get(one.name, Text()),
            Text(one.trouble, ODD if one.answers else BAD),
        )
    return table


def _streams(streams: Sequence[StreamStatus]) -> Table:
    table = _table(
        "stream", ">rate", ">age", ">captured", ">delivered", ">spooled", ">dropped",
        ">missing", "sees",
    )  # fmt: skip
    for one in streams:
        old = one.age_s is None or one.age_s > OLD_S
        table.add_row(
            Text(one.stream),
            _number(one.rate_hz, "{:.1f}/s"),
            Text("-" if one.age_s is None else _span(one.age_s), ODD if old else ""),
            _number(one.captured, "{:,}"),
            _number(one.delivered, "{:,}"),
            _number(one.spooled, "{:,}"),
            _UNKNOWN if one.captured is None else _by_reason(one.dropped),
            _number(one.unexplained, "{:,}", BAD, GOOD),
            _UNKNOWN if one.unseen is None else Text(one.unseen or "yes", _odd(one.unseen)),
        )
    return table


def _scenes(scenes: Sequence[SceneStatus]) -> Table:
    table = _table(
        "scene", ">windows", ">whole", ">score", ">delay", ">alarms", ">faults", ">held",
        ">last day", "budget spent",
    )  # fmt: skip
    for one in scenes:
        table.add_row(
            Text(one.scene),
            _number(one.windows, "{:,}"),
            _number(one.complete, "{:.0%}"),
            _number(one.score, "{:.1f}"),
            Text(_span(one.delay_s)) if one.delay_s is not None else _UNKNOWN,
            _number(one.alarms, "{}", BAD),
            _number(one.health, "{}", ODD),
            _number(one.held, "{}", ODD),
            _number(one.raised_day, "{}"),
            _spent(one),
        )
    return table


def _load(scenes: Sequence[SceneStatus]) -> Table:
    """What scenes need of the fusion node's time, who waits, and what is left out for that."""
    table = _table("scene", ">needs", ">waits", ">hop")
    for one in scenes:
        wide = (one.hop_times or 1) > 1
        table.add_row(
            Text(one.scene),
            _number(one.load, "{:.0%}"),
            Text(_span(one.waits_s)) if one.waits_s is not None else _UNKNOWN,
            _UNKNOWN if one.hop_times is None else Text(f"x{one.hop_times}", ODD if wide else ""),
        )
    return table


def _is_busy(scenes: Sequence[SceneStatus]) -> bool:
    """Whether a fusion node has little time left, is behind, or leaves windows out."""
    needed = sum(one.load or 0.0 for one in scenes)
    waits = any((one.waits_s or 0.0) > WAITS_S or (one.hop_times or 1) > 1 for one in scenes)
    return needed > BUSY or waits


def _spent(scene: SceneStatus) -> Text:
    """What was spent of the budget in its last period."""
    if scene.spent is None:
        return _UNKNOWN
    said = f"{scene.spent} of {scene.budget}"
    return Text(f"{said}, over", BAD) if scene.over else Text(said)


def _sinks(sinks: Sequence[SinkStatus]) -> Table:
    table = _table(
        "sink", "state", ">waiting", ">oldest", ">failures", ">delivered", ">set aside", ">held",
    )  # fmt: skip
    for one in sinks:
        table.add_row(
            Text(one.sink),
            _UNKNOWN if one.up is None else Text("up", GOOD) if one.up else Text("down", BAD),
            _number(one.pending, "{:,}", ODD),
            Text(_span(one.oldest_s)) if one.pending and one.oldest_s else _UNKNOWN,
            _number(one.failures, "{}", ODD),
            _number(one.delivered, "{:,}"),
            _number(one.dead, "{:,}", BAD),
            _UNKNOWN if one.up is None else _by_reason(one.held),
        )
    return table


def _table(*headings: str) -> Table:
    """A table; headings that begin with ``>`` are of numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold cyan", expand=False)
    for heading in headings:
        numbers = heading.startswith(">")
        side: JustifyMethod = "right" if numbers else "left"
        # Where there is little room words give way, down to this; a number that is cut shows it.
        narrowest = _NARROWEST.get(heading)
        whole = numbers and narrowest is None
        table.add_column(
            heading.removeprefix(">"),
            justify=side,
            no_wrap=whole,
            overflow="ellipsis" if whole else "fold",
            min_width=narrowest,
        )
    return table


def _by_reason(counts: Mapping[str, int]) -> Text:
    if not counts:
        return Text("0")
    said = (f"{count:,} {reason}" for reason, count in sorted(counts.items()))
    return Text("\n".join(said), ODD)


def _clock(stream: StreamStatus) -> Text:
    if stream.clock_offset_s is None or stream.clock_bound_s is None:
        return _UNKNOWN
    return Text(f"{stream.clock_offset_s * 1e3:+.2f} ± {stream.clock_bound_s * 1e3:.2f} ms")


def _number(value: float | None, shape: str, some: str = "", none: str = "") -> Text:
    """A number, in one colour when it is not 0, in another when it is."""
    return _UNKNOWN if value is None else Text(shape.format(value), some if value else none)


def _odd(trouble: str) -> str:
    return ODD if trouble else GOOD


def _span(seconds: float) -> str:
    """A length of time, as short as it can be told."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"
