"""Lets a runner prepare a run while this process still loads what shows and schedules it.

The first thing that a run needs of an engine (its network) takes as long as the rest of our own start, so the two go
side by side. Whoever carries the run out sees no difference: what failed is told when `prepare` is called, and
`cleanup` begins when the preparation is over. Knows runners only by their protocol.
"""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from taskengine.plan.model import Plan, PlannedStep
    from taskengine.runner import Attempt, Runner
    from taskengine.runs.model import StepResult

#: they would end this process at once, as long as nobody hears them
_DEADLY = (signal.SIGTERM, signal.SIGHUP)


class EarlyRunner:
    """A runner whose preparation for `plan` begins when this is entered. Whatever it made is removed when this is left,
    also where nobody came to carry the run out."""

    def __init__(self, runner: Runner, plan: Plan) -> None:
        self._runner = runner
        self._plan = plan
        self._failure: BaseException | None = None
        self._cleaned = False
        self._before: dict[int, Any] = {}
        # no daemon: a process that ends by itself waits until it is known what is to be removed
        self._thread = threading.Thread(target=self._begin, name="prepare")

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _DEADLY:
                # as Ctrl-C does: it ends the process by way of our clean-up
                self._before[number] = signal.signal(number, signal.default_int_handler)
        self._thread.start()
        return self

    def __exit__(self, _type: type[BaseException] | None, _: BaseException | None, _tb: TracebackType | None) -> None:
        try:
            if not self._cleaned:
                self.cleanup()
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def _begin(self) -> None:
        try:
            self._runner.prepare(self._plan)
        except BaseException as failure:  # noqa: BLE001 - raised again where the run is carried out
            self._failure = failure

    def prepare(self, plan: Plan) -> None:  # noqa: ARG002 - it is the plan that this was made for
        """Return when all is prepared. Raises what the runner raised."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def run_step(self, step: PlannedStep, attempt: Attempt) -> StepResult:
        return self._runner.run_step(step, attempt)

    def cleanup(self) -> None:
        self._cleaned = True
        self._thread.join()
        self._runner.cleanup()

    def kill(self) -> None:
        """Remove all at once, for a user who does not want to wait: not even for the preparation."""
        getattr(self._runner, "kill", self._runner.cleanup)()
