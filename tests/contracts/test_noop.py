"""The stand-in complains when the contract's order of calls is broken: that is what it is for."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from runners.noop import NoopRunner, Script
from taskengine.errors import RunnerError
from taskengine.logs.sink import NullSink
from taskengine.plan.model import Plan, PlannedStep, StepType
from taskengine.runner import Attempt, Cancel

STEP = PlannedStep(id="a", type=StepType.CMD, index=0)
PLAN = Plan(version="v1.1.0", steps=(STEP,))


def attempt(number: int = 1, cancel: Cancel | None = None) -> Attempt:
    return Attempt(number=number, cancel=cancel or Cancel(), log=NullSink(), emit=lambda _: None)


def prepared(script: Script | None = None) -> NoopRunner:
    runner = NoopRunner({} if script is None else {"a": script})
    runner.prepare(PLAN)
    return runner


def test_a_second_preparation_is_refused() -> None:
    with pytest.raises(RunnerError, match="twice"):
        prepared().prepare(PLAN)


def test_a_step_after_the_clean_up_is_refused() -> None:
    runner = prepared()
    runner.cleanup()
    with pytest.raises(RunnerError, match="after cleanup"):
        runner.run_step(STEP, attempt())


def test_a_step_of_another_plan_is_refused() -> None:
    with pytest.raises(RunnerError, match="not in the plan"):
        prepared().run_step(replace(STEP), attempt())


def test_an_attempt_out_of_order_is_refused() -> None:
    with pytest.raises(RunnerError, match="attempt 2 came after attempt 0"):
        prepared().run_step(STEP, attempt(2))


def test_a_step_that_already_runs_is_refused() -> None:
    cancel = Cancel()
    started = threading.Event()

    class Told:
        def write(self, step: str, stream: int, data: bytes) -> None:
            started.set()

    runner = prepared(Script(stdout=b"x", seconds=60))
    first = Attempt(number=1, cancel=cancel, log=Told(), emit=lambda _: None)
    thread = threading.Thread(target=runner.run_step, args=(STEP, first))
    thread.start()
    try:
        assert started.wait(10)
        with pytest.raises(RunnerError, match="while it was running"):
            runner.run_step(STEP, attempt(2))
    finally:
        cancel.set()
        thread.join()


def test_a_script_may_fail_as_a_runner_does() -> None:
    with pytest.raises(RunnerError, match="engine gone"):
        prepared(Script(error=RunnerError("engine gone"))).run_step(STEP, attempt())
