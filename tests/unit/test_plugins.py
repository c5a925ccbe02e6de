from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.core.errors import DependencyMissing, PluginError
from pipeline.core.extras import EXTRAS
from pipeline.core.settings import Settings
from pipeline.plugins import Family
from pipeline.sinks.base import SINKS, SinkSettings
from pipeline.sources.base import SOURCES, SourceSettings
from tests import outside_plugin

FAMILIES = pytest.mark.parametrize("family", [SOURCES, SINKS], ids=lambda family: family.name)


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(outside_plugin.unpack(tmp_path)))


@FAMILIES
def test_every_built_in_kind_keeps_the_contract(family: Family) -> None:
    for kind in family.kinds():
        try:
            settings = family.settings(kind)
        except DependencyMissing as error:
            assert "pip install" in error.fix
            continue
        assert issubclass(settings, family.base)
        assert settings.model_fields["type"].default == kind
        assert settings.__doc__


def test_the_built_in_kinds_are_there() -> None:
    sources = {
        "camera",
        "media",
        "microphone",
        "mqtt",
        "serial_port",
        "csv_file",
        "text_log",
        "lsl",
    }
    assert set(SOURCES.kinds()) >= sources
    assert set(SINKS.kinds()) >= {"console", "jsonl", "sql", "webhook", "mqtt"}


@FAMILIES
def test_support_modules_are_no_kinds(family: Family) -> None:
    assert not family.support & set(family.kinds())
    with pytest.raises(PluginError, match="of type 'base'"):
        family.settings("base")


@FAMILIES
@pytest.mark.parametrize("kind", ["", "..", "os", "base.x", "../camera", "Camera"])
def test_names_that_are_no_kinds_are_refused(family: Family, kind: str) -> None:
    with pytest.raises(PluginError):
        family.settings(kind)


def test_a_misspelt_kind_is_guessed() -> None:
    with pytest.raises(PluginError, match="did you mean 'csv_file'"):
        SOURCES.settings("csv_fil")
    with pytest.raises(PluginError, match="write one of: "):
        SOURCES.settings("zzzzzz")


def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    monkeypatch.delitem(sys.modules, "pipeline.sources.serial_port", raising=False)
    with pytest.raises(DependencyMissing) as caught:
        SOURCES.settings("serial_port")
    assert "needs the Python package 'serial'" in caught.value.message
    assert caught.value.fix.endswith("pip install 'pyserial>=3.5'")


def test_extras_are_those_of_the_package() -> None:
    import importlib.metadata

    known = set(importlib.metadata.metadata("fusewatch").get_all("Provides-Extra") or ())
    assert set(EXTRAS.values()) - {"lsl", "hf", "kafka", "dashboard", "cluster"} <= known


@pytest.mark.usefixtures("outside")
def test_kinds_of_other_packages_are_found() -> None:
    assert "toy" in SOURCES.kinds()
    assert issubclass(SOURCES.settings("toy"), SourceSettings)
    assert issubclass(SINKS.settings("toy"), SinkSettings)


@pytest.mark.usefixtures("outside")
def test_a_broken_package_is_named_and_hurts_nobody_else() -> None:
    with pytest.raises(PluginError, match="'broken_toy' of package 'fusewatch-toy'"):
        SOURCES.settings("broken_toy")
    with pytest.raises(PluginError, match="'odd_toy' is not a SourceSettings"):
        SOURCES.settings("odd_toy")
    assert SOURCES.settings("csv_file")


def test_a_built_in_kind_cannot_be_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = outside_plugin.unpack(tmp_path)
    entry_points = site / outside_plugin.INFO / "entry_points.txt"
    entry_points.write_text("[fusewatch.sources]\ncsv_file = fusewatch_toy:ToySource\n")
    monkeypatch.syspath_prepend(str(site))
    assert SOURCES.settings("csv_file").__module__ == "pipeline.sources.csv_file"


def test_a_module_without_plugin_is_refused() -> None:
    family = Family(name="oddities", package="pipeline.core", base=Settings)
    with pytest.raises(PluginError, match="'clock' is not a Settings"):
        family.settings("clock")
