"""A run whose process died goes on: what was done stays done, what was under way is adopted, nothing is told twice."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runners.noop import NoopRunner, Script
from taskengine.plan.model import Plan, PlannedStep
from taskengine.runner import Attempt, Cancel
from taskengine.runs.event import Event, RunStarted, StepFinished, StepStarted
from taskengine.runs.model import RunStatus, StepResult, StepStatus
from taskengine.scheduler.resume import Resume, resume_from
from tests.scheduler.support import a_step, run

CHAIN = (a_step("a"), a_step("b", "a"), a_step("c", "b"))


class Seen(NoopRunner):
    """Notes which attempts were made, and which of them adopted."""

    def __init__(self, behaviour: dict[str, Script] | None = None) -> None:
        super().__init__(behaviour)
        self.made: list[tuple[str, int, bool]] = []

    def run_step(self, step: PlannedStep, attempt: Attempt) -> StepResult:
        self.made.append((step.id, attempt.number, attempt.adopt))
        return super().run_step(step, attempt)

    def prepare(self, plan: Plan) -> None:
        super().prepare(plan)


def until(kind: type[Event], step: str, events: list[Event]) -> list[Event]:
    """The events of a run up to and with one of them, as a process that then died had told them."""
    for index, event in enumerate(events):
        if isinstance(event, kind) and _about(event) == step:
            return events[: index + 1]
    raise AssertionError


def test_what_was_done_is_not_done_again() -> None:
    before = until(StepFinished, "a", run(*CHAIN).events)
    runner = Seen()
    ran = run(*CHAIN, runner=runner, resume=resume_from(before))
    assert [step for step, _, _ in runner.made] == ["b", "c"]
    assert ran.record.status is RunStatus.SUCCEEDED
    assert ran.step("a") == before[-1].record  # type: ignore[attr-defined]


def test_nothing_is_told_twice() -> None:
    whole = run(*CHAIN).events
    before = until(StepStarted, "b", whole)
    ran = run(*CHAIN, resume=resume_from(before))
    assert [e.kind for e in before + ran.events] == [e.kind for e in whole]


def test_a_step_that_was_under_way_is_adopted_in_the_attempt_it_was_in() -> None:
    flaky = a_step("a", retries=3, retry_delay=0)
    before = until(StepStarted, "a", run(flaky, behaviour={"a": Script(exits=(1, 1, 0))}).events)
    again = [*before, *run(flaky, behaviour={"a": Script(exits=(1, 0))}).events[2:4]]  # retrying, second start
    runner = Seen({"a": Script(exits=(1, 1, 1, 0))})
    ran = run(flaky, runner=runner, resume=resume_from(again))
    assert runner.made == [("a", 2, True), ("a", 3, False), ("a", 4, False)]
    assert ran.step("a").attempts == 4


def test_retries_that_were_used_up_stay_used_up() -> None:
    step = a_step("a", retries=1, retry_delay=0)
    whole = run(step, behaviour={"a": Script(exits=(1, 1))}).events
    second = [e for e in whole if isinstance(e, StepStarted)][1]
    runner = Seen({"a": Script(exits=(1, 1))})
    ran = run(step, runner=runner, resume=resume_from(whole[: whole.index(second) + 1]))
    assert runner.made == [("a", 2, True)]
    assert ran.record.status is RunStatus.FAILED


def test_a_repetition_that_failed_before_still_fails_the_step() -> None:
    step = a_step("a", repeat=2)
    whole = run(step, behaviour={"a": Script(exits=(7, 0, 0))}).events
    third = [e for e in whole if isinstance(e, StepStarted)][2]
    runner = Seen({"a": Script(exits=(7, 0, 0))})
    ran = run(step, runner=runner, resume=resume_from(whole[: whole.index(third) + 1]))
    assert runner.made == [("a", 3, True)]
    assert ran.record.status is RunStatus.FAILED


def test_time_that_passed_before_counts() -> None:
    slow = a_step("a", timeout=60)
    started = run(slow).events[:2]
    early = [type(e)(**{**_fields(e), "at": e.at - timedelta(seconds=120)}) for e in started]
    ran = run(slow, behaviour={"a": Script(seconds=30)}, resume=resume_from(early))
    assert ran.step("a").reason is not None
    assert "exceeded its 60 s limit" in ran.step("a").message
    assert ran.record.duration >= 120


def test_a_failure_from_before_ends_the_run_and_starts_nothing() -> None:
    steps = (a_step("a"), a_step("b"), a_step("c", "b"))
    failed = run(*steps, behaviour={"a": Script(exits=(1,))}).events
    of_a = [e for e in failed if _about(e) == "a"]
    before = [failed[0], of_a[0], StepStarted(at=of_a[0].at, step="b", attempt=1), of_a[-1]]
    runner = Seen()
    ran = run(*steps, runner=runner, resume=resume_from(before))
    assert runner.made == []
    assert (ran.record.status, ran.record.failed_step) == (RunStatus.FAILED, "a")
    assert {s.id: s.status for s in ran.record.steps} == {
        "a": StepStatus.FAILED, "b": StepStatus.CANCELED, "c": StepStatus.SKIPPED,
    }  # fmt: skip


def test_a_cancel_reaches_a_run_that_is_resumed() -> None:
    cancel = Cancel()
    cancel.set("not wanted")
    before = until(StepFinished, "a", run(*CHAIN).events)
    ran = run(*CHAIN, resume=resume_from(before), cancel=cancel)
    assert ran.record.status is RunStatus.CANCELED
    assert ran.step("a").status is StepStatus.SUCCEEDED


def test_nothing_known_is_an_ordinary_run() -> None:
    assert resume_from([]) == Resume()
    assert run(*CHAIN, resume=Resume()).kinds == run(*CHAIN).kinds


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_run_that_died_anywhere_ends_as_if_it_had_not(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    steps = []
    for n in range(count):
        needs = data.draw(st.lists(st.sampled_from([f"s{i}" for i in range(n)]), unique=True)) if n else []
        steps.append(a_step(f"s{n}", *needs, retries=data.draw(st.integers(0, 1)), retry_delay=0))
    behaviour = {f"s{n}": Script(exits=(data.draw(st.integers(0, 1)),)) for n in range(count)}
    whole = run(*steps, behaviour=behaviour)
    cut = data.draw(st.integers(0, len(whole.events) - 1))
    before = whole.events[:cut]
    ran = run(*steps, behaviour=behaviour, resume=resume_from(before))
    assert ran.record.status is whole.record.status
    told = before + ran.events
    assert sum(isinstance(e, RunStarted) for e in told) == 1
    finished = [e.record.id for e in told if isinstance(e, StepFinished)]
    assert sorted(finished) == sorted(step.id for step in steps)


def _fields(event: Event) -> dict[str, object]:
    from dataclasses import fields

    return {f.name: getattr(event, f.name) for f in fields(event)}


def _about(event: Event) -> str:
    return event.record.id if isinstance(event, StepFinished) else getattr(event, "step", "")


@pytest.mark.parametrize("kind", [StepFinished])
def test_events_may_come_from_json(kind: type[Event]) -> None:
    from taskengine.runs.decode import event_of
    from taskengine.runs.event import to_json

    before = until(kind, "a", run(*CHAIN).events)
    read = [event for event in (event_of(to_json(e)) for e in before) if event is not None]
    assert resume_from(read) == resume_from(before)
