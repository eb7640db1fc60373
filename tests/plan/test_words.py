"""Words are split exactly as a POSIX shell splits them."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskengine.plan.words import WordError, find_operators, runtime_env, split


def words(text: str) -> list[str]:
    return [word.text for word in split(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        (" \t\n ", []),
        ("a b  c\td\ne", ["a", "b", "c", "d", "e"]),
        ("'a b' c", ["a b", "c"]),
        ('"a b" c', ["a b", "c"]),
        ("a'b c'd", ["ab cd"]),
        ("''", [""]),
        ('x="a b"', ["x=a b"]),
        (r"a\ b", ["a b"]),
        (r"a\\b", [r"a\b"]),
        (r'"a\"b"', ['a"b']),
        (r'"a\b"', [r"a\b"]),
        (r'"\$x \`y\` \\"', ["$x `y` \\"]),
        (r"'a\'", ["a\\"]),
        ("a\\\nb", ["ab"]),
        ('"a\\\nb"', ["ab"]),
        ("a \\\n b", ["a", "b"]),
        ("a\\", ["a\\"]),
        ("a;b|c&d", ["a;b|c&d"]),
        ("$HOME `x` *", ["$HOME", "`x`", "*"]),
        ("a # b", ["a", "#", "b"]),
        ("naïve '日本 語'", ["naïve", "日本 語"]),
        ("a\u00a0b", ["a\u00a0b"]),
    ],
)
def test_a_line_is_split_as_a_shell_does(text: str, wanted: list[str]) -> None:
    assert words(text) == wanted


@pytest.mark.parametrize(("text", "offset"), [("a 'b", 2), ('ab"c', 2), ("'a' \"b 'c'", 4), ('"a\\"', 0)])
def test_an_unclosed_quote_is_told_with_its_place(text: str, offset: int) -> None:
    with pytest.raises(WordError) as caught:
        split(text)
    assert caught.value.offset == offset


def test_a_word_knows_where_it_stood() -> None:
    first, second = split("  ab 'c d'e ")
    assert (first.start, first.end, first.quoted) == (2, 4, False)
    assert (second.start, second.end, second.quoted) == (5, 11, True)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab '\"\\\t", max_size=12))
def test_words_agree_with_the_shell_of_this_machine(text: str) -> None:
    shell = shutil.which("sh")
    assert shell
    try:
        found = words(text)
    except WordError:
        return
    script = f'set -- {text}\nfor word in "$@"; do printf "%s\\0" "$word"; done'
    if text.endswith("\\"):
        return  # the line feed behind it would go with it
    answer = subprocess.run([shell, "-c", script], capture_output=True, check=True, timeout=10)
    assert answer.stdout.decode().split("\0")[:-1] == found


@given(st.text(max_size=40))
def test_offsets_are_inside_the_text_and_in_order(text: str) -> None:
    try:
        found = split(text)
    except WordError as error:
        found = ()
        offset = error.offset
    else:
        offset = 0
    assert 0 <= offset <= len(text)
    ends = [0, *(word.end for word in found)]
    assert all(before <= word.start < word.end <= len(text) for before, word in zip(ends, found, strict=False))


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ("A=1", "A=1"),
        ("MSG=hello world", "MSG=hello world"),
        ("MSG='hello world'", "MSG=hello world"),
        ('J={"a":1}', "J={a:1}"),
        ("A='x' y", "A='x' y"),
        ("A='x", "A='x"),
        ("A=$HOME", "A=$HOME"),
        (r"A=\$HOME", "A=$HOME"),
        ("C=  two ", "C=  two "),
        (" A='1'", " A='1'"),
        ("", ""),
        ("''", ""),
    ],
)
def test_an_env_entry_that_is_one_word_loses_its_quotes(entry: str, wanted: str) -> None:
    assert runtime_env(entry) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("echo a; b", [";"]),
        ("a && b || c", ["&&", "||"]),
        ("a | b > c < d &", ["|", ">", "<", "&"]),
        ("echo $(date) `date`", ["$(", "`", "`"]),
        ("sh -c 'a; b | $(c)'", []),
        ('sh -c "a; b | $(c)"', ["$("]),
        (r"a \; \> \$(b", []),
        ("a '", []),
        ("$HOME ${x}", []),
    ],
)
def test_shell_operators_are_found_where_a_shell_would_act_on_them(text: str, wanted: list[str]) -> None:
    assert [operator.text for operator in find_operators(text)] == wanted
