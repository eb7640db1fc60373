"""Carries a plan out with a runner: threads, time limits and cancellation around the pure machine.

Must not know Docker or what a step does. What is promised about the order of events, which are handed to the listener
one at a time, from any thread:

* RunStarted is the first, RunFinished the last; every step has exactly one StepFinished, skipped ones included.
* A step's first StepStarted comes after the StepFinished of all that it needs.
* All that a step writes to the log lies between its StepStarted and its StepFinished (a detached step may go on
  until the clean-up). Both kinds of output arrive in the order in which the runner wrote them.
* A Notice about the clean-up comes just before RunFinished.

A step whose time is over has failed, with the reason `timeout` in its record, and so the run is `Failed`, as in ACR
Tasks; `Timeout` is for a run whose own time (`run_timeout`) is over. Steps that never made an attempt are `skipped`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue

from taskengine.ambient import Ambient
from taskengine.errors import TaskEngineError
from taskengine.logs.mask import Mask
from taskengine.logs.sink import MaskingSink, TeeSink, ender
from taskengine.logs.tail import Tail
from taskengine.plan.model import Plan, PlannedStep
from taskengine.runner import Cancel, LogSink, Runner
from taskengine.runs.event import Event, Notice, RunFinished, RunStarted, StepFinished, StepProgress
from taskengine.runs.model import Reason, RunRecord, RunStatus, StepRecord, StepStatus
from taskengine.scheduler import machine, record
from taskengine.scheduler.deadline import Deadlines
from taskengine.scheduler.pool import Pool
from taskengine.scheduler.resume import Resume
from taskengine.scheduler.turn import Desk, take_turn

#: What the calling thread is told while it waits.
_WAKE, _CANCEL, _FINISHED, _BROKEN = "wake", "cancel", "finished", "broken"
#: steps of one run that run at once, unless the caller says otherwise
MAX_PARALLEL = 1024
_LONGEST_WAIT = 1_000_000.0
_OUTCOME = {
    StepStatus.SUCCEEDED: machine.Outcome.SUCCEEDED,
    StepStatus.FAILED: machine.Outcome.FAILED,
    StepStatus.CANCELED: machine.Outcome.CANCELED,
}


def execute(
    plan: Plan,
    runner: Runner,
    *,
    run_id: str,
    listener: Callable[[Event], None],
    log: LogSink,
    cancel: Cancel,
    ambient: Ambient,
    max_parallel: int = MAX_PARALLEL,
    run_timeout: float | None = None,
    mask: Mask | None = None,
    resume: Resume | None = None,
) -> RunRecord:
    """Carry `plan` out and tell how it went. Blocks; cleans up always; leaves no thread behind.

    `mask` is applied to the output before it reaches `log`, and to every message in events and records. When `log`
    has a method `end(step)`, it is called after each attempt of a step, when the step has nothing more to say.
    With `resume` the run goes on where a process that died had left it: what was done stays done, what was under way
    is adopted, and no event that was told is told again. `run_timeout` is then still that of the whole run.
    Raises what `listener` or `log` raised (after stopping and cleaning up), and nothing else.
    """
    run = _Run(plan, runner, run_id, listener, log, ambient, max_parallel, mask or Mask(), resume or Resume())
    return run.execute(cancel, run_timeout)


class _Run:
    """The state of one execution. `_lock` guards the machine's state and the cancels, `_emitting` the listener."""

    def __init__(
        self,
        plan: Plan,
        runner: Runner,
        run_id: str,
        listener: Callable[[Event], None],
        log: LogSink,
        ambient: Ambient,
        max_parallel: int,
        mask: Mask,
        resume: Resume,
    ) -> None:
        self._plan, self._runner, self._run_id = plan, runner, run_id
        self._listener, self._log, self._ambient, self._mask = listener, log, ambient, mask
        self._steps = {step.id: step for step in plan.steps}
        self._state, self._first = machine.start([(step.id, step.needs) for step in plan.steps])
        self._cancels: dict[str, Cancel] = {}
        self._records: dict[str, StepRecord] = {}
        self._resume = resume
        self._admit(self._first)
        self._lock = threading.Lock()
        self._emitting = threading.RLock()
        self._inbox: SimpleQueue[str] = SimpleQueue()
        self._broken: BaseException | None = None
        self._stop_message = ""
        self._deadlines = Deadlines(lambda: self._inbox.put(_WAKE))
        self._pool = Pool(max_parallel, f"run-{run_id}")
        tail = Tail()
        self._desk = Desk(
            runner=runner,
            emit=self._emit,
            log=MaskingSink(TeeSink(tail, _Guarded(log, self._break)), mask),
            tail=tail,
            mask=mask,
            ambient=ambient,
            deadlines=self._deadlines,
        )

    # ---- the calling thread

    def execute(self, cancel: Cancel, run_timeout: float | None) -> RunRecord:
        started, begin = self._ambient.now(), self._ambient.monotonic()
        if self._resume.began is not None:
            begin -= max(0.0, (started - self._resume.began).total_seconds())
            started = self._resume.began
        stop_listening = cancel.listen(lambda: self._inbox.put(_CANCEL))
        error: TaskEngineError | None = None
        try:
            if self._resume.began is None:
                self._emit(RunStarted(at=started, run_id=self._run_id, steps=self._shape()))
            if run_timeout is not None:
                self._deadlines.add(begin + run_timeout, lambda: self._time_is_over(run_timeout))
            first = self._replayed(self._first)
            error = self._prepare(cancel)
            if error is not None:
                self._stop_message = "the run could not be prepared"
            elif not cancel.is_set and self._broken is None:
                self._carry_out(first)
                self._wait(cancel)
        except BaseException as unexpected:  # noqa: BLE001 - Ctrl-C above all; raised again after the clean-up
            self._broken = unexpected
        finally:
            stop_listening()
            self._wind_down(cancel)
        finished, duration = self._ambient.now(), self._ambient.monotonic() - begin
        status, message = self._verdict(error)
        result = record.run_record(
            self._plan,
            self._records,
            run_id=self._run_id,
            status=status,
            started=started,
            finished=finished,
            duration=duration,
            failed_step=self._state.failed_step if status is RunStatus.FAILED else None,
            message=self._mask.text(message),
            hint=self._mask.text((error.hint or "") if error is not None else ""),
            error_exit_code=error.exit_code if error is not None else 0,
        )
        self._emit(RunFinished(at=finished, record=result))
        if self._broken is not None:
            raise self._broken
        return result

    def _replayed(self, commands: list[machine.Command]) -> list[machine.Command]:
        """What is to be done once the machine has heard of all that was done before. A step that was skipped is left
        to the machine, which skips it again; its record is not told twice."""
        left: list[machine.Command] = []
        with self._lock:
            while commands:
                command, *commands = commands
                if isinstance(command, machine.CancelStep):  # at once, so that none of them makes another attempt
                    self._cancels[command.id].set(self._why())
                    continue
                before = self._resume.done.get(command.id) if isinstance(command, machine.StartStep) else None
                if before is None or before.status is StepStatus.SKIPPED:
                    left.append(command)
                    continue
                self._records[before.id] = before
                del self._cancels[before.id]
                self._state, more = machine.step(self._state, machine.StepEnded(before.id, _OUTCOME[before.status]))
                self._admit(more)
                commands += more
        return left

    def _shape(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        return tuple((step.id, step.type.value, step.needs) for step in self._plan.steps)

    def _prepare(self, cancel: Cancel) -> TaskEngineError | None:
        """What went wrong in the runner's preparation, None if nothing did."""
        if cancel.is_set:
            return None
        try:
            self._runner.prepare(self._plan)
        except TaskEngineError as error:
            # One that gave up because it was told to has not failed.
            return None if cancel.is_set else error
        except Exception as error:  # noqa: BLE001 - a runner's bug ends the run, with a word about it
            return TaskEngineError(
                f"the runner failed unexpectedly while it prepared the run: {type(error).__name__}: {error}",
                hint="this is a bug in the runner and not in the task: please report it",
            )
        return None

    def _wait(self, cancel: Cancel) -> None:
        """Until nothing runs any more, or the listener or the log is broken."""
        while True:
            when = self._deadlines.next()
            wait = None if when is None else min(max(0.0, when - self._ambient.monotonic()), _LONGEST_WAIT)
            try:
                message = self._inbox.get(timeout=wait)
            except Empty:
                for action in self._deadlines.take_due(self._ambient.monotonic()):
                    action()
                continue
            if message in (_FINISHED, _BROKEN):
                return
            if message == _CANCEL:
                self._stop(RunStatus.CANCELED, _canceled(cancel))

    def _time_is_over(self, limit: float) -> None:
        self._stop(RunStatus.TIMEOUT, f"the run exceeded its {limit:g} s limit")

    def _stop(self, status: RunStatus, message: str) -> None:
        if self._state.stopping is None:
            self._stop_message = message
        self._advance(machine.CancelRequested(status))

    def _wind_down(self, cancel: Cancel) -> None:
        """Stop what still runs, wait for it, clean up, and see to it that every step has its record."""
        try:
            if not self._state.finished and self._state.stopping is None:
                self._stop(RunStatus.CANCELED, self._stop_message or _canceled(cancel))
            self._pool.close()
        finally:
            self._clean_up()
        for step in self._plan.steps:
            if step.id not in self._records:
                self._finish(self._never_ended(step))

    def _never_ended(self, step: PlannedStep) -> StepRecord:
        """The record of a step that did not start, or had started in a process that died and was not gone on with."""
        midway = self._resume.midway.get(step.id)
        if midway is None:
            return record.skipped(step, self._stop_message)
        return replace(
            record.skipped(step, self._stop_message),
            status=StepStatus.CANCELED, attempts=midway.attempt, reason=Reason.CANCELED,
            started=midway.began, finished=self._ambient.now(),
        )  # fmt: skip

    def _clean_up(self) -> None:
        try:
            self._runner.cleanup()
        except Exception as error:  # noqa: BLE001 - the run's own end is what counts; this becomes a warning
            what = error.message if isinstance(error, TaskEngineError) else f"{type(error).__name__}: {error}"
            self._emit(
                Notice(at=self._ambient.now(), level="warning", message=f"cleaning up after the run failed: {what}")
            )
        for step in self._plan.steps:
            if step.detach:
                self._desk.log.end(step.id)

    def _verdict(self, error: TaskEngineError | None) -> tuple[RunStatus, str]:
        if error is not None:
            return RunStatus.ERROR, error.message
        if self._broken is not None:
            return RunStatus.ERROR, f"{type(self._broken).__name__}: {self._broken}"
        status = self._state.stopping or RunStatus.SUCCEEDED
        return status, "" if status in (RunStatus.SUCCEEDED, RunStatus.FAILED) else self._stop_message

    # ---- any thread

    def _advance(self, event: machine.Event, *, keep_one: bool = False) -> str | None:
        """Hand an event to the machine and carry out what it says."""
        with self._lock:
            self._state, commands = machine.step(self._state, event)
            if isinstance(event, machine.StepEnded):
                del self._cancels[event.id]
            self._admit(commands)
        return self._carry_out(commands, keep_one=keep_one)

    def _admit(self, commands: list[machine.Command]) -> None:
        """Give every step that is to start its Cancel, so that the next event already finds it."""
        for command in commands:
            if isinstance(command, machine.StartStep):
                self._cancels[command.id] = Cancel()

    def _carry_out(self, commands: list[machine.Command], *, keep_one: bool = False) -> str | None:
        """Do what the machine says. With `keep_one` the first step to start is left to the caller, and its id
        returned: the thread that ends a step goes on with the next one, which saves a change of threads."""
        starts = [command.id for command in commands if isinstance(command, machine.StartStep)]
        mine = starts.pop(0) if starts and keep_one and not self._pool.has_backlog else None
        if starts:
            self._pool.submit([partial(self._work, step_id) for step_id in starts])
        for command in commands:
            if isinstance(command, machine.CancelStep):
                running = self._cancels.get(command.id)  # gone when it has just ended
                if running is not None:
                    running.set(self._why())
            elif isinstance(command, machine.SkipStep):
                self._finish(record.skipped(self._steps[command.id], self._why()))
            elif isinstance(command, machine.FinishRun):
                self._inbox.put(_FINISHED)
        return mine

    def _why(self) -> str:
        failed = self._state.failed_step
        return self._stop_message if failed is None else f"step {failed!r} failed"

    def _work(self, step_id: str) -> None:
        """A job of the pool: this step, and whatever its end lets this thread go on with."""
        following: str | None = step_id
        try:
            while following is not None:
                following = self._turn(following)
        except BaseException as bug:  # noqa: BLE001 - must not hang the run
            self._break(bug)

    def _turn(self, step_id: str) -> str | None:
        midway = self._resume.midway.get(step_id)
        outcome, done = take_turn(self._steps[step_id], self._cancels[step_id], self._desk, midway)
        self._finish(done)
        return self._advance(machine.StepEnded(step_id, outcome), keep_one=True)

    def _finish(self, done: StepRecord) -> None:
        self._records[done.id] = done
        if done.id in self._resume.done:
            return
        self._emit(StepFinished(at=self._ambient.now(), record=done))

    def _emit(self, event: Event) -> None:
        if not self._mask.empty:
            event = _masked(event, self._mask)
        with self._emitting:
            if self._broken is not None:
                return
            try:
                self._listener(event)
            except Exception as error:  # noqa: BLE001 - the run is stopped and cleaned up before this goes on
                self._break(error)

    def _break(self, error: BaseException) -> None:
        if self._broken is None:
            self._broken = error
        self._inbox.put(_BROKEN)


class _Guarded:
    """The run's own sink. When it breaks (a closed pipe), the run is told and later output is dropped."""

    def __init__(self, sink: LogSink, on_error: Callable[[BaseException], None]) -> None:
        self._next = sink
        self._end_next = ender(sink)
        self._on_error = on_error
        self._is_broken = False

    def write(self, step: str, stream: int, data: bytes) -> None:
        if not self._is_broken:
            try:
                self._next.write(step, stream, data)
            except Exception as error:  # noqa: BLE001 - raised again by execute
                self._fail(error)

    def end(self, step: str) -> None:
        if not self._is_broken:
            try:
                self._end_next(step)
            except Exception as error:  # noqa: BLE001 - raised again by execute
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._is_broken = True
        self._on_error(error)


def _masked(event: Event, mask: Mask) -> Event:
    """What a runner says, without secrets. Records are masked where they are made."""
    if isinstance(event, Notice):
        return replace(event, message=mask.text(event.message))
    if isinstance(event, StepProgress):
        return replace(event, name=mask.text(event.name), message=mask.text(event.message))
    return event


def _canceled(cancel: Cancel) -> str:
    reason = cancel.reason
    return "the run was canceled" if reason in ("", "canceled") else f"the run was canceled: {reason}"
