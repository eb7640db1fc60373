"""The way back from a made text to the author's file."""

from __future__ import annotations

from taskengine.errors import Location
from taskengine.taskspec.nodes import Map, Scalar, place_in, read
from taskengine.taskspec.source import Builder, Source, View


def place(view: View, offset: int) -> tuple[int, int]:
    at = view.locate(offset)
    return at.line, at.column


def test_lines_and_columns_count_from_one_in_characters() -> None:
    source = Source("a\nüb\n\n日x", "f.yaml")
    assert source.locate(0) == Location(file="f.yaml", line=1, column=1)
    assert source.locate(3) == Location(file="f.yaml", line=2, column=2)
    assert source.locate(5) == Location(file="f.yaml", line=3, column=1)
    assert source.locate(7) == Location(file="f.yaml", line=4, column=2)
    assert source.locate(99) == Location(file="f.yaml", line=4, column=3)


def test_a_line_is_quoted_without_its_end() -> None:
    source = Source("one\r\ntwo\n", "f")
    assert [source.line(number) for number in (0, 1, 2, 3, 4)] == ["", "one", "two", "", ""]


def test_a_view_looks_through_every_pass() -> None:
    view = View.of(Source("drop\nkeep $x end\n", "f"))
    first = Builder(view.text)
    first.copy(5, 17)
    view = view.then(first.text(), first.pieces)
    assert view.text == "keep $x end\n"
    second = Builder(view.text)
    second.copy(0, 5)
    second.put("a much longer text", 5)
    second.copy(7, 12)
    view = view.then(second.text(), second.pieces)
    assert view.text == "keep a much longer text end\n"
    assert place(view, 0) == (2, 1)
    assert place(view, 12) == (2, 6)
    assert place(view, view.text.index("end")) == (2, 9)


def scalar(text: str) -> Scalar:
    root = read(text).root
    assert isinstance(root, Map)
    node = root.flat[1]
    assert isinstance(node, Scalar)
    return node


def marked(text: str) -> str:
    """The text with the place of the value's X shown by a ^ in front of it."""
    node = scalar(text)
    at = place_in(text, node, node.text.index("X"))
    return text[:at] + "^" + text[at:]


def test_a_place_inside_a_scalar_is_found_through_quotes_and_folding() -> None:
    assert marked("k: abc X") == "k: abc ^X"
    assert marked('k: "abc X"') == 'k: "abc ^X"'
    assert marked("k: 'it''s X'") == "k: 'it''s ^X'"
    assert marked('k: "a\\tb\\u00fc X"') == 'k: "a\\tb\\u00fc ^X"'
    assert marked("k: >\n  abc\n  def\n\n  X y\n") == "k: >\n  abc\n  def\n\n  ^X y\n"
    assert marked("k: |\n  abc\n    def X\n") == "k: |\n  abc\n    def ^X\n"
    assert marked("k: abc\n  def X\n") == "k: abc\n  def ^X\n"
    assert marked('k: "abc\n  def \\\n  X"\n') == 'k: "abc\n  def \\\n  ^X"\n'
