"""Whole lines, whoever else is talking, and not a byte lost."""

from __future__ import annotations

import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from taskengine.logs.lines import LineSink, LineSplitter, PrefixWriter


class Page:
    """Where a PrefixWriter writes."""

    def __init__(self, longest: int = 64 * 1024) -> None:
        self.pieces: list[bytes] = []
        self.writer = PrefixWriter(self.pieces.append, lambda step, _: b"[" + step.encode() + b"] ", longest)

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
    page.writer.write("a", 1, b"x" * 10)
    page.writer.write("b", 1, b"hello\n")
    page.writer.write("a", 1, b"yy\n")
    assert page.text == b"[a] xxxxxxxxxx\n[b] hello\n[a] yy\n"


def test_a_very_long_line_without_an_end_gets_its_newline_at_the_steps_end() -> None:
    page = Page(longest=10)
    page.writer.write("a", 1, b"x" * 10)
    page.writer.end("a")
    page.writer.write("b", 1, b"hello\n")
    assert page.text == b"[a] xxxxxxxxxx\n[b] hello\n"


def test_ten_megabytes_without_a_newline_are_not_kept_in_memory() -> None:
    page = Page()
    most = 0
    for _ in range(320):
        before = len(page.pieces)
        page.writer.write("a", 1, b"x" * 32768)
        most = max([most, *map(len, page.pieces[before:])])
    page.writer.end("a")
    assert most <= 128 * 1024
    assert page.text == b"[a] " + b"x" * (320 * 32768) + b"\n"


def test_a_progress_bar_repeats_the_prefix_and_windows_line_ends_do_not() -> None:
    page = Page()
    page.writer.write("a", 1, b"10%\r20%\rdone\r\nnext\r\n")
    assert page.text == b"[a] 10%\r[a] 20%\r[a] done\r\n[a] next\r\n"


def test_without_a_prefix_bytes_pass_as_they_are() -> None:
    pieces: list[bytes] = []
    writer = PrefixWriter(pieces.append, lambda *_: b"")
    writer.write("a", 1, b"1\r2\n\x00\xff\n")
    assert b"".join(pieces) == b"1\r2\n\x00\xff\n"


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
def test_lines_joined_together_are_the_input(data: list[bytes]) -> None:
    splitter = LineSplitter(longest=16)
    lines = [line for chunk in data for line in splitter.feed(chunk)] + splitter.close()
    assert b"".join(lines) == b"".join(data)
    assert all(b"\n" not in line[:-1] for line in lines)
    assert all(lines)


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


def test_a_line_sink_calls_for_each_line_and_for_the_rest_at_the_end() -> None:
    seen: list[tuple[str, int, bytes]] = []
    sink = LineSink(lambda *line: seen.append(line))
    sink.write("a", 1, b"one\ntw")
    sink.write("a", 2, b"err")
    sink.write("a", 1, b"o\nrest")
    sink.end("a")
    assert seen == [("a", 1, b"one\n"), ("a", 1, b"two\n"), ("a", 1, b"rest"), ("a", 2, b"err")]
