"""A runner that runs nothing: it plays a script per step, obeys the runner contract and complains when it is broken.

For trying out plans (`examples`), for the scheduler's own speed and for tests. Must not know the scheduler.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from taskengine.errors import RunnerError
from taskengine.lightclass import dataclass
from taskengine.plan.model import Plan, PlannedStep
from taskengine.runner import Attempt
from taskengine.runs.model import ImageResult, Reason, StepResult

_OK = StepResult(ok=True, exit_code=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """What a step does: the exit codes of its successive attempts (0 when used up), what each attempt prints and how
    many seconds it takes. `error` is raised instead, as a runner that fails would do; `images` are in the result."""

    exits: tuple[int, ...] = ()
    stdout: bytes = b""
    stderr: bytes = b""
    seconds: float = 0.0
    error: Exception | None = None
    images: tuple[ImageResult, ...] = ()


class NoopRunner:
    """Plays `behaviour`, a script by step id; a step without a script succeeds at once.

    `attempts` tells how often each step was tried, for those that were. A call out of order raises RunnerError.
    """

    def __init__(self, behaviour: Mapping[str, Script] | None = None) -> None:
        self._behaviour = dict(behaviour or {})
        self._lock = threading.Lock()
        self._plan: dict[str, PlannedStep] | None = None
        self._running: set[str] = set()
        self._cleaned = False
        self.attempts: dict[str, int] = {}
        self.cleanups = 0

    def prepare(self, plan: Plan) -> None:
        with self._lock:
            if self._plan is not None:
                raise _broken("prepare was called twice")
            if self._cleaned:
                raise _broken("prepare was called after cleanup")
            self._plan = {step.id: step for step in plan.steps}

    def run_step(self, step: PlannedStep, attempt: Attempt) -> StepResult:
        self._enter(step, attempt)
        try:
            script = self._behaviour.get(step.id)
            return _OK if script is None else _play(script, step.id, attempt)
        finally:
            with self._lock:
                self._running.discard(step.id)

    def cleanup(self) -> None:
        with self._lock:
            self._cleaned = True
            self.cleanups += 1

    def _enter(self, step: PlannedStep, attempt: Attempt) -> None:
        with self._lock:
            if self._plan is None:
                raise _broken("run_step was called before prepare")
            if self._cleaned:
                raise _broken("run_step was called after cleanup")
            if self._plan.get(step.id) is not step:
                raise _broken(f"step {step.id!r} is not in the plan that was prepared")
            if step.id in self._running:
                raise _broken(f"step {step.id!r} was started while it was running")
            made = self.attempts.get(step.id, 0)
            if attempt.number != made + 1 and not attempt.adopt:
                raise _broken(f"step {step.id!r}: attempt {attempt.number} came after attempt {made}")
            self.attempts[step.id] = attempt.number
            self._running.add(step.id)


def _play(script: Script, step_id: str, attempt: Attempt) -> StepResult:
    if script.stdout:
        attempt.log.write(step_id, 1, script.stdout)
    if script.stderr:
        attempt.log.write(step_id, 2, script.stderr)
    stopped = attempt.cancel.wait(script.seconds) if script.seconds > 0 else attempt.cancel.is_set
    if stopped:
        return StepResult(ok=False, reason=Reason.CANCELED, message="stopped")
    if script.error is not None:
        raise script.error
    code = script.exits[attempt.number - 1] if attempt.number <= len(script.exits) else 0
    if code:
        return StepResult(ok=False, exit_code=code, reason=Reason.EXIT_CODE, message=f"exit code {code}")
    return StepResult(ok=True, exit_code=0, images=script.images)


def _broken(what: str) -> RunnerError:
    return RunnerError(f"the runner contract was broken: {what}")
