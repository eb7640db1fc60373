"""Who joins which sandbox, and who does not."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest

from runners.docker.lanes import Lane
from runners.docker.sandboxes import Sandboxes


class Starter:
    """Starts sandboxes when the test says so."""

    def __init__(self, *, open_gate: bool = True) -> None:
        self.gate = threading.Event()
        self.names: dict[int, list[str]] = {}
        if open_gate:
            self.gate.set()

    def __call__(self, lane: int, network: str, names: Iterable[str]) -> str:
        assert self.gate.wait(10)
        self.names[lane] = list(names)
        return f"sandbox-{lane}"


def lane(number: int, *steps: str, at_once: bool) -> Lane:
    return Lane(id=number, network="n", steps=steps, at_once=at_once)


def test_all_steps_of_a_chain_join_its_sandbox() -> None:
    start = Starter()
    sandboxes = Sandboxes(start)
    sandboxes.warm([lane(0, "a", "b", "c", at_once=True)])
    assert [sandboxes.join(s) for s in "abc"] == ["sandbox-0"] * 3
    assert start.names == {0: ["a", "b", "c"]}
    sandboxes.close()


def test_a_lone_step_that_starts_at_once_gets_no_sandbox() -> None:
    start = Starter()
    sandboxes = Sandboxes(start)
    sandboxes.warm([lane(0, "a", at_once=True)])
    assert sandboxes.join("a") is None
    sandboxes.close()
    assert start.names == {}


def test_further_chains_that_start_at_once_do_not_wait_for_theirs() -> None:
    start = Starter()
    sandboxes = Sandboxes(start)
    sandboxes.warm([lane(0, "a", "b", at_once=True), lane(1, "x", "y", at_once=True)])
    assert sandboxes.join("x") is None
    sandboxes.join("a")
    sandboxes.close()


def test_a_step_that_went_its_own_way_is_not_named_by_the_sandbox() -> None:
    start = Starter(open_gate=False)
    sandboxes = Sandboxes(start)
    sandboxes.warm([lane(0, "a", "b", at_once=True), lane(1, "x", "y", at_once=False)])
    assert sandboxes.join("x") is None
    start.gate.set()
    assert sandboxes.join("a") == "sandbox-0"
    sandboxes._pool.close()
    assert start.names[1] == ["y"]
    assert sandboxes.join("y") == "sandbox-1"


def test_a_sandbox_that_cannot_be_started_is_done_without() -> None:
    def fail(*_: object) -> str:
        raise OSError("no")

    sandboxes = Sandboxes(fail)
    sandboxes.warm([lane(0, "a", "b", at_once=True)])
    assert [sandboxes.join(s) for s in "ab"] == [None, None]
    sandboxes.close()


@pytest.mark.parametrize("step", ["unknown"])
def test_a_step_of_no_lane_has_a_namespace_of_its_own(step: str) -> None:
    sandboxes = Sandboxes(Starter())
    assert sandboxes.join(step) is None
    sandboxes.close()
