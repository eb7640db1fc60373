"""How often a step is tried, as the conformance cases of execution.json have it."""

from __future__ import annotations

from typing import Any

import pytest

from runners.noop import Script
from taskengine.runs.event import StepRetrying, StepStarted
from taskengine.runs.model import Reason, RunStatus, StepResult, StepStatus
from taskengine.scheduler import attempts
from tests.scheduler.support import Ran, a_step, run


def tried(exits: tuple[int, ...] = (), *, stderr: bytes = b"", **properties: Any) -> Ran:
    return run(
        a_step("a", **{"retry_delay": 0, **properties}),
        a_step("b", "a"),
        behaviour={"a": Script(exits=exits, stderr=stderr)},
    )


def test_a_step_is_tried_again_until_it_succeeds() -> None:
    ran = tried((1, 1, 0), retries=3)
    assert ran.runner.attempts == {"a": 3, "b": 1}
    assert ran.record.status is RunStatus.SUCCEEDED


def test_retries_is_the_number_of_extra_attempts_and_the_last_exit_code_counts() -> None:
    ran = tried((3, 4), retries=1)
    assert ran.runner.attempts == {"a": 2}
    assert ran.step("a").exit_code == 4
    assert ran.step("b").status is StepStatus.SKIPPED


def test_repeat_is_the_number_of_extra_runs() -> None:
    assert tried(repeat=2).runner.attempts == {"a": 3, "b": 1}


def test_all_repetitions_run_after_a_failed_one_and_the_step_fails_at_the_end() -> None:
    ran = tried((0, 5, 0), repeat=2)
    assert ran.runner.attempts == {"a": 3}
    assert ran.record.status is RunStatus.FAILED
    assert ran.step("a").exit_code == 5


def test_each_repetition_has_retries_of_its_own() -> None:
    ran = tried((1, 0, 1, 0), repeat=1, retries=1)
    assert ran.runner.attempts["a"] == 4
    assert ran.record.status is RunStatus.SUCCEEDED


def test_a_repetition_that_used_up_its_retries_fails_the_step_after_the_others() -> None:
    ran = tried((1, 2, 0), repeat=1, retries=1)
    assert ran.runner.attempts == {"a": 3}
    assert ran.step("a").exit_code == 2


def test_a_step_is_tried_again_when_its_output_holds_one_of_the_texts() -> None:
    texts = ("connection reset", "timeout")
    ran = tried((1, 1, 0), retries=2, retry_on_errors=texts, stderr=b"read: connection reset by peer")
    assert ran.runner.attempts["a"] == 3


def test_a_step_is_not_tried_again_when_its_output_holds_none_of_the_texts() -> None:
    ran = tried((1, 0), retries=2, retry_on_errors=("timeout",), stderr=b"permission denied")
    assert ran.runner.attempts == {"a": 1}
    assert ran.record.status is RunStatus.FAILED


def test_a_text_is_found_across_the_border_of_two_writes() -> None:
    class Halves:
        """Writes a text in two halves, and fails."""

        tries = 0

        def prepare(self, plan: Any) -> None:
            pass

        def run_step(self, step: Any, attempt: Any) -> StepResult:
            self.tries += 1
            attempt.log.write(step.id, 2, b"connection re")
            attempt.log.write(step.id, 1, b"something else")
            attempt.log.write(step.id, 2, b"set")
            return StepResult(ok=False, exit_code=1, reason=Reason.EXIT_CODE)

        def cleanup(self) -> None:
            pass

    runner = Halves()
    run(a_step("a", retries=1, retry_delay=0, retry_on_errors=("connection reset",)), runner=runner)
    assert runner.tries == 2


def test_an_ignored_error_lets_the_flow_go_on_and_keeps_the_truth() -> None:
    ran = tried((7,), ignore_errors=True)
    step = ran.step("a")
    assert ran.runner.attempts == {"a": 1, "b": 1}
    assert ran.record.status is RunStatus.SUCCEEDED
    assert (step.status, step.error_ignored, step.exit_code) == (StepStatus.SUCCEEDED, True, 7)


def test_errors_are_ignored_after_the_retries() -> None:
    assert tried((7, 7), ignore_errors=True, retries=1).runner.attempts == {"a": 2, "b": 1}


def test_a_success_under_ignore_errors_ignored_nothing() -> None:
    assert not tried(ignore_errors=True).step("a").error_ignored


def test_exited_with_has_no_effect() -> None:
    assert tried((7,), exited_with=(7,)).record.status is RunStatus.FAILED


def test_every_attempt_is_announced_and_every_retry_says_why() -> None:
    ran = tried((1, 0), retries=1)
    said = [event for event in ran.events if isinstance(event, StepStarted | StepRetrying) and event.step == "a"]
    assert [(event.kind, event.attempt) for event in said] == [
        ("step.started", 1),
        ("step.retrying", 1),
        ("step.started", 2),
    ]
    assert said[1].message == "exit code 1"  # type: ignore[union-attr]


@pytest.mark.parametrize("reason", [Reason.CANCELED, Reason.TIMEOUT, Reason.INVALID])
def test_what_trying_again_cannot_mend_is_not_tried_again(reason: Reason) -> None:
    step = a_step("a", retries=3, repeat=3)
    progress, _ = attempts.begin(step)
    result = StepResult(ok=False, reason=reason)
    assert attempts.after(step, progress, result, matched=True)[1] == attempts.Done(result)


def test_a_delay_comes_before_the_first_attempt_and_before_each_retry() -> None:
    step = a_step("a", start_delay=7, retries=1, retry_delay=9)
    progress, first = attempts.begin(step)
    assert first == attempts.Try(1, 7, retries=False)
    failure = StepResult(ok=False, reason=Reason.EXIT_CODE, exit_code=1)
    assert attempts.after(step, progress, failure, matched=False)[1] == attempts.Try(2, 9, retries=True)
