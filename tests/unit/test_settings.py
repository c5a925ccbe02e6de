"""What every settings class of the library must keep."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

from pydantic import ValidationError

import pipeline
from pipeline.core.settings import Settings


def all_settings() -> list[type[Settings]]:
    for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("pipeline"):
                raise
    return sorted(_below(Settings), key=lambda settings: settings.__qualname__)


def _below(settings: type[Settings]) -> set[type[Settings]]:
    direct = {s for s in settings.__subclasses__() if s.__module__.startswith("pipeline.")}
    return direct.union(*(_below(s) for s in direct)) if direct else set()


def test_every_field_has_a_description() -> None:
    bare = [
        f"{settings.__module__}.{settings.__qualname__}.{name}"
        for settings in all_settings()
        for name, field in settings.model_fields.items()
        if not field.description and not (name == "type" and len(settings.__mro__) > 3)
    ]
    assert bare == []


def test_every_class_says_what_it_is() -> None:
    assert [s.__qualname__ for s in all_settings() if not inspect.getdoc(s)] == []


def test_every_class_is_frozen_and_refuses_unknown_keys() -> None:
    for settings in all_settings():
        assert settings.model_config.get("frozen"), settings
        assert settings.model_config.get("extra") == "forbid", settings


def test_units_stand_in_names_and_not_in_abbreviations_of_them() -> None:
    odd = re.compile(r"_(sec|secs|seconds|millis|hertz|bytes|mbytes|percent)$")
    found = [
        f"{settings.__qualname__}.{name}"
        for settings in all_settings()
        for name in settings.model_fields
        if odd.search(name)
    ]
    assert found == []


def test_every_default_is_valid_and_every_class_has_a_schema() -> None:
    for settings in all_settings():
        settings.model_json_schema()
        try:
            settings()
        except ValidationError as error:
            wrong = [e for e in error.errors() if e["type"] != "missing" and e["loc"]]
            assert wrong == []
