"""A plan carried out with the no-op runner: order, failure, cancellation, time limits, clean-up."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runners.noop import NoopRunner, Script
from taskengine.errors import InvalidInput, RunnerError, TaskEngineError, Unreachable
from taskengine.logs.mask import Mask
from taskengine.plan.model import Plan, PlannedStep
from taskengine.runner import Attempt, Cancel
from taskengine.runs.event import Event, Notice, RunFinished, RunStarted, StepFinished, StepRetrying, StepStarted
from taskengine.runs.model import ImageResult, Reason, RunStatus, StepResult, StepStatus
from tests.scheduler.support import a_step, run

LONG = Script(seconds=60)


class Runner(NoopRunner):
    """The no-op runner with a door for each test's own mischief."""

    def __init__(
        self,
        on_step: Callable[[PlannedStep, Attempt], StepResult | None] | None = None,
        on_prepare: Callable[[], None] | None = None,
        on_cleanup: Callable[[], None] | None = None,
        behaviour: dict[str, Script] | None = None,
    ) -> None:
        super().__init__(behaviour)
        self._on_step, self._on_prepare, self._on_cleanup = on_step, on_prepare, on_cleanup

    def prepare(self, plan: Plan) -> None:
        if self._on_prepare is not None:
            self._on_prepare()
        super().prepare(plan)

    def run_step(self, step: PlannedStep, attempt: Attempt) -> StepResult:
        result = self._on_step(step, attempt) if self._on_step is not None else None
        return result or super().run_step(step, attempt)

    def cleanup(self) -> None:
        super().cleanup()
        if self._on_cleanup is not None:
            self._on_cleanup()


def raising(error: BaseException) -> Callable[..., Any]:
    def act(*_: object) -> None:
        raise error

    return act


def cancel_when(kind: type[Event], cancel: Cancel, events: list[Event]) -> Callable[[Event], None]:
    """A listener that cancels the run at the first event of a kind, and notes when."""

    def listener(event: Event) -> None:
        events.append(event)
        if isinstance(event, kind):
            cancel.set()

    return listener


# ---- order


def test_events_come_in_the_promised_order() -> None:
    ran = run(a_step("a"), a_step("b", "a"))
    assert ran.kinds == [
        "run.started",
        "step.started",
        "step.finished",
        "step.started",
        "step.finished",
        "run.finished",
    ]


def test_run_started_tells_the_shape_of_the_run() -> None:
    ran = run(a_step("a"), a_step("b", "a"))
    first = ran.events[0]
    assert isinstance(first, RunStarted)
    assert first.steps == (("a", "cmd", ()), ("b", "cmd", ("a",)))


def test_the_last_event_holds_the_record_that_is_returned() -> None:
    ran = run(a_step("a"))
    last = ran.events[-1]
    assert isinstance(last, RunFinished)
    assert last.record is ran.record


def test_steps_that_need_nothing_of_each_other_run_at_the_same_time() -> None:
    together = threading.Barrier(40, timeout=20)

    def meet(*_: object) -> None:
        together.wait()

    ran = run(*(a_step(f"s{i}") for i in range(40)), runner=Runner(on_step=meet))
    assert ran.record.status is RunStatus.SUCCEEDED


def test_no_more_steps_run_at_once_than_allowed() -> None:
    lock, running, most = threading.Lock(), [0], [0]

    def count(step: PlannedStep, attempt: Attempt) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        attempt.cancel.wait(0.002)
        with lock:
            running[0] -= 1

    run(*(a_step(f"s{i}") for i in range(12)), runner=Runner(on_step=count), max_parallel=3)
    assert most[0] == 3


def test_a_step_that_joins_many_starts_exactly_once() -> None:
    """All parents are let go at the same moment, many times over."""
    for _ in range(30):
        gate = threading.Barrier(8, timeout=20)

        def wait(step: PlannedStep, attempt: Attempt, gate: threading.Barrier = gate) -> None:
            if step.id != "join":
                gate.wait()

        parents = [f"p{i}" for i in range(8)]
        ran = run(*map(a_step, parents), a_step("join", *parents), runner=Runner(on_step=wait))
        assert ran.runner.attempts["join"] == 1
        assert ran.record.status is RunStatus.SUCCEEDED


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 25), failing=st.booleans())
def test_any_plan_keeps_the_order_and_ends_with_one_record_per_step(seed: int, size: int, failing: bool) -> None:
    rng = random.Random(seed)
    steps = [
        a_step(f"s{i}", *(f"s{j}" for j in sorted(rng.sample(range(i), min(i, rng.randint(0, 3))))))
        for i in range(size)
    ]
    bad = {f"s{rng.randrange(size)}": Script(exits=(1,))} if failing else {}
    ran = run(*steps, behaviour=bad)
    ended: set[str] = set()
    for event in ran.events:
        if isinstance(event, StepStarted):
            assert set(next(step for step in steps if step.id == event.step).needs) <= ended
        elif isinstance(event, StepFinished):
            assert event.record.id not in ended
            ended.add(event.record.id)
    assert ended == {step.id for step in steps}
    assert set(ran.runner.attempts.values()) <= {1}
    assert ran.record.status is (RunStatus.FAILED if failing else RunStatus.SUCCEEDED)


# ---- failure


def test_a_failure_stops_what_runs_skips_what_waits_and_is_named() -> None:
    both = threading.Barrier(2, timeout=20)

    def meet(*_: object) -> None:
        both.wait()

    behaviour = {"bad": Script(exits=(7,), stderr=b"first\nlast"), "running": LONG}
    ran = run(a_step("bad"), a_step("running"), a_step("waiting", "running"), runner=Runner(meet, behaviour=behaviour))
    assert ran.record.status is RunStatus.FAILED
    assert [step.status for step in ran.record.steps] == [
        StepStatus.FAILED,
        StepStatus.CANCELED,
        StepStatus.SKIPPED,
    ]
    assert ran.record.failed_step == "bad"
    assert ran.record.message == "step 'bad' failed: exit code 7"
    assert ran.step("bad").exit_code == 7
    assert ran.step("bad").last_lines == ("first", "last")
    assert ran.step("running").message == "step 'bad' failed"


@pytest.mark.parametrize(
    "error", [RunnerError("no engine", hint="start it"), Unreachable("no engine", hint="start it")]
)
def test_a_runner_that_fails_fails_the_step_as_infrastructure(error: TaskEngineError) -> None:
    ran = run(a_step("a"), behaviour={"a": Script(error=error)})
    step = ran.step("a")
    assert ran.record.status is RunStatus.FAILED
    assert (step.reason, step.message, step.hint) == (Reason.INFRASTRUCTURE, "no engine", "start it")


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(1), KeyboardInterrupt()])
def test_a_bug_in_a_runner_fails_the_step_and_hangs_nothing(error: BaseException) -> None:
    ran = run(a_step("a"), a_step("b"), runner=Runner(on_step=raising(error)))
    assert ran.record.status is RunStatus.FAILED
    assert type(error).__name__ in ran.record.message
    assert ran.runner.cleanups == 1


def test_a_result_that_is_no_result_hangs_nothing() -> None:
    class Bad(NoopRunner):
        def run_step(self, step: PlannedStep, attempt: Attempt) -> StepResult:
            return None  # type: ignore[return-value]

    with pytest.raises(AttributeError):
        run(a_step("a"), a_step("b", "a"), runner=Bad())


@pytest.mark.parametrize(("unreachable", "code"), [(True, 3), (False, 0)])
def test_a_step_that_could_not_reach_what_it_needs_gives_the_failed_run_its_exit_code(
    unreachable: bool, code: int
) -> None:
    class Alone(NoopRunner):
        def run_step(self, step: PlannedStep, attempt: Attempt) -> StepResult:
            return StepResult(ok=False, reason=Reason.PULL, message="nobody there", unreachable=unreachable)

    ran = run(a_step("a"), runner=Alone())
    assert (ran.record.status, ran.record.error_exit_code) == (RunStatus.FAILED, code)
    assert (ran.step("a").reason, ran.step("a").unreachable) == (Reason.PULL, unreachable)
    ignored = run(a_step("a", ignore_errors=True), runner=Alone())
    assert (ignored.record.status, ignored.record.error_exit_code) == (RunStatus.SUCCEEDED, 0)


@pytest.mark.parametrize(
    ("error", "code"), [(Unreachable("no engine", hint="start it"), 3), (InvalidInput("no"), 2), (RunnerError("x"), 1)]
)
def test_a_failed_preparation_is_an_error_of_the_run(error: TaskEngineError, code: int) -> None:
    ran = run(a_step("a"), runner=Runner(on_prepare=raising(error)))
    assert ran.record.status is RunStatus.ERROR
    assert (ran.record.message, ran.record.hint) == (error.message, error.hint or "")
    assert ran.record.error_exit_code == code
    assert ran.step("a").status is StepStatus.SKIPPED
    assert ran.runner.cleanups == 1


def test_a_bug_in_the_preparation_is_an_error_of_the_run() -> None:
    ran = run(a_step("a"), runner=Runner(on_prepare=raising(KeyError("x"))))
    assert ran.record.status is RunStatus.ERROR
    assert "KeyError" in ran.record.message


@pytest.mark.parametrize("exits", [(), (5,)])
def test_a_failed_clean_up_is_a_warning_and_hides_nothing(exits: tuple[int, ...]) -> None:
    runner = Runner(on_cleanup=raising(RunnerError("network in use")), behaviour={"a": Script(exits=exits)})
    ran = run(a_step("a"), runner=runner)
    notice = ran.events[-2]
    assert isinstance(notice, Notice)
    assert notice.level == "warning"
    assert "network in use" in notice.message
    assert ran.record.status is (RunStatus.FAILED if exits else RunStatus.SUCCEEDED)


def test_a_listener_that_fails_stops_the_run_cleans_up_and_is_heard() -> None:
    def listener(event: Event) -> None:
        if isinstance(event, StepStarted):
            raise BrokenPipeError

    runner = NoopRunner({"a": LONG})
    with pytest.raises(BrokenPipeError):
        run(a_step("a"), a_step("b", "a"), runner=runner, listener=listener)
    assert runner.cleanups == 1


def test_a_log_that_fails_stops_the_run_cleans_up_and_is_heard() -> None:
    class Broken:
        def write(self, step: str, stream: int, data: bytes) -> None:
            raise BrokenPipeError

    runner = NoopRunner({"a": Script(stdout=b"x", seconds=60)})
    with pytest.raises(BrokenPipeError):
        run(a_step("a"), runner=runner, log=Broken())
    assert runner.cleanups == 1


def test_a_keyboard_interrupt_in_the_calling_thread_stops_cleans_up_and_goes_on_up() -> None:
    runner = Runner(on_prepare=raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        run(a_step("a"), runner=runner)
    assert runner.cleanups == 1


# ---- cancellation


@pytest.mark.parametrize(
    ("steps", "behaviour", "kind", "status"),
    [
        ([a_step("a")], {"a": LONG}, StepStarted, StepStatus.CANCELED),
        ([a_step("b"), a_step("a", start_delay=60)], {}, StepFinished, StepStatus.SKIPPED),
        ([a_step("a", retries=1, retry_delay=60)], {"a": Script(exits=(1,))}, StepRetrying, StepStatus.CANCELED),
    ],
    ids=["running", "start delay", "retry delay"],
)
def test_a_cancel_ends_every_wait_at_once(
    steps: list[PlannedStep], behaviour: dict[str, Script], kind: type[Event], status: StepStatus
) -> None:
    cancel, events = Cancel(), list[Event]()
    asked: list[float] = []
    cancel.listen(lambda: asked.append(time.monotonic()))
    ran = run(*steps, a_step("z", "a"), behaviour=behaviour, cancel=cancel, listener=cancel_when(kind, cancel, events))
    assert time.monotonic() - asked[0] < 0.1 * 5  # 0.1 s is the promise; the rest is for a busy machine
    assert ran.record.status is RunStatus.CANCELED
    assert ran.record.message == "the run was canceled"
    assert ran.step("a").status is status
    assert ran.step("z").status is StepStatus.SKIPPED
    assert ran.runner.cleanups == 1


def test_a_cancel_before_the_start_runs_nothing_and_cleans_up() -> None:
    cancel = Cancel()
    cancel.set("interrupted")
    ran = run(a_step("a"), cancel=cancel)
    assert ran.record.status is RunStatus.CANCELED
    assert ran.record.message == "the run was canceled: interrupted"
    assert ran.runner.attempts == {}
    assert ran.runner.cleanups == 1


def test_a_preparation_that_gives_up_because_of_a_cancel_has_not_failed() -> None:
    cancel = Cancel()

    def give_up() -> None:
        cancel.set()
        raise RunnerError("gave up")

    assert run(a_step("a"), runner=Runner(on_prepare=give_up), cancel=cancel).record.status is RunStatus.CANCELED


def test_steps_waiting_for_a_free_place_are_skipped_by_a_cancel() -> None:
    cancel, events = Cancel(), list[Event]()
    ran = run(
        a_step("a"),
        a_step("b"),
        behaviour={"a": LONG, "b": LONG},
        max_parallel=1,
        cancel=cancel,
        listener=cancel_when(StepStarted, cancel, events),
    )
    assert [step.status for step in ran.record.steps] == [StepStatus.CANCELED, StepStatus.SKIPPED]


# ---- time limits


def test_a_step_over_its_time_fails_with_the_reason_and_a_hint() -> None:
    ran = run(a_step("a", timeout=0.02), a_step("b", "a"), behaviour={"a": LONG})
    step = ran.step("a")
    assert ran.record.status is RunStatus.FAILED
    assert (step.status, step.reason) == (StepStatus.FAILED, Reason.TIMEOUT)
    assert step.message == ran.record.message == "step 'a' exceeded its 0.02 s limit"
    assert "timeout:" in step.hint


def test_the_time_limit_spans_all_attempts_and_the_delays_between_them() -> None:
    ran = run(a_step("a", timeout=0.02, retries=5, retry_delay=60), behaviour={"a": Script(exits=(3,))})
    assert (ran.step("a").reason, ran.step("a").attempts) == (Reason.TIMEOUT, 1)


def test_the_start_delay_is_not_part_of_the_time_limit() -> None:
    ran = run(a_step("a", timeout=0.02, start_delay=0.05))
    assert ran.record.status is RunStatus.SUCCEEDED


def test_a_time_limit_is_an_error_that_can_be_ignored() -> None:
    ran = run(a_step("a", timeout=0.02, ignore_errors=True), a_step("b", "a"), behaviour={"a": LONG})
    assert ran.record.status is RunStatus.SUCCEEDED
    assert (ran.step("a").error_ignored, ran.step("a").reason) == (True, Reason.TIMEOUT)


def test_a_run_over_its_time_ends_as_timeout() -> None:
    ran = run(a_step("a"), a_step("b", "a"), behaviour={"a": LONG}, run_timeout=0.02)
    assert ran.record.status is RunStatus.TIMEOUT
    assert ran.record.message == "the run exceeded its 0.02 s limit"
    assert [step.status for step in ran.record.steps] == [StepStatus.CANCELED, StepStatus.SKIPPED]


# ---- records and logs


def test_the_critical_path_is_made_of_actual_times() -> None:
    behaviour = {"slow": Script(seconds=0.05)}
    ran = run(a_step("quick"), a_step("slow"), a_step("end", "quick", "slow"), behaviour=behaviour)
    assert ran.record.critical_path == ("slow", "end")


def test_images_are_listed_once_with_what_was_learned_last() -> None:
    built = ImageResult(reference="app:1", image_id="sha256:1", size=10)
    pushed = ImageResult(reference="app:1", digest="sha256:2", pushed=True)
    ran = run(a_step("a"), a_step("b", "a"), behaviour={"a": Script(images=(built,)), "b": Script(images=(pushed,))})
    both = ImageResult(reference="app:1", image_id="sha256:1", size=10, digest="sha256:2", pushed=True)
    assert ran.record.images == (both,)


def test_the_log_is_complete_and_in_order() -> None:
    ran = run(a_step("a"), behaviour={"a": Script(stdout=b"out\n", stderr=b"no newline")})
    assert ran.log.pieces == [("a", 1, b"out\n"), ("a", 2, b"no newline")]


def test_secrets_are_masked_in_the_log_the_last_lines_and_the_messages() -> None:
    error = RunnerError("bad password hunter2-hunter2")
    ran = run(
        a_step("a"),
        behaviour={"a": Script(stdout=b"pw=hunter2-hunter2\n", error=error)},
        mask=Mask(["hunter2-hunter2"]),
    )
    assert ran.log.of("a") == b"pw=***\n"
    assert ran.step("a").last_lines == ("pw=***",)
    assert ran.step("a").message == "bad password ***"
    assert "hunter2" not in repr(ran.events)


def test_a_detached_step_keeps_its_mask_when_its_turn_is_over() -> None:
    """Half a secret, then the end of the turn, then the other half."""
    halves: list[Callable[[], None]] = []

    def talk(step: PlannedStep, attempt: Attempt) -> None:
        attempt.log.write(step.id, 1, b"pw=hunter2-")
        halves.append(lambda: attempt.log.write(step.id, 1, b"hunter2\n"))

    runner = Runner(on_step=talk, on_cleanup=lambda: halves[0]())
    ran = run(a_step("a", detach=True), runner=runner, mask=Mask(["hunter2-hunter2"]))
    assert ran.log.of("a") == b"pw=***\n"


def test_the_log_is_told_when_a_step_has_no_more_to_say() -> None:
    class Ending:
        def __init__(self) -> None:
            self.said: list[str] = []

        def write(self, step: str, stream: int, data: bytes) -> None:
            self.said.append(data.decode())

        def end(self, step: str) -> None:
            self.said.append(f"end of {step}")

    log = Ending()
    run(a_step("a", repeat=1), behaviour={"a": Script(stdout=b"x")}, log=log)
    assert log.said == ["x", "end of a", "x", "end of a"]


def test_forty_steps_talking_at_once_lose_nothing() -> None:
    text = b"".join(b"line %d\n" % i for i in range(200))
    names = [f"s{i}" for i in range(40)]
    ran = run(*map(a_step, names), behaviour={name: Script(stdout=text) for name in names})
    assert all(ran.log.of(name) == text for name in names)


def test_ten_thousand_steps_are_no_trouble() -> None:
    steps = [a_step(f"s{i}", *((f"s{i - 1}",) if i % 100 else ())) for i in range(10_000)]
    assert run(*steps).record.status is RunStatus.SUCCEEDED
