"""Lines prefixed by the step's id."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from taskengine.cli.view.lines import PrefixSink


def written(*writes: tuple[str, int, bytes], end: bool = True) -> bytes:
    out: list[bytes] = []
    sink = PrefixSink(out.append)
    for step, stream, data in writes:
        sink.write(step, stream, data)
    if end:
        sink.close()
    return b"".join(out)


def test_every_line_carries_its_step() -> None:
    assert written(("a", 1, b"1\n2\n\n"), ("b", 2, b"3\n")) == b"a | 1\na | 2\na | \nb | 3\n"


def test_a_last_line_without_an_end_is_given_one() -> None:
    assert written(("a", 1, b"one\ntwo")) == b"a | one\na | two\n"


def test_lines_that_come_in_pieces_stay_whole() -> None:
    assert written(("a", 1, b"on"), ("b", 1, b"x\n"), ("a", 1, b"e\n")) == b"b | x\na | one\n"


def test_stdout_and_stderr_of_a_step_do_not_mix_within_a_line() -> None:
    assert written(("a", 1, b"out"), ("a", 2, b"err\n"), ("a", 1, b"put\n")) == b"a | err\na | output\n"


def test_the_end_of_a_step_gives_out_its_rest() -> None:
    out: list[bytes] = []
    sink = PrefixSink(out.append)
    sink.write("a", 1, b"rest")
    sink.write("b", 1, b"other")
    sink.end("a")
    assert out == [b"a | rest\n"]


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    assert written(("a", 1, b"\xff\x00\r\x1b[2J\n")) == b"a | \xff\x00\r\x1b[2J\n"


def test_a_line_of_ten_megabytes_is_one_line() -> None:
    line = b"x" * (10 << 20)
    chunks = [("a", 1, line[n : n + 65536]) for n in range(0, len(line), 65536)]
    assert written(*chunks) == b"a | " + line + b"\n"


@given(st.lists(st.binary(max_size=12)))
def test_no_byte_is_lost_however_the_stream_is_cut(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    out = written(*(("a", 1, piece) for piece in pieces))
    expected = whole if whole.endswith(b"\n") or not whole else whole + b"\n"
    assert b"".join(line[4:] + b"\n" for line in out.split(b"\n")[:-1]) == expected


def test_forty_steps_that_talk_at_once_keep_their_lines_whole() -> None:
    out: list[bytes] = []
    sink = PrefixSink(out.append)

    def talk(step: str) -> None:
        for n in range(200):
            for piece in (f"{step} ", f"line {n}", "\n"):
                sink.write(step, 1, piece.encode())

    threads = [threading.Thread(target=talk, args=(f"s{n}",)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = b"".join(out).decode().splitlines()
    for n in range(40):
        assert [line for line in lines if line.startswith(f"s{n} |")] == [f"s{n} | s{n} line {i}" for i in range(200)]
