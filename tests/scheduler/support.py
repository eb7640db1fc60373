"""Small words for scheduler tests: a step, a plan, one execution with everything it said."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from runners.noop import NoopRunner, Script
from taskengine.ambient import Ambient
from taskengine.plan.model import Plan, PlannedStep, StepType
from taskengine.runner import Cancel, Runner
from taskengine.runs.event import Event
from taskengine.runs.model import RunRecord, StepRecord
from taskengine.scheduler.loop import execute


def a_step(step_id: str, *needs: str, **properties: Any) -> PlannedStep:
    return PlannedStep(id=step_id, type=StepType.CMD, index=0, needs=needs, **properties)


def a_plan(*steps: PlannedStep) -> Plan:
    return Plan(version="v1.1.0", steps=steps)


@dataclass
class Kept:
    """A log sink that keeps everything, per step and in order."""

    pieces: list[tuple[str, int, bytes]] = field(default_factory=list)

    def write(self, step: str, stream: int, data: bytes) -> None:
        self.pieces.append((step, stream, data))

    def of(self, step: str) -> bytes:
        return b"".join(data for name, _, data in self.pieces if name == step)


@dataclass
class Ran:
    """What an execution left behind."""

    record: RunRecord
    events: list[Event]
    log: Kept
    runner: Any

    def step(self, step_id: str) -> StepRecord:
        return next(step for step in self.record.steps if step.id == step_id)

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


def run(
    *steps: PlannedStep,
    behaviour: dict[str, Script] | None = None,
    runner: Runner | None = None,
    cancel: Cancel | None = None,
    **options: Any,
) -> Ran:
    """Execute the steps, with the no-op runner unless another is given; fails when a thread is left."""
    before = threading.active_count()
    events: list[Event] = []
    log = Kept()
    runner = runner or NoopRunner(behaviour)
    listener = options.pop("listener", events.append)
    record = execute(
        a_plan(*steps),
        runner,
        run_id="r1",
        listener=listener,
        log=options.pop("log", log),
        cancel=cancel or Cancel(),
        ambient=options.pop("ambient", Ambient.system()),
        **options,
    )
    assert threading.active_count() <= before
    return Ran(record, events, log, runner)
