"""What the process that learns while it is recorded tells the one that records, and is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from nodes.doctor import Finding
from pipeline.models.settings import DetectorSettings
from pipeline.training.commissioning_report import CommissioningReport
from pipeline.training.enough import EnoughSettings, Look
from pipeline.training.unseen import Unseen


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be learnt.

    Attributes:
        config: The deployment file.
        scene: Which of its scenes.
        recording: The file that is being recorded.
        model: Where the model goes.
        settings: Options of the detector.
        enough: When to look.
        again: The command that commissions from the recording.
        zone: Name of the site's time zone; None: that of this machine.
    """

    config: Path
    scene: str
    recording: Path
    model: Path
    settings: DetectorSettings
    enough: EnoughSettings
    again: str
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """How far it is.

    Attributes:
        normal_s: Normal taken in so far, seconds.
        findings: What is wrong with the streams now.
    """

    normal_s: float
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """How far a stage of learning is; see `pipeline.training.commissioning.commission`."""

    name: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Looked:
    """A look was taken."""

    look: Look
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Learnt:
    """The model is written.

    Attributes:
        report: What is to be said about it.
        unseen: What the recording has not shown.
    """

    report: CommissioningReport
    unseen: Unseen


@dataclass(frozen=True, slots=True)
class Failed:
    """It cannot go on.

    Attributes:
        message: What went wrong.
        where: Where.
        fix: What to do about it.
    """

    message: str
    where: str
    fix: str


Told: TypeAlias = Taken | Stage | Looked | Learnt | Failed


@dataclass(frozen=True, slots=True)
class Ended:
    """Said to the one that learns: the recording is finished.

    Attributes:
        last_ns: When its last arrival came, or later.
        look: Whether lengths that it has not come to yet are still judged.
    """

    last_ns: int
    look: bool
