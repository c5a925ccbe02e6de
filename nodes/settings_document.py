"""The pages ``configs/settings.md`` and ``configs/models/settings.md``: every key there is.

They are written by ``fusewatch config settings`` from the settings classes; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.config import Deployment
from pipeline.config.schema import importable
from pipeline.config.settings_table import Group, settings_tables
from pipeline.plugins import Family
from pipeline.sinks.base import SINKS
from pipeline.sources.base import SOURCES

_COMMAND = "fusewatch config settings"
_BY = "This page is written by `{}`: change the text beside the setting in the code instead."


def deployment_document() -> str:
    """Every key of a deployment file, with the kinds of sources and sinks that can be used here."""
    groups = (
        Group(
            "A deployment",
            "`NAME` stands for a name that you choose, `[]` for each item of a list.",
            {"A whole file": Deployment},
        ),
        _kinds(SOURCES, "A source is chosen by its `type`. Every one has these keys, and its own:"),
        _kinds(SINKS, "A sink is chosen by its `type`. Every one has these keys, and its own:"),
    )
    return _page("Settings of a deployment", _COMMAND, groups)


def model_document() -> str:
    """Every key of the files in ``configs/models``."""
    from pipeline.models.contexts.base import CONTEXTS
    from pipeline.models.encoders.base import ENCODERS
    from pipeline.models.fusions.base import FUSIONS
    from pipeline.models.heads.base import HEADS
    from pipeline.models.settings import DetectorSettings
    from pipeline.training.classifier import ClassifierSettings
    from pipeline.training.phases.base import PHASES
    from pipeline.training.scene_training import SceneTrainingSettings

    chosen = "Chosen by `type`. Every one has these keys, and its own:"
    groups = (
        Group(
            "Files",
            "A file without `task` is a detector, for `fusewatch commission --detector`; the "
            "others are for `fusewatch train`.",
            {
                "A detector": DetectorSettings,
                "`task: scene`": SceneTrainingSettings,
                "`task: classifier`": ClassifierSettings,
            },
        ),
        *(_kinds(family, chosen) for family in (ENCODERS, FUSIONS, CONTEXTS, HEADS, PHASES)),
    )
    return _page("Settings of detectors and trainings", f"{_COMMAND} --models", groups)


def _kinds(family: Family, intro: str) -> Group:
    one = family.name.removesuffix("s").capitalize()
    roots = {f"{one} `{kind}`": settings for kind, settings in importable(family).items()}
    return Group(family.name.capitalize(), intro, roots, family.base)


def _page(title: str, command: str, groups: tuple[Group, ...]) -> str:
    def lines() -> Iterator[str]:
        yield from (f"# {title}", "", _BY.format(command))
        yield from settings_tables(groups)

    return "\n".join(lines()) + "\n"
