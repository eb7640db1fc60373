"""Decides what happens next in a run: an event goes in, commands come out.

Knows ids, edges and statuses only. Must not know Docker, time, threads, exit codes or what a step does.

    state, commands = start([("build", ()), ("test", ("build",))])
    state, commands = step(state, StepEnded("build", Outcome.SUCCEEDED))
    assert commands == [StartStep("test")]

A state is used up by `step`: go on with the one that is returned. (It is changed in place, because a run of ten
thousand steps would otherwise copy ten thousand entries ten thousand times.)

The rules:
* A step starts the moment the last of its own needs is done. Counting down and looking at the count are one act, so
  that two needs that end together start their step once.
* The first failure, or a request to cancel, is final: nothing starts after it, what runs is asked to stop, what never
  started is skipped. The first cause decides how the run ends.
* FinishRun comes exactly once, when nothing is running any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field
from enum import Enum
from typing import NamedTuple

from taskengine.lightclass import dataclass
from taskengine.runs.model import RunStatus, StepStatus


class Outcome(Enum):
    """How a step that was told to start has ended, as far as the order of steps is concerned."""

    SUCCEEDED = "succeeded"  # also when it failed and its errors are ignored
    FAILED = "failed"
    CANCELED = "canceled"  # stopped because the run was stopping
    NOT_STARTED = "not started"  # told to stop before its first attempt


class StepEnded(NamedTuple):
    id: str
    outcome: Outcome


class CancelRequested(NamedTuple):
    """Somebody or a time limit wants the run to end as `status`."""

    status: RunStatus = RunStatus.CANCELED


class StartStep(NamedTuple):
    id: str


class CancelStep(NamedTuple):
    id: str


class SkipStep(NamedTuple):
    """This step will never start. `cause` is the failed step, None when the run was canceled."""

    id: str
    cause: str | None


class FinishRun(NamedTuple):
    status: RunStatus


Event = StepEnded | CancelRequested
Command = StartStep | CancelStep | SkipStep | FinishRun

_STATUS = {
    Outcome.SUCCEEDED: StepStatus.SUCCEEDED,
    Outcome.FAILED: StepStatus.FAILED,
    Outcome.CANCELED: StepStatus.CANCELED,
    Outcome.NOT_STARTED: StepStatus.SKIPPED,
}


@dataclass(slots=True)
class State:
    """Where a run stands. Read it; only `start` and `step` write it."""

    statuses: dict[str, StepStatus]
    waiting_for: dict[str, int]
    dependents: dict[str, list[str]]
    running: dict[str, None] = field(default_factory=dict)  # a set that remembers the order
    stopping: RunStatus | None = None
    failed_step: str | None = None
    finished: bool = False


def start(shape: Iterable[tuple[str, Sequence[str]]]) -> tuple[State, list[Command]]:
    """The first state of a run of these steps (id and needs, every need above its step), and what starts at once.

    Raises ValueError for an id that is there twice and for a need that is not above its step.
    """
    state = State(statuses={}, waiting_for={}, dependents={})
    for step_id, needs in shape:
        if step_id in state.statuses:
            raise ValueError(f"step {step_id!r} is there twice")
        for need in needs:
            if need not in state.statuses:
                raise ValueError(f"step {step_id!r} needs {need!r}, which is not above it")
            state.dependents[need].append(step_id)
        state.statuses[step_id] = StepStatus.PENDING
        state.waiting_for[step_id] = len(needs)
        state.dependents[step_id] = []
    commands: list[Command] = [_start(state, step_id) for step_id, count in state.waiting_for.items() if count == 0]
    return state, commands + _finish_if_idle(state)


def step(state: State, event: Event) -> tuple[State, list[Command]]:
    """The next state and what is to be done now. Events about steps that do not run are refused with ValueError."""
    if isinstance(event, StepEnded):
        commands = _step_ended(state, event.id, event.outcome)
    else:
        commands = _stop(state, event.status, cause=None)
    return state, commands + _finish_if_idle(state)


def _step_ended(state: State, step_id: str, outcome: Outcome) -> list[Command]:
    if step_id not in state.running:
        raise ValueError(f"step {step_id!r} ended but was not running")
    del state.running[step_id]
    state.statuses[step_id] = _STATUS[outcome]
    if outcome is Outcome.FAILED:
        if state.failed_step is None and state.stopping is None:
            state.failed_step = step_id
        return _stop(state, RunStatus.FAILED, cause=step_id)
    if outcome is not Outcome.SUCCEEDED:
        # Whoever was told to stop was told so because the run is stopping; if not, going on would lose a step.
        return _stop(state, RunStatus.CANCELED, cause=None)
    return _release(state, step_id)


def _release(state: State, step_id: str) -> list[Command]:
    """Count down for everything that waits for this step, and start what waits for nothing more."""
    commands: list[Command] = []
    for dependent in state.dependents[step_id]:
        state.waiting_for[dependent] -= 1
        if state.waiting_for[dependent] == 0 and state.stopping is None:
            commands.append(_start(state, dependent))
    return commands


def _start(state: State, step_id: str) -> StartStep:
    state.statuses[step_id] = StepStatus.RUNNING
    state.running[step_id] = None
    return StartStep(step_id)


def _stop(state: State, status: RunStatus, *, cause: str | None) -> list[Command]:
    if state.stopping is not None or state.finished:
        return []
    state.stopping = status
    commands: list[Command] = [CancelStep(step_id) for step_id in state.running]
    for step_id, current in state.statuses.items():
        if current is StepStatus.PENDING:
            state.statuses[step_id] = StepStatus.SKIPPED
            commands.append(SkipStep(step_id, cause))
    return commands


def _finish_if_idle(state: State) -> list[Command]:
    if state.running or state.finished:
        return []
    state.finished = True
    return [FinishRun(state.stopping or RunStatus.SUCCEEDED)]
