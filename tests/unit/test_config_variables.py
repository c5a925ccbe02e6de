from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.variables import VariableFault, substitute

ENVIRON = {"HOST": "hall.local", "EMPTY": "", "TRICKY": "${HOST} $${ }"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("${HOST}", "hall.local"),
        ("rtsp://${HOST}/live", "rtsp://hall.local/live"),
        ("${HOST}:${PORT:-554}", "hall.local:554"),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", "default"),
        ("${GONE:-}", ""),
        ("${GONE:-${HOST}}", "hall.local"),
        ("${GONE:-${ALSO_GONE:-x}}y", "xy"),
        ("${GONE:-rtsp://a:b@c/d?e=1}", "rtsp://a:b@c/d?e=1"),
        ("${HOST:?needed}", "hall.local"),
        ("$${HOST}", "${HOST}"),
        ("a$${b}${HOST}", "a${b}hall.local"),
        ("$HOST costs 5$", "$HOST costs 5$"),
        ("${GONE:-$${x}}", "${x}"),
    ],
)
def test_references_are_replaced(text: str, result: str) -> None:
    assert substitute(text, ENVIRON).text == result


def test_what_a_variable_holds_is_not_looked_at_again() -> None:
    assert substitute("${TRICKY}", ENVIRON).text == ENVIRON["TRICKY"]


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("${GONE}", "variable GONE is not set", "export GONE=..."),
        ("${GONE:?the camera's URL}", "variable GONE is not set: the camera's URL", "export"),
        ("${EMPTY:?}", "variable EMPTY is not set", "export EMPTY"),
        ("${HOST", "never closed", "$${"),
        ("${}", "'${}' is not a variable", "${NAME:-default}"),
        ("${1X}", "is not a variable", "${NAME}"),
        ("${HOST-x}", "is not a variable", "${NAME}"),
        ("${A:-" * 12 + "}" * 12, "nested too deeply", ""),
    ],
)
def test_a_reference_that_cannot_be_replaced_says_what_to_do(
    text: str, message: str, fix: str
) -> None:
    with pytest.raises(VariableFault) as caught:
        substitute(text, ENVIRON)
    assert message in caught.value.message
    assert fix in caught.value.fix


def test_it_is_known_what_came_from_where() -> None:
    whole = substitute("${HOST}", ENVIRON)
    assert (whole.whole, whole.names, whole.values) == (True, ("HOST",), ("hall.local",))
    assert substitute("${GONE:-${HOST}}", ENVIRON).whole
    assert not substitute("${HOST}${HOST}", ENVIRON).whole
    assert not substitute("x${HOST}", ENVIRON).whole


@given(st.text(alphabet="${}:-?AB x"))
def test_any_text_is_replaced_or_refused(text: str) -> None:
    try:
        result = substitute(text, {"A": "1"})
    except VariableFault:
        return
    if "${" not in text:
        assert result.text == text


@given(st.text())
def test_any_value_is_put_in_as_it_is(value: str) -> None:
    assert substitute("<${A}>", {"A": value}).text == f"<{value}>"
