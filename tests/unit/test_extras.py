"""How to install what is missing, in words that work without an index that has fusewatch."""

from __future__ import annotations

import sys

import pytest

from pipeline.core import extras

LINES = [
    "numpy>=1.26",
    "torch==2.11.*; extra == 'fusion'",
    "psycopg[binary]>=3.2; extra == 'postgres'",
    'paho-mqtt>=2.1 ; python_version >= "3.11" and extra == "mqtt"',
    "paho-mqtt>=2.1; extra == 'all'",
    "pytest>=8; extra == 'dev'",
]


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "_requirements", lambda: LINES)
    monkeypatch.setattr(extras, "is_installed", lambda name: name == "torch")
    monkeypatch.setattr(extras, "pip", lambda: "pip")


def test_what_an_extra_lacks_is_asked_for_by_its_own_name_and_version() -> None:
    assert extras.installing("mqtt") == "pip install 'paho-mqtt>=2.1'"
    assert extras.installing("postgres") == "pip install 'psycopg[binary]>=3.2'"
    assert extras.installing_module("paho.mqtt.client") == "pip install 'paho-mqtt>=2.1'"


def test_what_is_installed_and_still_not_found_is_installed_again() -> None:
    assert extras.lacking("fusion") == []
    assert extras.installing("fusion") == "pip install 'torch==2.11.*'"


def test_bundles_and_tools_are_no_extras_of_their_own() -> None:
    assert set(extras.packages()) == {"fusion", "postgres", "mqtt"}


def test_an_extra_that_this_installation_does_not_know_is_said() -> None:
    assert "from where it came from, with [kafka]" in extras.installing("kafka")


def test_pip_is_that_of_the_environment_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(sys, "prefix", "/opt/fusewatch")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    assert extras.pip() == "/opt/fusewatch/bin/pip"
    monkeypatch.setenv("VIRTUAL_ENV", "/opt/fusewatch")
    assert extras.pip() == "pip"
    monkeypatch.setattr(sys, "base_prefix", "/opt/fusewatch")
    monkeypatch.delenv("VIRTUAL_ENV")
    assert extras.pip() == "pip"
