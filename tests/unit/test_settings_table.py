"""Tables of keys are made from the settings: every key, what it may be, its default, its words."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, SecretStr

from pipeline.config.settings_table import Group, anchor, settings_tables
from pipeline.config.settings_words import default_of, kind_of, sentence
from pipeline.core.settings import Settings


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Lamp(Settings):
    """One lamp.

    More than anybody wants to know.
    """

    watts: float = Field(default=40.0, gt=0, le=100)
    """Power, W."""


class Plug(Settings):
    """What every plug has."""

    type: str
    """Kind of plug."""

    name: str = ""
    """Name of the plug."""


class BigPlug(Plug):
    """A big plug."""

    type: Literal["big"] = "big"
    """Kind of plug."""

    amperes: int = Field(ge=1, le=32)
    """Current, ``A``,
    on two lines."""


class House(Settings):
    """A house."""

    plugs: list[Plug] = []
    """Plugs."""

    lamps: dict[str, Lamp] = {}
    """Lamps by room."""

    porch: Lamp | None = None
    """The lamp outside."""


def rows(*groups: Group) -> list[str]:
    return list(settings_tables(groups))


def test_a_class_is_told_once_with_all_the_keys_under_which_it_stands():
    page = rows(Group("Houses", "All of them.", {"A whole file": House}))
    assert "### `lamps.NAME`, `porch`" in page
    link = "[keys](#lampsname-porch)"
    assert f"| `lamps` | by name: {link} |  | Lamps by room. |" in page
    assert f"| `porch` | {link} |  | The lamp outside. |" in page
    assert page.count("| `watts` | number, over 0, 100 at most | `40` | Power, W. |") == 1
    assert "One lamp." in page


def test_what_a_family_shares_is_told_once_and_left_out_of_its_kinds():
    plugs = Group("Plugs", "By type.", {"Plug `big`": BigPlug}, Plug)
    page = rows(Group("Houses", "", {"A whole file": House}), plugs)
    assert "| `plugs` | list of: [plugs](#plugs) |  | Plugs. |" in page
    assert page.count("| `name` | text |  | Name of the plug. |") == 1
    assert (
        "| `amperes` | whole number, 1 to 32 | *required* | Current, `A`, on two lines. |" in page
    )
    assert not any(line.startswith("| `type`") for line in page)


class Many(Settings):
    choice: Literal["auto", 1] = "auto"
    colour: Colour = Colour.BLUE
    secret: SecretStr | None = None
    path: Path = Path("data")
    share: Annotated[float, Field(ge=0, le=1)] | Literal["max"] = 0.5
    corner: tuple[float, float] = (1.5, 4.0)
    pair: tuple[int, str] = (1, "a")
    yes: bool = True
    lamp: Lamp = Lamp()
    some: dict[str, Literal["a", "b"]] = {}


@pytest.mark.parametrize(
    ("key", "kind", "default"),
    [
        ("choice", "`auto`, `1`", "`auto`"),
        ("colour", "`red`, `blue`", "`blue`"),
        ("secret", "text", ""),
        ("path", "path", "`data`"),
        ("share", "number, 0 to 1 or `max`", "`0.5`"),
        ("corner", "list of 2: number", "`[1.5, 4]`"),
        ("pair", "list of 2: whole number, text", "`[1, a]`"),
        ("yes", "true or false", "`true`"),
        ("lamp", "keys below", ""),
        ("some", "by name: `a`, `b`", ""),
    ],
)
def test_types_and_defaults_are_told_as_they_are_written_in_yaml(key, kind, default):
    info = Many.model_fields[key]
    assert kind_of(info, {}) == kind
    assert default_of(info) == default


def test_a_bar_or_a_line_break_does_not_break_the_table():
    assert sentence("one | two\n    ``three``") == "one \\| two `three`"
    assert sentence(None) == ""


def test_anchors_are_those_of_github():
    assert anchor("Source `mqtt`: `streams[].time`") == "source-mqtt-streamstime"
    assert anchor("What is *promised*?") == "what-is-promised"
