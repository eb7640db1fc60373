"""What of a step's output reaches a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskengine.cli.view.clean import is_harmless, plain_text, terminal_lines, terminal_text


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[2J\x1b[Hcleared", "cleared"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;ZXZpbA==\x07x", "x"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("\x1b[?1049halt", "alt"),
        ("\x1b(0box", "box"),
        ("bell\x07", "bell"),
        ("a\x00b", "ab"),
        ("\x9b2Jc1", "c1"),
        ("half\x1b[", "half"),
        ("half\x1b", "half"),
    ],
)
def test_what_moves_the_cursor_or_names_the_window_is_taken_out(line: str, shown: str) -> None:
    assert terminal_text(line, colour=True) == shown


def test_colours_stay_and_end_with_the_line() -> None:
    assert terminal_text("\x1b[31mred", colour=True) == "\x1b[31mred\x1b[0m"


def test_colours_go_where_none_are_wanted() -> None:
    assert terminal_text("\x1b[31mred\x1b[0m", colour=False) == "red"


def test_of_a_line_that_rewrites_itself_the_last_state_is_shown() -> None:
    assert terminal_text("10%\r50%\r100%\r", colour=True) == "100%"


def test_tabs_are_kept_in_lines_and_blanks_in_columns() -> None:
    assert terminal_text("a\tb", colour=True) == "a\tb"
    assert plain_text("a\tb") == "a  b"


@given(st.text())
def test_nothing_but_text_and_colours_is_ever_left(line: str) -> None:
    shown = plain_text(line.replace("\n", " "))
    assert all(ord(c) >= 32 and not 127 <= ord(c) < 160 for c in shown)


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_what_is_called_harmless_needs_no_cleaning(text: str) -> None:
    if is_harmless(text.encode()):
        assert all(terminal_text(line, colour=True) == line for line in text.split("\n"))


pieces = st.sampled_from(
    ["text", "\n", "\x1b[1;31m", "\x1b[0m", "\x1b[", "\x1b", "[2J", "\r", "\r\n", "\x9b", "ä", "\x07", "m", "\t"]
)


@given(st.lists(pieces).map("".join), st.booleans())
def test_many_lines_are_shown_as_each_of_them_is(text: str, colour: bool) -> None:
    one_by_one = "".join(terminal_text(line, colour=colour) + "\n" for line in text.split("\n"))
    assert terminal_lines(text.encode() + b"\n", colour=colour) == one_by_one.encode()
