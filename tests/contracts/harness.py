"""What the suite for runners asks of each runner it is held against: how to make one, and how to write its steps.

To hold a further runner against the suite, write a harness and add it to `HARNESSES` in conftest.py.
"""

from __future__ import annotations

from typing import Protocol

from runners.noop import NoopRunner, Script
from taskengine.plan.model import CmdLine, Plan, PlannedStep, StepType
from taskengine.runner import Runner


class Harness(Protocol):
    """Steps are made first, then the plan out of them, then the runner for that plan."""

    def step(
        self,
        step_id: str,
        *,
        exits: tuple[int, ...] = (0,),
        stdout: bytes = b"",
        stderr: bytes = b"",
        seconds: float = 0,
    ) -> PlannedStep:
        """A step whose successive attempts print, take their time and exit like this."""
        ...

    def plan(self, *steps: PlannedStep) -> Plan: ...

    def runner(self) -> Runner:
        """A fresh runner for the plan that was made last."""
        ...

    def leftovers(self) -> list[str]:
        """Names of what the runner made and has not removed."""
        ...

    def close(self) -> None: ...


class NoopHarness:
    """The shipped stand-in."""

    def __init__(self) -> None:
        self._scripts: dict[str, Script] = {}
        self._runners: list[NoopRunner] = []

    def step(
        self,
        step_id: str,
        *,
        exits: tuple[int, ...] = (0,),
        stdout: bytes = b"",
        stderr: bytes = b"",
        seconds: float = 0,
    ) -> PlannedStep:
        self._scripts[step_id] = Script(exits=exits, stdout=stdout, stderr=stderr, seconds=seconds)
        return PlannedStep(id=step_id, type=StepType.CMD, index=0, text="x", cmd=CmdLine(image="x"))

    def plan(self, *steps: PlannedStep) -> Plan:
        return Plan(version="v1.1.0", steps=steps)

    def runner(self) -> NoopRunner:
        runner = NoopRunner(self._scripts)
        self._runners.append(runner)
        return runner

    def leftovers(self) -> list[str]:
        return [] if all(runner.cleanups for runner in self._runners) else ["a runner that was not cleaned up"]

    def close(self) -> None:
        """Nothing to let go of."""
