"""``fusewatch train`` for the task ``scene``: what the command does once it is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nodes.stage_bar import StageBar
from pipeline.config import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nodes.train_scene import SceneRecordings
    from pipeline.training.retrieval import Retrieval
    from pipeline.training.scene_training import SceneTraining


def train(
    config: Path,
    recordings: SceneRecordings,
    output: Path,
    report: Path,
    *,
    resume: bool = False,
    seed: int | None = None,
) -> None:
    """Train the network of a scene, write its file and the report, and say what came out.

    Args:
        config: Settings file, ``task: scene``.
        recordings: What it is trained on.
        output: The network's file.
        report: Folder of the report; the state of the run lies in ``state`` there.
        resume: Go on with a run that was cut off.
        seed: Instead of that of the settings.

    Raises:
        FusewatchError: See `pipeline.training.scene_training.train_scene`.
    """
    from nodes.train_scene import save_trained, train_scene_network
    from pipeline.training.scene_training import SceneTrainingSettings
    from pipeline.training.scene_training_report import write_report

    settings = load_settings(config, SceneTrainingSettings)
    if seed is not None:
        settings = settings.model_copy(update={"seed": seed})
    console = Console()
    with StageBar(console) as bar:
        trained = train_scene_network(
            recordings, settings, report / "state", resume=resume, progress=bar.tell
        )
    save_trained(trained, recordings.scene, output)
    page = write_report(trained, recordings.scene, report)
    tell(console, trained)
    console.print(f"{output} and {page} written", soft_wrap=True, highlight=False, markup=False)


def tell(console: Console, trained: SceneTraining) -> None:
    """Print what each phase did, and how well the streams find each other."""
    phases = Table("phase", "held-out loss before", "after", "best step", "seconds")
    for one in trained.phases:
        losses = f"{one.before:.3f}", f"{one.after:.3f}"
        step = f"{one.history.best_step} of {one.history.steps}"
        phases.add_row(one.kind, *losses, step, f"{one.history.seconds:.0f}")
    console.print(phases)
    figures = Table("on held-out windows", "before", "after")
    for one in trained.phases:
        for name, value in one.figures.items():
            figures.add_row(escape(name), f"{one.figures_before[name]:.2f}", f"{value:.2f}")
    if figures.row_count:
        console.print(figures)
    if trained.retrieval:
        console.print(_retrieval(trained.retrieval))


def _retrieval(pairs: Sequence[Retrieval]) -> Table:
    """How well the streams find each other's windows."""
    table = Table("from", "to", "own first", "chance", "median rank", "chance")
    for pair in pairs:
        shares = f"{pair.recall_1:.1%}", f"{pair.chance_1:.1%}"
        places = f"{pair.median_rank:.0f}", f"{pair.chance_rank:.0f}"
        table.add_row(escape(pair.asked), escape(pair.found), *shares, *places)
    return table
