"""Making a recording of footage, sound, sensor tables and text that were made elsewhere.

Each input becomes a stream of the node ``import``. All are merged by the time they would have
arrived: a picture, reading or line at its stamp, a chunk of sound at its end. The same inputs
give the same bytes. Where no input has times on the calendar and none are given, the recording
has a day of its own, see `pipeline.recording.import_day`; where some have, the others start with
the earliest of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path

from pipeline.core.arrival import LedgerReport, SampleArrived, StreamEnded, StreamOpened
from pipeline.core.errors import ConfigError
from pipeline.core.sample import StreamInfo
from pipeline.recording.import_audio import AudioInput
from pipeline.recording.import_clips import Clip, ClipsInput, lay_out
from pipeline.recording.import_day import day_of
from pipeline.recording.import_input import Input
from pipeline.recording.import_marks import kind_of_folder
from pipeline.recording.import_report import InputReport
from pipeline.recording.import_sensors import SensorInput
from pipeline.recording.import_stills import StillsInput
from pipeline.recording.import_text import TextInput
from pipeline.recording.import_times import TimesFile, read_times
from pipeline.recording.import_video import VideoInput
from pipeline.recording.import_xdf import read_xdf
from pipeline.recording.layout import ORIGIN
from pipeline.recording.still_folders import one_sequence, stills_in
from pipeline.recording.writer import RecordingWriter

NODE = "import"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPlan:
    """What to import. Files are keyed by stream name; a folder is a stream of clips.

    Attributes:
        scene: Scene that the streams belong to.
        output: Recording to make.
        video: Footage.
        audio: Sound; a video file's sound is taken.
        sensors: Tables of readings.
        text: Files of lines.
        xdf: Recordings of the Lab Streaming Layer, each of several streams: what is put before
            the names of its streams, which may be empty, and the file.
        video_times: Times files of footage, by stream.
        audio_times: Times files of sound, by stream.
        start_ns: Site time of second 0; None: see the module.
        video_size: Width and height to scale pictures to.
        video_hz: Keep at most this many pictures a second.
        still_hz: Pictures a second of still pictures; None: by their names, or as usual.
        audio_hz: Resample sound to this rate.
        exclude: Columns of sensor tables that are not channels.
        label: Column of sensor tables that says in which rows something was wrong; None: none.
        zone: That of times which name none; None: UTC, and it is told where that is so.
        overwrite: Replace an existing recording.
    """

    scene: str
    output: Path
    video: Mapping[str, Path] = field(default_factory=dict)
    audio: Mapping[str, Path] = field(default_factory=dict)
    sensors: Mapping[str, Path] = field(default_factory=dict)
    text: Mapping[str, Path] = field(default_factory=dict)
    xdf: Sequence[tuple[str, Path]] = ()
    video_times: Mapping[str, Path] = field(default_factory=dict)
    audio_times: Mapping[str, Path] = field(default_factory=dict)
    start_ns: int | None = None
    video_size: tuple[int, int] | None = None
    video_hz: float | None = None
    still_hz: float | None = None
    audio_hz: int | None = None
    exclude: Sequence[str] = ()
    label: str | None = None
    zone: tzinfo | None = None
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class ImportedLabel:
    """What was there for a while.

    Attributes:
        start_s: From when on, seconds from the recording's start.
        end_s: Until when.
        kind: What was there.
        description: Which clip it is; empty: rows of a table.
    """

    start_s: float
    end_s: float
    kind: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What came of an import.

    Attributes:
        output: The recording.
        start_ns: Site time of second 0.
        dated: Whether an input says when it was made, or the plan.
        size_bytes: Size of the recording.
        inputs: Report of each input.
        clips: When each clip of the folders is, seconds from the start; none without a folder.
        labels: What the folders that clips lie in, and columns of labels, say was there, likewise.
    """

    output: Path
    start_ns: int
    dated: bool
    size_bytes: int
    inputs: tuple[InputReport, ...]
    clips: tuple[Clip, ...] = ()
    labels: tuple[ImportedLabel, ...] = ()


def run_import(plan: ImportPlan, progress: Progress | None = None) -> ImportReport:
    """Import what `plan` says.

    Args:
        plan: What to import.
        progress: Called now and then with nanoseconds done and in all.

    Raises:
        ConfigError: Nothing to import, or names that do not fit together.
        SourceUnavailable: A file is not there.
        RecordingError: A file cannot be read, or the recording not written.
    """
    inputs = _open(plan)
    clips = lay_out([one for one in inputs if isinstance(one, ClipsInput)])
    firsts = [i.first_ns for i in inputs if i.first_ns is not None]
    start_ns = plan.start_ns
    if start_ns is None:
        start_ns = min(firsts) if firsts else _day(plan)
    scenes = {plan.scene: [i.info.name for i in inputs]}
    target = _target(plan)
    writer = RecordingWriter(
        target,
        deployment=plan.scene,
        scenes=scenes,
        notes={ORIGIN: str(start_ns)},
        overwrite=plan.overwrite,
    )
    try:
        with writer:
            _write(writer, inputs, start_ns, progress)
        if target != plan.output:
            target.replace(plan.output.resolve())
    except BaseException:
        target.unlink(missing_ok=True)  # half an import would pass for a whole one
        raise
    _check_overlap(inputs)
    size = plan.output.stat().st_size
    labels = tuple(sorted(_labels(inputs, clips, start_ns), key=lambda one: one.start_s))
    return ImportReport(
        output=plan.output,
        start_ns=start_ns,
        dated=bool(firsts) or plan.start_ns is not None,
        size_bytes=size,
        inputs=tuple(i.report for i in inputs),
        clips=clips,
        labels=labels,
    )


def _target(plan: ImportPlan) -> Path:
    """Where to write: beside an old recording, which stays until the new one is whole."""
    old = plan.output.resolve()
    if plan.overwrite and old.is_file():
        return old.with_name(f".{old.name}.draft")
    return plan.output


def _day(plan: ImportPlan) -> int:
    files = [path for named in (plan.video, plan.audio, plan.sensors) for path in named.values()]
    return day_of([*files, *plan.text.values(), *(path for _, path in plan.xdf)])


def _labels(
    inputs: Sequence[Input], clips: Sequence[Clip], start_ns: int
) -> Iterator[ImportedLabel]:
    for clip in clips:
        if clip.kind:
            yield ImportedLabel(clip.start_s, clip.end_s, clip.kind, clip.name)
    for one in inputs:
        for mark in one.marks if isinstance(one, SensorInput | ClipsInput | StillsInput) else ():
            start_s, end_s = ((at.at(start_ns) - start_ns) / 1e9 for at in (mark.start, mark.end))
            yield ImportedLabel(start_s, end_s, mark.kind)


def _open(plan: ImportPlan) -> list[Input]:
    zone = plan.zone or UTC
    video_times = _times(plan.video_times, plan.video, "video", zone)
    audio_times = _times(plan.audio_times, plan.audio, "audio", zone)
    names = [*plan.video, *plan.audio, *plan.sensors, *plan.text]
    if not names and not plan.xdf:
        fix = "name --video, --audio, --sensors, --text or --xdf"
        raise ConfigError("nothing to import", fix=fix)
    if len(set(names)) != len(names):
        raise ConfigError(f"two streams have one name: {', '.join(sorted(names))}")
    written: list[SensorInput | TextInput | ClipsInput] = [
        *(_table(n, p, plan, zone) for n, p in plan.sensors.items()),
        *(_lines(n, p, zone) for n, p in plan.text.items()),
    ]
    footage = [_footage(n, p, plan, video_times.get(n)) for n, p in plan.video.items()]
    timed = (one for one in footage if isinstance(one, StillsInput | ClipsInput))
    for one in (*written, *timed):
        if one.local and plan.zone is None:
            one.report.note("its times name no zone and are taken for UTC; see --timezone")
    inputs: list[Input] = [*written, *footage]
    inputs += [_sound(n, p, plan, audio_times.get(n)) for n, p in plan.audio.items()]
    inputs = sorted(inputs, key=lambda i: names.index(i.info.name))
    for prefix, path in plan.xdf:
        inputs += read_xdf(path, prefix, [i.info.name for i in inputs])
    return inputs


def _table(name: str, path: Path, plan: ImportPlan, zone: tzinfo) -> SensorInput | ClipsInput:
    def opened(file: Path, _like: StreamInfo | None = None) -> SensorInput:
        kind = kind_of_folder(file.parent.relative_to(path).name) if path.is_dir() else ""
        return SensorInput(name, file, plan.exclude, zone, plan.label, kind)

    return ClipsInput(name, "sensors", path, opened) if path.is_dir() else opened(path)


def _lines(name: str, path: Path, zone: tzinfo) -> TextInput | ClipsInput:
    def opened(file: Path, _like: StreamInfo | None = None) -> TextInput:
        return TextInput(name, file, zone)

    return ClipsInput(name, "text", path, opened) if path.is_dir() else opened(path)


def _footage(name: str, path: Path, plan: ImportPlan, times: TimesFile | None) -> Input:
    def opened(file: Path, like: StreamInfo | None = None) -> VideoInput | StillsInput:
        size = plan.video_size or (None if like is None else (like.shape[1], like.shape[0]))
        if file.is_dir():
            return stills(file, stills_in(file), size)
        return VideoInput(name, file, size=size, rate_hz=plan.video_hz, times=times)

    def stills(folder: Path, files: Sequence[Path], size: tuple[int, int] | None) -> StillsInput:
        return StillsInput(
            name, folder, files, size=size, rate_hz=plan.video_hz, still_hz=plan.still_hz,
            zone=plan.zone, times=times,
        )  # fmt: skip

    if path.is_dir() and (files := one_sequence(path, plan.still_hz)):
        return stills(path, files, plan.video_size)
    return _clips_or(opened, name, "video", path, times)


def _sound(name: str, path: Path, plan: ImportPlan, times: TimesFile | None) -> Input:
    def opened(file: Path, like: StreamInfo | None = None) -> AudioInput:
        rate_hz = plan.audio_hz or (None if like is None else round(like.rate_hz or 0) or None)
        return AudioInput(name, file, rate_hz=rate_hz, times=times)

    return _clips_or(opened, name, "audio", path, times)


def _clips_or(
    opened: Callable[..., Input], name: str, kind: str, path: Path, times: TimesFile | None
) -> Input:
    """One file, or the clips of a folder."""
    if not path.is_dir():
        return opened(path)
    if times is not None:
        raise ConfigError(
            "is a folder of clips, which one times file cannot place",
            where=str(path),
            fix=f"leave out --{kind}-times, or import its files one by one",
        )
    return ClipsInput(name, kind, path, opened)


def _times(
    files: Mapping[str, Path], media: Mapping[str, Path], kind: str, zone: tzinfo
) -> dict[str, TimesFile]:
    unknown = sorted(set(files) - set(media))
    if unknown:
        raise ConfigError(
            f"times for {', '.join(unknown)}, but no such {kind}",
            fix=f"streams are {', '.join(media) or 'none'}; write --{kind}-times name=F",
        )
    return {name: read_times(path, zone) for name, path in files.items()}


def _write(
    writer: RecordingWriter, inputs: Sequence[Input], start_ns: int, progress: Progress | None
) -> None:
    begin_ns = min([start_ns, *(i.first_ns for i in inputs if i.first_ns is not None)])
    total_ns = max((i.duration_ns for i in inputs), default=0)
    for i in inputs:
        writer.write(StreamOpened(begin_ns, NODE, i.info))
    last_ns = begin_ns
    merged = heapq.merge(*(_arrivals(i, start_ns) for i in inputs), key=lambda a: a.arrival_ns)
    for count, arrival in enumerate(merged):
        last_ns = arrival.arrival_ns
        writer.write(arrival)
        if progress is not None and count % 64 == 0:
            progress(min(last_ns - begin_ns, total_ns), total_ns)
    accounts = {i.info.name: i.report.account for i in inputs}
    writer.write(LedgerReport(last_ns, NODE, accounts))
    if progress is not None:
        progress(total_ns, total_ns)


def _arrivals(source: Input, start_ns: int) -> Iterator[SampleArrived | StreamEnded]:
    last_ns = start_ns
    for arrival_ns, sample in source.samples(start_ns):
        last_ns = arrival_ns
        yield SampleArrived(arrival_ns, NODE, sample)
    yield StreamEnded(last_ns, NODE, source.info.name)


def _check_overlap(inputs: Sequence[Input]) -> None:
    """Remark on streams that have no moment in common with any other."""
    spans = [(i.report, i.report.start_ns, i.report.end_ns) for i in inputs if i.report.samples]
    for report, start_ns, end_ns in spans:
        others = [(s, e) for r, s, e in spans if r is not report]
        if others and all(e < start_ns or s > end_ns for s, e in others):
            report.note("no moment in common with any other stream; see --start")
    for i in inputs:
        if not i.report.samples:
            i.report.note("nothing in it could be imported")
