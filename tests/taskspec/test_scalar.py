"""What YAML scalars mean: the rules of go-yaml v2."""

from __future__ import annotations

import math
from typing import Any

import pytest

from taskengine.taskspec.nodes import Map, Scalar, read
from taskengine.taskspec.scalar import as_bool, as_int, as_text, as_value, is_null


def scalar(text: str) -> Scalar:
    root = read(f"k: {text}\n").root
    assert isinstance(root, Map)
    node = root.flat[1]
    assert isinstance(node, Scalar)
    return node


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("+7", 7),
        ("-7", -7),
        ("0", 0),
        ("010", 8),
        ("08", 8),
        ("0o17", 15),
        ("0x20", 32),
        ("-0x20", -32),
        ("0b101", 5),
        ("1_000", 1000),
        ("1e3", 1000),
        ("1.9", 1),
        ("-1.9", -1),
        (".5", 0),
        ("!!int 5", 5),
        ("!!int '5'", 5),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ("1e30", None),
        ("'30'", None),
        ('"30"', None),
        ("1:30", None),
        ("x", None),
        ("0x", None),
        ("yes", None),
        (".inf", None),
        (".nan", None),
        ("2020-01-02", None),
        ("1" * 5000, None),
        ("!!str 5", None),
    ],
)
def test_whole_numbers(text: str, number: int | None) -> None:
    assert as_int(scalar(text)) == number


@pytest.mark.parametrize("text", ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
def test_words_that_are_true(text: str) -> None:
    assert as_bool(scalar(text)) is True


@pytest.mark.parametrize("text", ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
def test_words_that_are_false(text: str) -> None:
    assert as_bool(scalar(text)) is False


@pytest.mark.parametrize("text", ['"true"', "'yes'", "1", "0", "tRue", "!!str true", "x"])
def test_words_that_are_neither(text: str) -> None:
    assert as_bool(scalar(text)) is None


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_null_is_an_empty_text(text: str) -> None:
    assert is_null(scalar(text))
    assert as_text(scalar(text)) == ""


@pytest.mark.parametrize(("text", "wanted"), [("007", "007"), ("true", "true"), ("'~'", "~"), ("1.10", "1.10")])
def test_other_scalars_are_their_text(text: str, wanted: str) -> None:
    assert as_text(scalar(text)) == wanted


def test_binary_is_decoded() -> None:
    assert as_text(scalar("!!binary aGk=")) == "hi"
    assert as_text(scalar("!!binary /w==")) == "/w=="


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("yes", True),
        ("~", None),
        ("'1'", "1"),
        ("2020-01-02", "2020-01-02"),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 1.8446744073709552e19),
        (".inf", math.inf),
        ("word", "word"),
    ],
)
def test_values_have_the_type_they_look_like(text: str, value: Any) -> None:
    found = as_value(scalar(text))
    assert found == value
    assert type(found) is type(value)
