from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.document import Document, build_document
from pipeline.config.yaml_reader import (
    MAX_BYTES,
    ProblemFound,
    compose,
    plain_value,
    read_text,
)
from pipeline.core.errors import ConfigError


def document(text: str, **environ: str) -> Document:
    return build_document(compose(text), environ)


def refused(text: str) -> str:
    with pytest.raises(ProblemFound) as caught:
        document(text)
    problem = caught.value.problem
    assert problem.line > 0
    return problem.message


def told(text: str, **environ: str) -> list[str]:
    return [str(problem) for problem in document(text, **environ).problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-0x1F", "-0x1F"),
        ("0x1F", 31),
        ("0o17", 15),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("-.inf", -math.inf),
        # what YAML 1.1 would have turned into something else
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("12:30", "12:30"),
        ("2026-11-22", "2026-11-22"),
        ("1_000", "1_000"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert plain_value(text) == value
    assert type(plain_value(text)) is type(value)


def test_nan_is_read_and_left_to_the_settings_to_refuse() -> None:
    assert math.isnan(float(plain_value(".nan") or 0))


def test_quoted_scalars_are_text() -> None:
    assert document("a: '12'\nb: \"true\"\nc: |\n  5\n").data == {
        "a": "12",
        "b": "true",
        "c": "5\n",
    }


def test_keys_are_text_whatever_they_look_like() -> None:
    assert document("1: a\non: b\ntrue: c").data == {"1": "a", "on": "b", "true": "c"}


def test_every_key_and_item_knows_its_line() -> None:
    found = document("a:\n  - b: 1\n    c: 2\n  - d\n").positions
    assert found.line(("a", 0, "c")) == 3
    assert found.line(("a", 1)) == 4
    assert found.line(("a", 0, "gone")) == 2
    assert found.line(("gone",)) == 1


def test_anchors_and_merge_keys_work() -> None:
    text = "base: &b {x: 1, y: 2}\nother: &o {y: 9, z: 3}\nuse:\n  <<: [*b, *o]\n  x: 5\n"
    data = document(text).data
    assert isinstance(data, dict)
    assert data["use"] == {"x": 5, "y": 2, "z": 3}


def test_a_key_written_twice_is_told_with_both_lines() -> None:
    assert told("a: 1\nb: 2\na: 3\n") == [":3: a: written twice, first in line 1; remove one"]


def test_variables_become_numbers_only_where_nothing_says_text() -> None:
    data = document("a: ${P}\nb: '${P}'\nc: x${P}\nd: ${Q:-false}\n", P="1883").data
    assert data == {"a": 1883, "b": "1883", "c": "x1883", "d": False}


def test_variables_cannot_change_the_structure() -> None:
    data = document("a: ${P}\n", P="1\nb: 2\nc: [x, *y]").data
    assert data == {"a": "1\nb: 2\nc: [x, *y]"}


def test_an_item_with_an_empty_when_is_left_out_whatever_else_is_in_it() -> None:
    text = (
        "sinks:\n  - {when: '${URL:-}', url: '${URL}', x: '${GONE}'}\n"
        "  - {when: '${OTHER:-}', url: '${OTHER}'}\n  - {type: c}\n"
    )
    found = document(text, OTHER="http://x")
    assert found.problems == []
    assert found.data == {"sinks": [{"url": "http://x"}, {"type": "c"}]}
    assert found.positions.line(("sinks", 0, "url")) == 3


@pytest.mark.parametrize(
    "value", ["false", "''", "", "null", "${X:-}", "${X:-false}", "'${X:-false}'", '"False"']
)
def test_when_is_off(value: str) -> None:
    assert document(f"a:\n  - when: {value}\n    b: 1\n").data == {"a": []}


def test_a_missing_variable_is_told_with_its_place() -> None:
    assert told("a:\n  b: ${GONE}\n") == [
        ":2: a.b: variable GONE is not set; export GONE=... or write ${GONE:-default}"
    ]


def test_a_billion_laughs_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "aliases" in refused("\n".join(lines))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]", "aliases make the file too large"),
        ("a: &a {b: *a}", "aliases make the file too large"),
        ("a: &a {<<: *a}", "aliases make the file too large"),
        ("a: &a {<<: [*a, *a, *a]}", "aliases make the file too large"),
        ("a: &a x\nb: [" + "*a, " * 300 + "]", "more than 200 aliases"),
        ("[" * 100_000, "more than 40 levels"),
        ("a: " + "{a: " * 100, "more than 40 levels"),
        ("[" + "a," * 100_000 + "]", "more than 50000 values"),
        ("a: !!python/object/apply:os.system ['true']", "not allowed"),
        ("a: !!binary aGVsbG8=", "not allowed"),
        ("a: !include x.yaml", "not allowed"),
        ("a: [1, 2", "not valid YAML"),
        ("a: 1\n b: 2", "not valid YAML"),
        ("a: *nobody", "not valid YAML: found undefined alias"),
        ("\ta: 1", "not valid YAML"),
        ("a: 1\n---\nb: 2", "not valid YAML: expected a single document"),
        ("a: \x07", "not valid YAML"),
        ("", "empty"),
        ("# only words\n", "empty"),
    ],
)
def test_hostile_and_broken_yaml_is_refused_with_its_line(text: str, message: str) -> None:
    assert message in refused(text)


def test_a_merge_of_something_else_and_odd_keys_are_told() -> None:
    assert "only mappings can be merged" in told("a: {<<: 5}")[0]
    assert "a key must be a plain word" in told("? [a, b]\n: 1\n")[0]


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    with pytest.raises(ConfigError, match="no such file"):
        read_text(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_text(tmp_path)
    file.write_bytes(b"name: a\nx: \xff\xfe\n")
    with pytest.raises(ConfigError, match=r"x.yaml:2: not UTF-8"):
        read_text(file)
    file.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        read_text(file)
    file.write_bytes("\ufeffname: ä".encode())
    assert read_text(file) == "name: ä"


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@`,?<~ \n\t0.${}", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        document(text)
    except ProblemFound as stop:
        assert stop.problem.message
