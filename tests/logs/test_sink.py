"""The chain that output goes through."""

from __future__ import annotations

from taskengine.logs.mask import Mask
from taskengine.logs.sink import MaskingSink, NullSink, TeeSink


class Kept:
    def __init__(self) -> None:
        self.said: list[tuple[str, int, bytes]] = []

    def write(self, step: str, stream: int, data: bytes) -> None:
        self.said.append((step, stream, data))

    def end(self, step: str) -> None:
        self.said.append((step, 0, b"end"))


def test_stdout_and_stderr_of_each_step_are_masked_as_streams_of_their_own() -> None:
    kept = Kept()
    sink = MaskingSink(kept, Mask(["hunter2-hunter2"]))
    sink.write("a", 1, b"hunter2-")
    sink.write("a", 2, b"hello\n")
    sink.write("b", 1, b"hunter2\n")
    sink.write("a", 1, b"hunter2\n")
    assert kept.said == [("a", 2, b"hello\n"), ("b", 1, b"hunter2\n"), ("a", 1, b"***\n")]


def test_what_a_mask_holds_back_comes_at_the_steps_end_and_before_it_is_told() -> None:
    kept = Kept()
    sink = MaskingSink(kept, Mask(["hunter2-hunter2"]))
    sink.write("a", 1, b"hunter2-")
    sink.end("a")
    assert kept.said == [("a", 1, b"hunter2-"), ("a", 0, b"end")]


def test_a_tee_hands_on_to_all_and_tells_those_who_want_to_know() -> None:
    kept = Kept()
    sink = TeeSink(NullSink(), kept)
    sink.write("a", 1, b"x")
    sink.end("a")
    assert kept.said == [("a", 1, b"x"), ("a", 0, b"end")]
