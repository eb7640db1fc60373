"""What every runner promises: the contract in taskengine/runner.py, as tests."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from taskengine.errors import TaskEngineError
from taskengine.plan.model import PlannedStep
from taskengine.runner import Attempt, Cancel, Runner
from taskengine.runs.event import Event
from taskengine.runs.model import Reason, StepResult
from tests.contracts.harness import Harness


@dataclass
class Desk:
    """Plays the scheduler's part for one attempt."""

    cancel: Cancel = field(default_factory=Cancel)
    wrote: threading.Event = field(default_factory=threading.Event)
    streams: dict[int, bytes] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def write(self, step: str, stream: int, data: bytes) -> None:
        self.streams[stream] = self.streams.get(stream, b"") + data
        self.wrote.set()

    def attempt(self, number: int = 1) -> Attempt:
        return Attempt(number=number, cancel=self.cancel, log=self, emit=self.events.append)


def prepared(harness: Harness, *steps: PlannedStep) -> Runner:
    plan = harness.plan(*steps)
    runner = harness.runner()
    runner.prepare(plan)
    return runner


def one(harness: Harness, step: PlannedStep, desk: Desk) -> StepResult:
    """Prepare, one attempt, clean up."""
    runner = prepared(harness, step)
    try:
        return runner.run_step(step, desk.attempt())
    finally:
        runner.cleanup()


def test_a_step_that_exits_with_zero_succeeds(harness: Harness) -> None:
    result = one(harness, harness.step("a"), Desk())
    assert (result.ok, result.exit_code) == (True, 0)


def test_a_step_that_fails_is_a_result_with_its_exit_code(harness: Harness) -> None:
    result = one(harness, harness.step("a", exits=(7,)), Desk())
    assert (result.ok, result.exit_code, result.reason) == (False, 7, Reason.EXIT_CODE)
    assert result.message


def test_output_arrives_byte_for_byte_before_the_step_returns(harness: Harness) -> None:
    desk = Desk()
    one(harness, harness.step("a", stdout=b"first\nlast", stderr=b"\xff\x00\n"), desk)
    assert desk.streams == {1: b"first\nlast", 2: b"\xff\x00\n"}


def test_a_further_attempt_is_a_run_of_its_own(harness: Harness) -> None:
    step = harness.step("a", exits=(3, 0), stdout=b"x")
    runner = prepared(harness, step)
    desk = Desk()
    try:
        assert runner.run_step(step, desk.attempt(1)).exit_code == 3
        assert runner.run_step(step, desk.attempt(2)).ok
    finally:
        runner.cleanup()
    assert desk.streams == {1: b"xx"}


def test_a_cancel_stops_a_running_step(harness: Harness) -> None:
    step, desk = harness.step("a", stdout=b"started\n", seconds=300), Desk()
    runner = prepared(harness, step)
    with ThreadPoolExecutor(1) as pool:
        try:
            running = pool.submit(runner.run_step, step, desk.attempt())
            assert desk.wrote.wait(60)
            desk.cancel.set("timeout")
            result = running.result(timeout=30)
        finally:
            desk.cancel.set()
    runner.cleanup()
    assert (result.ok, result.reason) == (False, Reason.CANCELED)


def test_a_cancel_that_came_before_the_step_stops_it_too(harness: Harness) -> None:
    step, desk = harness.step("a", seconds=300), Desk()
    desk.cancel.set()
    assert one(harness, step, desk).reason is Reason.CANCELED


def test_steps_run_at_the_same_time(harness: Harness) -> None:
    steps = [harness.step(f"s{i}", stdout=b"here\n", seconds=300) for i in range(4)]
    desks = [Desk() for _ in steps]
    runner = prepared(harness, *steps)
    with ThreadPoolExecutor(len(steps)) as pool:
        try:
            runs = [pool.submit(runner.run_step, step, desk.attempt()) for step, desk in zip(steps, desks, strict=True)]
            assert all(desk.wrote.wait(60) for desk in desks)
        finally:
            for desk in desks:
                desk.cancel.set()
        assert {run.result(timeout=30).reason for run in runs} == {Reason.CANCELED}
    runner.cleanup()


def test_nothing_is_left_after_the_clean_up(harness: Harness) -> None:
    one(harness, harness.step("a", exits=(1,)), Desk())
    assert harness.leftovers() == []


def test_cleaning_up_twice_is_harmless(harness: Harness) -> None:
    runner = prepared(harness, harness.step("a"))
    runner.cleanup()
    runner.cleanup()
    assert harness.leftovers() == []


def test_cleaning_up_without_a_preparation_is_harmless(harness: Harness) -> None:
    harness.plan(harness.step("a"))
    harness.runner().cleanup()


def test_a_step_before_the_preparation_is_refused(harness: Harness) -> None:
    step = harness.step("a")
    harness.plan(step)
    runner = harness.runner()
    with pytest.raises(TaskEngineError):
        runner.run_step(step, Desk().attempt())
    runner.cleanup()


def test_no_thread_is_left_after_the_clean_up(harness: Harness) -> None:
    before = set(threading.enumerate())
    one(harness, harness.step("a", stdout=b"x"), Desk())
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()
