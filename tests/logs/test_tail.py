"""The last lines of a step, for the summary of its failure."""

from __future__ import annotations

from taskengine.logs.tail import Tail


def last(*writes: bytes, lines: int = 3, limit: int = 100) -> tuple[str, ...]:
    tail = Tail(lines=lines, limit=limit)
    for data in writes:
        tail.write("a", 1, data)
    return tail.lines("a")


def test_only_the_last_lines_are_kept() -> None:
    assert last(b"1\n2\n3\n4\n5\n") == ("3", "4", "5")


def test_lines_may_come_in_pieces_and_the_last_without_its_end() -> None:
    assert last(b"on", b"e\ntw", b"o") == ("one", "two")


def test_a_step_that_said_nothing_has_no_last_lines() -> None:
    assert last() == last(b"\n", b"  \n") == ()


def test_bytes_are_bounded_however_they_come() -> None:
    assert last(b"x" * 1000) == ("x" * 100,)
    assert last(*[b"y"] * 1000) == ("y" * 100,)


def test_of_a_progress_bar_the_last_state_is_kept() -> None:
    assert last(b"10%\r50%\r100%\ndone\r\n") == ("100%", "done")


def test_stderr_after_half_a_line_of_stdout_begins_a_line() -> None:
    tail = Tail()
    tail.write("a", 1, b"working")
    tail.write("a", 2, b"failed\n")
    assert tail.lines("a") == ("working", "failed")


def test_bytes_that_are_no_text_are_shown_as_replacement() -> None:
    assert last(b"\xff\n") == ("\ufffd",)


def test_a_forgotten_step_costs_nothing() -> None:
    tail = Tail()
    tail.write("a", 1, b"x")
    tail.forget("a")
    assert tail.lines("a") == ()
