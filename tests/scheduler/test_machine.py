"""The order of steps, decided without doing anything."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskengine.runs.model import RunStatus, StepStatus
from taskengine.scheduler.machine import (
    CancelRequested,
    CancelStep,
    Command,
    FinishRun,
    Outcome,
    SkipStep,
    StartStep,
    State,
    StepEnded,
    start,
    step,
)

OK, FAILED, CANCELED, NOT_STARTED = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELED, Outcome.NOT_STARTED
Shape = list[tuple[str, tuple[str, ...]]]

DIAMOND: Shape = [("a", ()), ("b", ("a",)), ("c", ("a",)), ("d", ("b", "c"))]


def after(shape: Shape, *events: StepEnded | CancelRequested) -> tuple[State, list[Command]]:
    state, commands = start(shape)
    for event in events:
        state, commands = step(state, event)
    return state, commands


def test_steps_without_needs_start_at_once_in_the_order_of_the_file() -> None:
    assert start([("a", ()), ("b", ()), ("c", ("a",))])[1] == [StartStep("a"), StartStep("b")]


def test_a_plan_without_steps_succeeds_at_once() -> None:
    assert start([])[1] == [FinishRun(RunStatus.SUCCEEDED)]


def test_a_step_starts_when_its_own_needs_are_done_and_not_a_whole_level() -> None:
    shape: Shape = [("slow", ()), ("quick", ()), ("next", ("quick",))]
    assert after(shape, StepEnded("quick", OK))[1] == [StartStep("next")]


@pytest.mark.parametrize("order", [("b", "c"), ("c", "b")])
def test_a_join_starts_once_with_the_last_of_its_needs(order: tuple[str, str]) -> None:
    first, last = order
    _, commands = after(DIAMOND, StepEnded("a", OK), StepEnded(first, OK))
    assert commands == []
    _, commands = after(DIAMOND, StepEnded("a", OK), StepEnded(first, OK), StepEnded(last, OK))
    assert commands == [StartStep("d")]


def test_a_run_succeeds_when_all_steps_have() -> None:
    events = [StepEnded(step_id, OK) for step_id in "abcd"]
    assert after(DIAMOND, *events)[1] == [FinishRun(RunStatus.SUCCEEDED)]


def test_a_failed_step_stops_what_runs_and_skips_what_waits() -> None:
    _, commands = after(DIAMOND, StepEnded("a", OK), StepEnded("b", FAILED))
    assert commands == [CancelStep("c"), SkipStep("d", "b")]


def test_a_failed_run_ends_when_the_stopped_steps_have_ended() -> None:
    state, commands = after(DIAMOND, StepEnded("a", OK), StepEnded("b", FAILED), StepEnded("c", CANCELED))
    assert commands == [FinishRun(RunStatus.FAILED)]
    assert state.failed_step == "b"
    assert list(state.statuses.values()) == [
        StepStatus.SUCCEEDED,
        StepStatus.FAILED,
        StepStatus.CANCELED,
        StepStatus.SKIPPED,
    ]


def test_nothing_starts_after_a_failure_even_when_a_running_step_still_succeeds() -> None:
    shape: Shape = [("bad", ()), ("good", ()), ("next", ("good",))]
    assert after(shape, StepEnded("bad", FAILED), StepEnded("good", OK))[1] == [FinishRun(RunStatus.FAILED)]


def test_the_first_of_two_failures_is_the_one_that_is_named() -> None:
    state, _ = after([("a", ()), ("b", ())], StepEnded("b", FAILED), StepEnded("a", FAILED))
    assert state.failed_step == "b"


def test_a_cancel_stops_all_and_ends_the_run_as_canceled() -> None:
    _, commands = after([("a", ()), ("b", ("a",))], CancelRequested())
    assert commands == [CancelStep("a"), SkipStep("b", None)]
    _, commands = after([("a", ()), ("b", ("a",))], CancelRequested(), StepEnded("a", CANCELED))
    assert commands == [FinishRun(RunStatus.CANCELED)]


def test_a_time_limit_ends_the_run_as_timeout() -> None:
    _, commands = after([("a", ())], CancelRequested(RunStatus.TIMEOUT), StepEnded("a", CANCELED))
    assert commands == [FinishRun(RunStatus.TIMEOUT)]


def test_the_first_cause_decides_how_the_run_ends() -> None:
    shape: Shape = [("a", ()), ("b", ())]
    _, commands = after(shape, StepEnded("a", FAILED), CancelRequested(), StepEnded("b", CANCELED))
    assert commands == [FinishRun(RunStatus.FAILED)]
    _, commands = after(shape, CancelRequested(), StepEnded("a", FAILED), StepEnded("b", CANCELED))
    assert commands == [FinishRun(RunStatus.CANCELED)]


def test_a_cancel_after_the_end_changes_nothing() -> None:
    assert after([("a", ())], StepEnded("a", OK), CancelRequested())[1] == []


def test_a_step_stopped_before_its_first_attempt_is_skipped() -> None:
    state, _ = after([("a", ())], CancelRequested(), StepEnded("a", NOT_STARTED))
    assert state.statuses["a"] is StepStatus.SKIPPED


@pytest.mark.parametrize("shape", [[("a", ("b",)), ("b", ())], [("a", ()), ("a", ())], [("a", ("a",))]])
def test_a_shape_that_is_no_plan_is_refused(shape: Shape) -> None:
    with pytest.raises(ValueError, match="step 'a'"):
        start(shape)


def test_an_end_of_a_step_that_does_not_run_is_refused() -> None:
    with pytest.raises(ValueError, match="was not running"):
        after([("a", ())], StepEnded("a", OK), StepEnded("a", OK))


def any_shape(rng: Random) -> Shape:
    return [
        (f"s{i}", tuple(f"s{j}" for j in sorted(rng.sample(range(i), min(i, rng.randint(0, 4))))))
        for i in range(rng.randint(0, 14))
    ]


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_any_history_starts_each_step_at_most_once_after_its_needs_and_ends_in_final_states(seed: int) -> None:
    rng = Random(seed)
    shape = any_shape(rng)
    needs = dict(shape)
    state, commands = start(shape)
    started: set[str] = set()
    succeeded: set[str] = set()
    stopping = False
    finishes: list[FinishRun] = []
    while True:
        for command in commands:
            if isinstance(command, StartStep):
                assert command.id not in started
                assert not stopping
                assert set(needs[command.id]) <= succeeded
                started.add(command.id)
            elif isinstance(command, FinishRun):
                finishes.append(command)
        if not state.running:
            break
        event: StepEnded | CancelRequested
        if rng.random() < 0.06:
            event, stopping = CancelRequested(), True
        else:
            ended = rng.choice(sorted(state.running))
            choices = [OK, OK, OK, OK, OK, FAILED] + ([CANCELED, NOT_STARTED] if stopping else [])
            event = StepEnded(ended, rng.choice(choices))
            stopping = stopping or event.outcome is FAILED
            if event.outcome is OK:
                succeeded.add(ended)
        state, commands = step(state, event)
    assert len(finishes) == 1
    final = {StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.CANCELED, StepStatus.SKIPPED}
    assert set(state.statuses.values()) <= final
    assert stopping or started == set(needs)
