"""Decides how often one step is tried: start delay, retries, repetitions, and what its end means.

Pure: an attempt's result goes in, the next move comes out. Must not know time, threads or runners; waiting, time
limits and cancellation are the loop's.

As ACR Tasks counts: `retries: 2` is at most three attempts; `repeat: 2` is three repetitions, each with retries of
its own, all of them run even after a failed one, and one failed repetition fails the step.
"""

from __future__ import annotations

from typing import NamedTuple

from taskengine.plan.model import PlannedStep
from taskengine.runs.model import Reason, StepResult

#: What trying again cannot mend: the step was stopped, or what it asks for makes no sense.
_FINAL_REASONS = frozenset({Reason.CANCELED, Reason.TIMEOUT, Reason.INVALID})


class Try(NamedTuple):
    """Wait `delay` seconds, then make attempt `number`. `retries` is true when this follows a failed attempt."""

    number: int
    delay: float
    retries: bool


class Done(NamedTuple):
    """The step is over. `result` is what is reported: the first failed repetition's last attempt, or the last one."""

    result: StepResult


class Progress(NamedTuple):
    """Where a step stands: attempts so far, retries and repetitions left, and the failure that will be reported."""

    attempts: int
    retries_left: int
    repeats_left: int
    failure: StepResult | None


def begin(step: PlannedStep) -> tuple[Progress, Try]:
    """The first move."""
    return Progress(1, step.retries, step.repeat, None), Try(1, step.start_delay, retries=False)


def after(step: PlannedStep, progress: Progress, result: StepResult, *, matched: bool) -> tuple[Progress, Try | Done]:
    """The move after an attempt. `matched` says whether its output held one of the step's `retryOnErrors`."""
    number = progress.attempts + 1
    if not result.ok and result.reason in _FINAL_REASONS:
        return progress, Done(result)
    if not result.ok and progress.retries_left > 0 and (matched or not step.retry_on_errors):
        return progress._replace(attempts=number, retries_left=progress.retries_left - 1), Try(
            number, step.retry_delay, retries=True
        )
    failure = progress.failure if progress.failure is not None or result.ok else result
    if progress.repeats_left > 0:
        return Progress(number, step.retries, progress.repeats_left - 1, failure), Try(number, 0, retries=False)
    return progress, Done(failure or result)
