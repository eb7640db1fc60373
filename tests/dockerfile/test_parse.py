"""A Dockerfile's text, taken apart as BuildKit takes it apart."""

from __future__ import annotations

import pytest

from taskengine.dockerfile.model import Dockerfile, Instruction
from taskengine.dockerfile.parse import parse


def parsed(text: str) -> Dockerfile:
    dockerfile, problems = parse(text)
    assert not problems.has_errors, problems.found
    return dockerfile


def only(text: str) -> Instruction:
    (instruction,) = parsed(text).instructions
    return instruction


def codes(text: str) -> list[tuple[str, int]]:
    return [(problem.code, problem.location.line) for problem in parse(text)[1].found if problem.location]


def test_keywords_are_written_in_any_case() -> None:
    assert only("fRoM x").keyword == "FROM"
    assert only("fRoM x").written == "fRoM"


def test_comments_and_empty_lines_are_left_out() -> None:
    assert [i.line for i in parsed("# a\n\n  # b\nFROM x\n\t\nRUN y # no comment\n").instructions] == [4, 6]


def test_a_continued_line_is_joined_without_its_comments() -> None:
    run = only("RUN a \\\n  # between\n  && b \\  \n   c")
    assert (run.rest, run.line, run.last_line) == ("a   && b    c", 1, 4)


def test_a_doubled_escape_does_not_continue_the_line() -> None:
    assert [i.rest for i in parsed("RUN a\\\\\nRUN b").instructions] == ["a\\\\", "b"]


def test_an_empty_line_inside_a_continued_one_is_a_warning() -> None:
    assert codes("RUN a \\\n\n  b\n") == [("W701", 2)]


def test_the_escape_directive_changes_what_continues_a_line() -> None:
    dockerfile = parsed("# escape=`\nFROM x\nRUN dir C:\\\nRUN a `\n b\n")
    assert dockerfile.escape == "`"
    assert [i.rest for i in dockerfile.instructions] == ["x", "dir C:\\", "a  b"]


@pytest.mark.parametrize(
    "head", ["\n# escape=`", "# a comment\n# escape=`", "FROM y\n# escape=`", "# other=1\n# escape=`"]
)
def test_a_directive_counts_at_the_head_of_the_file_only(head: str) -> None:
    assert parse(head + "\nFROM x")[0].escape == "\\"


def test_directives_are_written_in_any_case_and_spacing() -> None:
    dockerfile = parsed("#SYNTAX = docker/dockerfile:1 --x \n#  Check=skip=all\n#escape=`\nFROM x")
    assert dockerfile.syntax
    assert dockerfile.check
    assert (dockerfile.syntax.value, dockerfile.check.value) == ("docker/dockerfile:1 --x", "skip=all")


@pytest.mark.parametrize("head", ["# escape=x", "# escape=`\n# escape=`", "# syntax=a\n# syntax=b"])
def test_a_wrong_directive_is_refused(head: str) -> None:
    assert codes(head + "\nFROM x")[0][0] == "E705"


def test_a_byte_order_mark_and_windows_line_ends_mean_nothing() -> None:
    assert [i.rest for i in parsed("\ufeffFROM x\r\nRUN a \\\r\n b\r\n").instructions] == ["x", "a  b"]


@pytest.mark.parametrize(
    ("line", "flags", "rest"),
    [
        ("COPY --from=a --link /x /y", ("--from=a", "--link"), "/x /y"),
        ("COPY --from='a b' /x /y", ("--from=a b",), "/x /y"),
        ('RUN --mount=type=bind,"from=a" x', ("--mount=type=bind,from=a",), "x"),
        ("RUN -- --x y", (), "--x y"),
        ("RUN x --y", (), "x --y"),
        ("RUN --a\\ b c", ("--a b",), "c"),
        ("FROM --platform=x", ("--platform=x",), ""),
    ],
)
def test_flags_stand_before_the_arguments(line: str, flags: tuple[str, ...], rest: str) -> None:
    assert (only(line).flags, only(line).rest) == (flags, rest)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('ENV a=b c=\'d e\' f="g\\" h" i=j\\ k', ("a=b", "c='d e'", 'f="g\\" h"', "i=j\\ k")),
        ("ARG a b=1  c=''", ("a", "b=1", "c=''")),
        ('CMD ["a", "b c"]', ("a", "b c")),
        ("CMD [a, b]", ("[a, b]",)),
        ('CMD ["a"] x', ('["a"] x',)),
        ("CMD []", ()),
        ("COPY a  b\tc", ("a", "b", "c")),
        ('COPY ["a b", "c"]', ("a b", "c")),
        ('HEALTHCHECK CMD ["a", "b"]', ("CMD", "a", "b")),
        ("HEALTHCHECK CMD a b", ("CMD", "a b")),
        ("FROM \t a   AS   b", ("a", "AS", "b")),
        ("USER a b", ("a b",)),
    ],
)
def test_arguments_fall_into_words_by_the_rules_of_the_keyword(line: str, words: tuple[str, ...]) -> None:
    assert only(line).words == words


def test_a_list_of_other_things_than_strings_is_refused() -> None:
    assert codes('FROM x\nCMD ["a", 1]') == [("E703", 2)]


def test_an_onbuild_holds_an_instruction() -> None:
    inner = only("ONBUILD COPY --from=a /x /y").inner
    assert inner
    assert (inner.keyword, inner.flags) == ("COPY", ("--from=a",))


def test_a_heredoc_belongs_to_its_instruction() -> None:
    dockerfile = parsed("FROM x\nRUN <<EOF cat <<-'B'\nFROM a\nEOF\n\tFROM b\n\tB\nCOPY <<x /y\nx\nRUN z")
    assert [(i.keyword, i.line, i.last_line) for i in dockerfile.instructions] == [
        ("FROM", 1, 1),
        ("RUN", 2, 6),
        ("COPY", 7, 8),
        ("RUN", 9, 9),
    ]
    first, second = dockerfile.instructions[1].heredocs
    assert (first.name, first.expand, first.chomp, first.content) == ("EOF", True, False, "FROM a\n")
    assert (second.name, second.expand, second.chomp, second.content) == ("B", False, True, "\tFROM b\n")


@pytest.mark.parametrize(
    "line",
    ["RUN cat <<<EOF", "RUN echo $((1<<2))", 'RUN ["cat", "<<EOF"]', "CMD cat <<EOF", "RUN a '<<EOF'", "RUN a << b"],
)
def test_not_every_pair_of_angles_opens_a_heredoc(line: str) -> None:
    assert only(line).heredocs == ()


def test_a_heredoc_without_end_is_refused_where_it_begins() -> None:
    assert codes("FROM x\nRUN cat <<EOF\na\nb\n")[0] == ("E706", 2)


def test_what_is_no_text_is_refused() -> None:
    assert codes("FROM x\0\n")[0] == ("E711", 1)
    assert codes("FROM x\nRUN " + "y" * 70_000) == [("E711", 2)]
    assert codes("#" * 5_000_000)[0][0] == "E711"
