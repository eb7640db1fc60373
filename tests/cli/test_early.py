"""Preparing ahead of time changes when things are made, and nothing else."""

from __future__ import annotations

import signal
import threading

import pytest

from taskengine.cli.early import EarlyRunner
from taskengine.errors import RunnerError, Unreachable
from taskengine.plan.model import Plan, PlannedStep
from taskengine.runner import Attempt
from taskengine.runs.model import StepResult

PLAN = Plan(version="v1.1.0")


class Recording:
    def __init__(self, failure: Exception | None = None) -> None:
        self.calls: list[str] = []
        self.may_prepare = threading.Event()
        self._failure = failure

    def prepare(self, plan: Plan) -> None:
        assert plan is PLAN
        self.may_prepare.wait(30)
        self.calls.append("prepared")
        if self._failure is not None:
            raise self._failure

    def run_step(self, step: PlannedStep, attempt: Attempt) -> StepResult:
        raise NotImplementedError

    def cleanup(self) -> None:
        self.calls.append("cleaned")

    def kill(self) -> None:
        self.calls.append("killed")


def test_the_preparation_begins_at_once_and_prepare_waits_for_it() -> None:
    runner = Recording()
    with EarlyRunner(runner, PLAN) as early:
        runner.may_prepare.set()
        early.prepare(PLAN)
        assert runner.calls == ["prepared"]
        early.cleanup()
    assert runner.calls == ["prepared", "cleaned"]


def test_what_failed_early_is_told_when_the_run_is_prepared() -> None:
    runner = Recording(Unreachable("no engine"))
    runner.may_prepare.set()
    with EarlyRunner(runner, PLAN) as early, pytest.raises(Unreachable, match="no engine"):
        early.prepare(PLAN)
    assert runner.calls == ["prepared", "cleaned"]


def test_what_was_made_is_removed_when_nobody_comes_to_run_it() -> None:
    runner = Recording()

    def fail_meanwhile() -> None:
        with EarlyRunner(runner, PLAN):
            runner.may_prepare.set()
            raise RunnerError("the view broke")

    with pytest.raises(RunnerError, match="the view broke"):
        fail_meanwhile()
    assert runner.calls == ["prepared", "cleaned"]  # in this order: what is still being made would stay


def test_a_kill_does_not_wait_for_the_preparation() -> None:
    runner = Recording()
    with EarlyRunner(runner, PLAN) as early:
        early.kill()
        assert runner.calls == ["killed"]
        runner.may_prepare.set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_comes_early_ends_by_way_of_the_clean_up(number: signal.Signals) -> None:
    runner = Recording()
    runner.may_prepare.set()
    before = signal.getsignal(number)

    def be_told_to_end() -> None:
        with EarlyRunner(runner, PLAN) as early:
            early.prepare(PLAN)
            signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt):
        be_told_to_end()
    assert runner.calls == ["prepared", "cleaned"]
    assert signal.getsignal(number) is before
