"""Who is told how a live commissioning goes: a person at a terminal, or a script."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from nodes.budget_words import span
from nodes.commissioning.live import Outcome
from nodes.commissioning.messages import Failed, Job, Looked, Stage, Taken, Told
from nodes.commissioning.words import (
    FindingNews,
    begin_words,
    curve_table,
    end_words,
    look_data,
    look_words,
    verdict_words,
)
from nodes.doctor import Finding, Level
from pipeline.detection.alarm import AlarmSettings
from pipeline.training.commissioning_report import CommissioningReport
from pipeline.training.enough import Why

_MARKS = {Level.OK: "[green]ok[/]", Level.NOTE: "[cyan]note[/]", Level.PROBLEM: "[red]problem[/]"}
_SAY_EVERY_S = 10.0

Report = Callable[[Console, CommissioningReport], None]


class Teller(Protocol):
    """Somebody who is told how it goes."""

    def begin(self) -> None:
        """The recording begins."""
        ...

    def told(self, message: Told) -> None:
        """Something happened."""
        ...

    def ending(self, why: Why) -> None:
        """The recording has ended; the last of the learning follows."""
        ...

    def kept(self) -> None:
        """It failed; what was recorded is kept."""
        ...

    def end(self, outcome: Outcome, given: Iterable[str]) -> None:
        """The model is written.

        Args:
            outcome: What came of it.
            given: What each stream gave, a line each.
        """
        ...


class Screen:
    """Tells a person.

    Args:
        console: Where.
        job: What is learnt.
        alarm: The scene's alarm.
        report: Prints the report of commissioning.
    """

    def __init__(self, console: Console, job: Job, alarm: AlarmSettings, report: Report) -> None:
        self._console = console
        self._job = job
        self._alarm = alarm
        self._report = report
        self._news = FindingNews()
        self._times = FindingNews()
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
        self._progress = Progress(*columns, console=console, transient=True)
        self._stage: TaskID | None = None
        self._recorded: TaskID | None = None

    def begin(self) -> None:
        """Say what is asked of the length, and show the bar."""
        self._say(f"recording {self._job.scene} to {self._job.recording}; Ctrl-C ends it early")
        self._say(begin_words(self._alarm, self._job.enough))
        self._progress.start()
        self._recorded = self._progress.add_task(
            "normal", total=self._job.enough.at_most_s, said="beginning"
        )

    def told(self, message: Told) -> None:
        """Show it."""
        match message:
            case Taken():
                self._taken(message)
            case Stage():
                self._show_stage(message)
            case Looked():
                self._looked(message)
            case Failed():
                fix = "it is recorded all the same, to be learnt later; Ctrl-C ends it early"
                said = f"the learning has failed: {message.message}"
                self._findings([Finding(self._job.scene, Level.PROBLEM, said, fix)])

    def ending(self, why: Why) -> None:
        """Say why, and that learning goes on."""
        said = f"{end_words(why, self._job.enough)}; learning what was recorded"
        self._console.print(f"[bold]{said}[/]")
        if self._recorded is not None:
            self._progress.update(self._recorded, description="taking in")

    def kept(self) -> None:
        """Say how to go on."""
        self._progress.stop()
        if self._job.recording.exists():
            self._say("what was recorded is kept; to commission from it:")
            self._say(f"  {self._job.again}")

    def end(self, outcome: Outcome, given: Iterable[str]) -> None:
        """Print all that is known now."""
        self._progress.stop()
        for line in given:
            self._say(line)
        wrong = [one for one in self._standing() if one.level is Level.PROBLEM]
        if wrong:
            self._say("still wrong at the end, so the model is worth little there:")
        self._findings(wrong)
        if any(look.gain is not None for look in outcome.looks):
            self._console.print(curve_table(outcome.looks, self._job.enough))
        self._say(verdict_words(outcome.looks, self._job.enough))
        learnt = outcome.learnt
        self._report(self._console, learnt.report)
        self._say(f"recorded {learnt.unseen.seen}")
        for warning in learnt.unseen.warnings:
            self._console.print(f"[yellow]not seen:[/] {escape(warning)}", highlight=False)
        if learnt.unseen.warnings:
            self._say(
                "what was not seen can be added when it comes: record it ('fusewatch record'), "
                "then commission from both:"
            )
            self._say(f"  {self._job.again} --recording THE-OTHER.mcap")

    def _standing(self) -> Iterable[Finding]:
        return (*self._news.standing, *self._times.standing)

    def _say(self, text: str) -> None:
        self._console.print(escape(text), highlight=False, soft_wrap=True)

    def _taken(self, taken: Taken) -> None:
        if self._recorded is not None:
            self._progress.update(
                self._recorded, completed=taken.normal_s, said=span(taken.normal_s)
            )
        self._findings(*self._news.of(taken.findings))

    def _findings(self, new: Iterable[Finding], gone: Iterable[Finding] = ()) -> None:
        for one in new:
            fix = f"\n    [dim]{escape(one.fix)}[/]" if one.fix else ""
            self._mark(one.level, f"{escape(one.about)}: {escape(one.text)}{fix}")
        for one in gone:
            self._mark(Level.OK, f"{escape(one.about)}, no longer: {escape(one.text)}")

    def _mark(self, level: Level, said: str) -> None:
        self._console.print(f"{_MARKS[level]} {said}", highlight=False)

    def _show_stage(self, stage: Stage) -> None:
        total = stage.total
        said = f"{stage.name} {stage.done}" + (f" of {total}" if total is not None else "")
        if self._stage is None:
            self._stage = self._progress.add_task("learning", total=total, said=said)
        self._progress.update(
            self._stage, completed=stage.done, total=total, said=said, visible=True
        )

    def _looked(self, looked: Looked) -> None:
        if self._stage is not None:
            self._progress.update(self._stage, visible=False)
        self._console.print(f"[bold]look at {span(looked.look.normal_s)}[/]")
        for line in look_words(looked.look, self._alarm, self._job.enough):
            self._console.print(f"  {escape(line)}", highlight=False)
        self._findings(*self._times.of(looked.findings))


class JsonLines:
    """Tells a script: an object a line, its kind under ``event``.

    Args:
        job: What is learnt.
        alarm: The scene's alarm.
        write: Takes a line.
    """

    def __init__(self, job: Job, alarm: AlarmSettings, write: Callable[[str], object]) -> None:
        self._job = job
        self._alarm = alarm
        self._write = write
        self._news = FindingNews()
        self._times = FindingNews()
        self._said_s = 0.0

    def begin(self) -> None:
        """``begin``: what is recorded, to where, by which budget."""
        self._line(
            "begin", scene=self._job.scene, recording=str(self._job.recording),
            model=str(self._job.model), budget=self._alarm.budget,
            at_most_s=self._job.enough.at_most_s,
        )  # fmt: skip

    def told(self, message: Told) -> None:
        """``recorded`` now and then, ``finding`` and ``mended`` as they come, ``look``, ``failed``.

        What has failed is the learning; it is recorded all the same.
        """
        match message:
            case Taken():
                self._taken(message)
            case Looked(look=look):
                self._line("look", **look_data(look, self._job.enough))
                for one in self._times.of(message.findings)[0]:
                    self._line("finding", **asdict(one))
            case Failed():
                self._line("failed", **asdict(message))

    def ending(self, why: Why) -> None:
        """``ended``: why."""
        self._line("ended", why=why.value)

    def kept(self) -> None:
        """``kept``: how to commission from what was recorded."""
        if self._job.recording.exists():
            self._line("kept", recording=str(self._job.recording), again=self._job.again)

    def end(self, outcome: Outcome, given: Iterable[str]) -> None:
        """``model``: where it is and what the chosen budget means."""
        report, unseen = outcome.learnt.report, outcome.learnt.unseen
        chosen = report.preview.chosen
        self._line(
            "model",
            enough=verdict_words(outcome.looks, self._job.enough),
            model=str(self._job.model),
            recording=str(self._job.recording),
            windows=report.windows,
            seconds=report.seconds,
            threshold=chosen.threshold,
            supported=chosen.supported,
            needed_s=chosen.needed_s,
            raised=chosen.raised,
            apart=chosen.apart,
            seen=unseen.seen,
            unseen=list(unseen.warnings),
            streams=list(given),
            can=list(report.abilities.can),
            cannot=list(report.abilities.cannot),
            warnings=list(report.warnings),
        )

    def _taken(self, taken: Taken) -> None:
        new, gone = self._news.of(taken.findings)
        for one in new:
            self._line("finding", **asdict(one))
        for one in gone:
            self._line("mended", **asdict(one))
        if taken.normal_s - self._said_s >= _SAY_EVERY_S:
            self._said_s = taken.normal_s
            self._line("recorded", normal_s=taken.normal_s)

    def _line(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - as JSON takes it
        self._write(json.dumps({"event": event, **fields}))
