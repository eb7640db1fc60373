"""Variables in a word, replaced as BuildKit replaces them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.dockerfile.shell import LONGEST_RESULT, ExpansionError, expand, split_raw

VALUES = {"V": "a/b/c.tar.gz", "E": "", "_u1": "under", "S": "foo*bar", "é": "accent", "L": "a\nb"}


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("plain", "plain"),
        ("$V", "a/b/c.tar.gz"),
        ("x${V}y", "xa/b/c.tar.gzy"),
        ("$_u1-", "under-"),
        ("$é", "accent"),
        ("$N.", "."),
        ("$", "$"),
        ("a$/b", "a$/b"),
        ("$1a", "a"),
        ("$12", ""),
        ("$$", ""),
        ("${N:-d}", "d"),
        ("${N-d}", "d"),
        ("${E:-d}", "d"),
        ("${E-d}", ""),
        ("${V:-d}", "a/b/c.tar.gz"),
        ("${N:+x}", ""),
        ("${V:+x}", "x"),
        ("${E:+x}", ""),
        ("${E+x}", "x"),
        ("${V:?no}", "a/b/c.tar.gz"),
        ("${E?no}", ""),
        ("${N:-${V:-q}}", "a/b/c.tar.gz"),
        ("${N:-${M:-q}}", "q"),
        ("${N:-$V}", "a/b/c.tar.gz"),
        ("${N:-'a b'}", "a b"),
        ('${N:-"}"}', "}"),
        (r"${N:-\}}", "}"),
        ("${V#*/}", "b/c.tar.gz"),
        ("${V##*/}", "c.tar.gz"),
        ("${V%.*}", "a/b/c.tar"),
        ("${V%%.*}", "a/b/c"),
        ("${V#x}", "a/b/c.tar.gz"),
        ("${V%?gz}", "a/b/c.tar"),
        (r"${S#foo\*}", "bar"),
        (r"${S%\*bar}", "foo"),
        ("${V/a/Z}", "Z/b/c.tZr.gz".replace("tZr", "tar")),
        ("${V//a/Z}", "Z/b/c.tZr.gz"),
        (r"${V//\//-}", "a-b-c.tar.gz"),
        ("${V/.*/}", "a/b/c"),
        ("${N/a/b}", ""),
        ("${V//./$1}", "a/b/c$1tar$1gz".replace("$1", "")),
        ("'$V'", "$V"),
        ('"$V"', "a/b/c.tar.gz"),
        (r"\$V", "$V"),
        (r'"\$V\x"', r"$V\x"),
        (r"a\ b", "a b"),
        ("'it''s'", "its"),
        ("end\\", "end"),
    ],
)
def test_a_word_is_expanded(word: str, text: str) -> None:
    assert expand(word, VALUES).text == text


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("${", "has no }"),
        ("${V", "no operator"),
        ("${V:-d", "matching }"),
        ("${}", "names no variable"),
        ("${:-x}", "names no variable"),
        ("${{V}}", "names no variable"),
        ("${V!x}", "no operator '!'"),
        ("${V:x}", "no operator ':x'"),
        ("${N:?say why}", "N: say why"),
        ("${N?}", "N: is not allowed to be unset"),
        ("${E:?}", "E: is not allowed to be empty"),
        ("'x", "single quote"),
        ('"x', "double quote"),
        ('"x\\', "double quote"),
        ("${V/a}", "matching /"),
        ("${V/a/b", "matching }"),
        (r"${V#\a}", "needs no escape"),
        ("${A:-" * 40, "nest deeper"),
    ],
)
def test_what_cannot_be_expanded_says_why(word: str, reason: str) -> None:
    with pytest.raises(ExpansionError, match=reason):
        expand(word, VALUES)


def test_the_escape_character_can_be_the_backtick() -> None:
    assert expand(r"C:\x`$V", VALUES, "`").text == r"C:\x$V"


def test_names_without_a_value_are_told() -> None:
    assert expand("$N${M:-1}$V$N", VALUES).missing == ("N", "M")


def test_a_value_cannot_grow_without_end() -> None:
    with pytest.raises(ExpansionError, match="grows beyond"):
        expand("$B" * 10, {"B": "x" * (LONGEST_RESULT // 5)})


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    assert expand("${B##" + "*a" * 40 + "b}", {"B": "a" * 20_000}).text == "a" * 20_000


def test_a_line_falls_into_words_with_its_quotes_kept() -> None:
    assert split_raw("RUN <<'E X' cat  $a ${b:-c d}", quotes=True) == ("RUN", "<<'E X'", "cat", "$a", "${b:-c", "d}")
    assert split_raw("'E X'", quotes=False) == ("E X",)


@given(st.text(alphabet="aV_N${}:-+?#%/*\\'\"` ", max_size=60), st.sampled_from("\\`"))
def test_any_word_is_expanded_or_refused(word: str, escape: str) -> None:
    try:
        expand(word, VALUES, escape)
    except ExpansionError:
        return
