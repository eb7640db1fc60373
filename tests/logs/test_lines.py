"""Whole lines, whoever else is talking, and not a byte lost."""

from __future__ import annotations

import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from taskengine.logs.lines import LONG_LINE, LONGEST_LINE, Lines, PrefixWriter


class Page:
    """Where a PrefixWriter writes."""

    def __init__(self, longest: int = 64 * 1024) -> None:
        self.pieces: list[bytes] = []
        self.writer = PrefixWriter(self.pieces.append, lambda step: b"[" + step.encode() + b"] ", longest)

    @property
    def text(self) -> bytes:
        return b"".join(self.pieces)


def test_every_line_stands_behind_its_steps_prefix() -> None:
    page = Page()
    page.writer.write("a", 1, b"one\ntwo\n\n")
    assert page.text == b"[a] one\n[a] two\n[a] \n"


def test_two_steps_never_share_a_line() -> None:
    page = Page()
    page.writer.write("a", 1, b"begin")
    page.writer.write("b", 1, b"other\n")
    page.writer.write("a", 1, b"ning\n")
    assert page.text == b"[b] other\n[a] beginning\n"


def test_a_line_of_stdout_and_one_of_stderr_are_not_mixed() -> None:
    page = Page()
    page.writer.write("a", 1, b"out")
    page.writer.write("a", 2, b"err\n")
    page.writer.write("a", 1, b"put\n")
    assert page.text == b"[a] err\n[a] output\n"


def test_a_last_line_without_a_newline_comes_with_the_steps_end() -> None:
    page = Page()
    page.writer.write("a", 1, b"prompt> ")
    assert page.text == b""
    page.writer.end("a")
    assert page.text == b"[a] prompt> \n"


def test_a_very_long_line_stays_one_line_while_nobody_else_talks() -> None:
    page = Page(longest=10)
    for _ in range(5):
        page.writer.write("a", 1, b"x" * 10)
    page.writer.write("a", 1, b"end\nnext\n")
    assert page.text == b"[a] " + b"x" * 50 + b"end\n[a] next\n"


def test_a_very_long_line_goes_on_behind_a_new_prefix_after_another_step_has_talked() -> None:
    page = Page(longest=10)
    page.writer.write("a", 1, b"x" * 10 + b"y")
    page.writer.write("b", 1, b"hello\n")
    page.writer.write("a", 1, b"yy\n")
    assert page.text == b"[a] xxxxxxxxxx\n[b] hello\n[a] yyy\n"


def test_a_very_long_line_without_an_end_gets_its_newline_at_the_steps_end() -> None:
    page = Page(longest=10)
    page.writer.write("a", 1, b"x" * 11)
    page.writer.end("a")
    page.writer.write("b", 1, b"hello\n")
    assert page.text == b"[a] xxxxxxxxxxx\n[b] hello\n"


def test_lines_that_never_end_are_not_kept_in_memory() -> None:
    page = Page(longest=65536)
    most = 0
    for _ in range(320):
        before = len(page.pieces)
        page.writer.write("a", 1, b"x" * 32768)
        most = max([most, *map(len, page.pieces[before:])])
    page.writer.end("a")
    assert most <= 128 * 1024
    assert page.text == b"[a] " + b"x" * (320 * 32768) + b"\n"


def test_many_long_lines_at_once_share_what_may_be_held() -> None:
    lines = Lines(most_held=10 * LONG_LINE)
    held = 0
    for n in range(100):
        held += 4 * LONG_LINE - sum(len(data) for data, _ in lines.feed(f"s{n}", 1, b"x" * (4 * LONG_LINE)))
    assert held <= 11 * LONG_LINE


def test_a_piece_ends_between_characters_and_is_followed_by_another() -> None:
    lines = Lines(longest=8)
    [(piece, is_whole)] = lines.feed("a", 1, "aaaaaaaé".encode())
    assert (piece, is_whole) == (b"aaaaaaa", False)
    assert lines.end("a") == [(("a", 1), "é".encode())]


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    page = Page()
    page.writer.write("a", 1, b"\xff\x00\r\x1b[2J10%\r20%\r\n")
    assert page.text == b"[a] \xff\x00\r\x1b[2J10%\r20%\r\n"


def test_closing_gives_out_what_every_step_has_begun() -> None:
    page = Page()
    page.writer.write("a", 1, b"one")
    page.writer.write("b", 2, b"two")
    page.writer.close()
    assert page.text == b"[a] one\n[b] two\n"


def test_a_line_of_ten_megabytes_is_one_line_though_others_talk() -> None:
    page = Page(longest=LONGEST_LINE)
    for _ in range(160):
        page.writer.write("a", 1, b"x" * 65536)
        page.writer.write("b", 1, b"hello\n")
    page.writer.write("a", 1, b"\n")
    assert page.text == b"[b] hello\n" * 160 + b"[a] " + b"x" * 10485760 + b"\n"


def test_forty_steps_at_once_keep_their_lines_whole() -> None:
    page = Page()

    def talk(step: str) -> None:
        for i in range(50):
            page.writer.write(step, 1, b"%d-" % i)
            page.writer.write(step, 1, b"%d\n" % i)

    threads = [threading.Thread(target=talk, args=(f"s{n}",)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = page.text.decode().splitlines()
    for n in range(40):
        mine = [line for line in lines if line.startswith(f"[s{n}] ")]
        assert mine == [f"[s{n}] {i}-{i}" for i in range(50)]


chunks = st.lists(st.binary(max_size=8) | st.sampled_from([b"\n", b"a\n", b"\r\n", b"x" * 20]), max_size=20)


@given(data=chunks)
def test_cuts_joined_together_are_the_input(data: list[bytes]) -> None:
    lines = Lines(longest=16)
    cuts = [cut for chunk in data for cut in lines.feed("a", 1, chunk)]
    rest = b"".join(rest for _, rest in lines.end_all())
    assert b"".join(cut.data for cut in cuts) + rest == b"".join(data)
    assert all(cut.data.endswith(b"\n") for cut in cuts if cut.is_whole)
    assert all(cut.data and b"\n" not in cut.data for cut in cuts if not cut.is_whole)
    assert b"\n" not in rest


@settings(max_examples=150)
@given(writes=st.lists(st.tuples(st.sampled_from("ab"), st.text("xy\n", max_size=6)), max_size=25))
def test_each_steps_lines_are_in_the_pipe_in_order(writes: list[tuple[str, str]]) -> None:
    page = Page()
    for step, text in writes:
        page.writer.write(step, 1, text.encode())
    for step in "ab":
        page.writer.end(step)
    for step in "ab":
        said = "".join(text for name, text in writes if name == step)
        lines = [line[4:] for line in page.text.decode().split("\n") if line.startswith(f"[{step}] ")]
        assert lines == (said.removesuffix("\n").split("\n") if said else [])


def test_lines_come_together_and_the_rest_at_the_end() -> None:
    lines = Lines()
    assert lines.feed("a", 1, b"one\ntwo\nthr") == [(b"one\ntwo\n", True)]
    assert lines.feed("a", 2, b"err") == []
    assert lines.feed("a", 1, b"ee\nrest") == [(b"three\n", True)]
    assert lines.end("a") == [(("a", 1), b"rest"), (("a", 2), b"err")]
    assert lines.end("a") == []
