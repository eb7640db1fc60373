"""One step's turn, in the thread it was given: waits, attempts, their output, and the record of it all.

How often to try is decided by `attempts.py`; which step comes when is not known here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from taskengine.ambient import Ambient
from taskengine.errors import TaskEngineError, Unreachable
from taskengine.lightclass import dataclass
from taskengine.logs.mask import Mask
from taskengine.logs.sink import MaskingSink, Sink
from taskengine.logs.tail import Tail
from taskengine.plan.model import PlannedStep
from taskengine.runner import Attempt, Cancel, LogSink, Runner
from taskengine.runs.event import Event, StepRetrying, StepStarted
from taskengine.runs.model import Dependency, Reason, StepRecord, StepResult, StepStatus
from taskengine.scheduler import attempts
from taskengine.scheduler.deadline import Deadline, Deadlines
from taskengine.scheduler.machine import Outcome
from taskengine.scheduler.resume import Midway

#: The reason with which a step's Cancel is set when its time is over.
TIMEOUT = "timeout"


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """What all turns of a run share. `log` masks and feeds `tail` on its way to the run's own sink."""

    runner: Runner
    emit: Callable[[Event], None]
    log: MaskingSink
    tail: Tail
    mask: Mask
    ambient: Ambient
    deadlines: Deadlines


def take_turn(
    step: PlannedStep, cancel: Cancel, desk: Desk, midway: Midway | None = None
) -> tuple[Outcome, StepRecord]:
    """Carry a step out, all attempts and repetitions of it. Returns when it is over or `cancel` is set and obeyed.

    With `midway` it goes on in the attempt that a process which died had begun; its time has run on meanwhile."""
    started, begin = desk.ambient.now(), desk.ambient.monotonic()
    if midway is not None:
        passed = max(0.0, (started - midway.began).total_seconds())
        started, begin = midway.began, begin - passed
        limit = _Limit(max(0.001, step.timeout - passed) if step.timeout > 0 else 0, cancel, desk)
    else:
        limit = _Limit(step.timeout, cancel, desk)
    try:
        made, result = _try_until_done(step, cancel, limit, desk, midway)
    finally:
        limit.lift()
    outcome = _outcome(step, made, result, cancel)
    failed = not result.ok and made > 0 and result.reason is not Reason.CANCELED
    record = StepRecord(
        id=step.id,
        type=step.type.value,
        status=_STATUS[outcome],
        needs=step.needs,
        attempts=made,
        exit_code=result.exit_code,
        reason=result.reason if made else None,
        message=desk.mask.text(result.message),
        hint=desk.mask.text(result.hint),
        error_ignored=outcome is Outcome.SUCCEEDED and not result.ok,
        started=started if made else None,
        finished=desk.ambient.now() if made else None,
        duration=desk.ambient.monotonic() - begin if made else 0.0,
        note=desk.mask.text(result.note),
        images=result.images,
        dependencies=tuple(_masked(dependency, desk.mask) for dependency in result.dependencies),
        last_lines=desk.tail.lines(step.id) if failed else (),
        unreachable=result.unreachable if failed else False,
    )
    desk.tail.forget(step.id)
    return outcome, record


def _masked(dependency: Dependency, mask: Mask) -> Dependency:
    """A Dockerfile may have made a name of a secret build argument."""
    if mask.empty:
        return dependency
    return replace(
        dependency,
        registry=mask.text(dependency.registry),
        repository=mask.text(dependency.repository),
        tag=mask.text(dependency.tag),
        reference=mask.text(dependency.reference),
        note=mask.text(dependency.note),
    )


_STATUS = {
    Outcome.SUCCEEDED: StepStatus.SUCCEEDED,
    Outcome.FAILED: StepStatus.FAILED,
    Outcome.CANCELED: StepStatus.CANCELED,
    Outcome.NOT_STARTED: StepStatus.SKIPPED,
}


class _Limit:
    """The time limit of one turn: set when the first attempt starts, lifted when the step is over."""

    __slots__ = ("_cancel", "_deadline", "_desk", "_left", "_lock", "_over")

    def __init__(self, seconds: float, cancel: Cancel, desk: Desk) -> None:
        self._left, self._cancel, self._desk = seconds, cancel, desk
        self._deadline: Deadline | None = None
        self._lock = threading.Lock()
        self._over = seconds <= 0

    def set(self) -> None:
        with self._lock:
            if self._deadline is None and not self._over:
                over = self._desk.ambient.monotonic() + self._left
                self._deadline = self._desk.deadlines.add(over, partial(self._cancel.set, TIMEOUT))

    def hold(self, on: bool) -> None:
        """Let the time stand still, or go on; from the runner's threads."""
        if not on:
            self.set()
            return
        with self._lock:
            if self._deadline is not None:
                self._left = max(0.0, self._deadline.when - self._desk.ambient.monotonic())
                self._desk.deadlines.drop(self._deadline)
                self._deadline = None

    def lift(self) -> None:
        with self._lock:
            self._over = True
            if self._deadline is not None:
                self._desk.deadlines.drop(self._deadline)


def _try_until_done(
    step: PlannedStep, cancel: Cancel, limit: _Limit, desk: Desk, midway: Midway | None
) -> tuple[int, StepResult]:
    """The number of attempts made and the result to report."""
    made, last = 0, StepResult(ok=False)
    progress, move = attempts.begin(step)
    if midway is not None:
        made = midway.attempt
        progress, move = midway.progress(step), attempts.Try(made, 0, retries=False)
    while True:
        if cancel.wait(move.delay) if move.delay > 0 else cancel.is_set:
            return made, _stopped(step, cancel, last)
        made = move.number
        limit.set()
        failed = progress.failure is not None
        last, matched = _attempt(step, made, cancel, desk, limit.hold, failed=failed, adopt=midway is not None)
        midway = None
        if not last.ok and cancel.is_set and _yielded(last, cancel):
            return made, _stopped(step, cancel, last)
        progress, following = attempts.after(step, progress, last, matched=matched)
        if isinstance(following, attempts.Done):
            return made, following.result
        if following.retries and not cancel.is_set:
            message = desk.mask.text(last.message)
            desk.emit(
                StepRetrying(at=desk.ambient.now(), step=step.id, attempt=made, delay=following.delay, message=message)
            )
        move = following


def _attempt(
    step: PlannedStep,
    number: int,
    cancel: Cancel,
    desk: Desk,
    hold: Callable[[bool], None],
    *,
    failed: bool,
    adopt: bool,
) -> tuple[StepResult, bool]:
    """One attempt's result, and whether its output (or message) held one of the step's `retryOnErrors`."""

    def begin() -> None:
        desk.emit(StepStarted(at=desk.ambient.now(), step=step.id, attempt=number, failed=failed))

    if not adopt:
        begin()
    watch = _Watch(desk.log, step.retry_on_errors) if step.retry_on_errors else None
    log: LogSink = watch if watch is not None else desk.log
    attempt = Attempt(number=number, cancel=cancel, log=log, emit=desk.emit, hold=hold, adopt=adopt, anew=begin)
    result = _call(step, attempt, desk.runner)
    if not (step.detach and result.ok):
        # A detached step goes on talking: what the mask holds back for it must stay held.
        desk.log.end(step.id)
    return result, watch is not None and (watch.found or any(text in result.message for text in step.retry_on_errors))


def _call(step: PlannedStep, attempt: Attempt, runner: Runner) -> StepResult:
    try:
        return runner.run_step(step, attempt)
    except TaskEngineError as error:
        return StepResult(
            ok=False, reason=Reason.INFRASTRUCTURE, message=error.message, hint=error.hint or "",
            unreachable=isinstance(error, Unreachable),
        )  # fmt: skip
    except BaseException as error:  # noqa: BLE001 - a runner's bug must fail the step and never hang the run
        return StepResult(
            ok=False,
            reason=Reason.INFRASTRUCTURE,
            message=f"the runner failed unexpectedly: {type(error).__name__}: {error}",
            hint="this is a bug in the runner and not in the task: please report it",
        )


def _yielded(result: StepResult, cancel: Cancel) -> bool:
    """Whether an attempt ended because it was told to. One that failed by itself in that moment keeps its failure,
    except when its time was over: then the limit is what the reader must know."""
    return cancel.reason == TIMEOUT or result.reason in (Reason.CANCELED, Reason.INFRASTRUCTURE)


def _stopped(step: PlannedStep, cancel: Cancel, last: StepResult) -> StepResult:
    if cancel.reason != TIMEOUT:
        return StepResult(ok=False, exit_code=last.exit_code, reason=Reason.CANCELED, message=cancel.reason)
    return replace(
        last,
        ok=False,
        reason=Reason.TIMEOUT,
        unreachable=False,
        message=f"step {step.id!r} exceeded its {step.timeout} s limit",
        hint="give the step more time with `timeout:` (seconds), or all steps with the task's `stepTimeout:`",
    )


def _outcome(step: PlannedStep, made: int, result: StepResult, cancel: Cancel) -> Outcome:
    if result.ok:
        return Outcome.SUCCEEDED
    if result.reason is Reason.CANCELED and cancel.is_set:
        return Outcome.CANCELED if made else Outcome.NOT_STARTED
    return Outcome.SUCCEEDED if step.ignore_errors else Outcome.FAILED


class _Watch:
    """Looks for texts in what passes, also across the borders of chunks. One per attempt."""

    def __init__(self, sink: Sink, texts: tuple[str, ...]) -> None:
        self._next = sink
        self._needles = [text.encode("utf-8", "surrogatepass") for text in texts if text]
        self._keep = max((len(needle) for needle in self._needles), default=1) - 1
        self._ends: dict[int, bytes] = {}
        self.found = False

    def write(self, step: str, stream: int, data: bytes) -> None:
        if not self.found:
            seen = self._ends.get(stream, b"") + data
            self.found = any(needle in seen for needle in self._needles)
            self._ends[stream] = seen[-self._keep :] if self._keep else b""
        self._next.write(step, stream, data)
