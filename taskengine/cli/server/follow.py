"""A run on a server in front of a person or a program: the same views, words and exit codes as for a local run."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from taskengine.cli.execute import Display, exit_code, later, log_folder, show_end, view_for
from taskengine.cli.interrupt import Interrupts
from taskengine.cli.view.face import Pipe, View
from taskengine.client.api import Document, Ended, Output, ServiceApi
from taskengine.errors import TaskEngineError, Unreachable
from taskengine.logs.sink import TeeSink
from taskengine.runs.decode import record_of
from taskengine.runs.event import Event, RunFinished, RunStarted, StepFinished, StepRetrying
from taskengine.runs.model import RunRecord, RunStatus, StepRecord, StepStatus

if TYPE_CHECKING:
    from taskengine.logs.sink import Sink

#: seconds after which a run that has not begun is asked why, and between later questions
FIRST_LOOK, NEXT_LOOK = 2.0, 20.0
_TRIES = 10


def carry_out(
    api: ServiceApi, queue: Callable[[], Document], display: Display, *, git: Mapping[str, str] = MappingProxyType({})
) -> int:
    """Queue a run and follow it to its end; returns the exit code. The first interrupt cancels it on the server."""
    begun = _Begun(api)
    out = Pipe(sys.stdout.buffer, on_lost=lambda: later(begun.cancel, "nobody reads the output any more"))
    folder = log_folder(display.log_dir)
    view = view_for(display, out)
    begun.tell = view.say
    sys.stdout.flush()
    stop, leave = (lambda: begun.cancel("interrupted")), (lambda: None)
    with view, Interrupts(view, stop=stop, kill=leave, farewell=begun.farewell) as interrupts:
        run = begun.now(queue())
        view.say(f"run {run} is queued on {api.to.url}")
        record = followed(api, run, view, view if folder is None else TeeSink(view, folder))
    show_end(record, display, out, folder, git)
    return exit_code(record, interrupted=interrupts.seen)


def watch(api: ServiceApi, run: str, display: Display) -> int:
    """Follow somebody's run to its end; returns the run's exit code. An interrupt leaves the run alone."""
    out = Pipe(sys.stdout.buffer, on_lost=lambda: None)
    folder = log_folder(display.log_dir)
    sys.stdout.flush()
    with view_for(display, out) as view:
        record = followed(api, run, view, view if folder is None else TeeSink(view, folder), stop=lambda: out.lost)
    if out.lost:
        return 0
    show_end(record, display, out, folder, {})
    return exit_code(record, interrupted=False)


def followed(
    api: ServiceApi, run: str, view: View, log: Sink, *, stop: Callable[[], bool] = lambda: False
) -> RunRecord:
    """Hand all that a run says to the view and the log, through connections that break, and return how it ended."""
    said: RunRecord | None = None
    began = False
    connection = _Connection(api.to.url, view)
    with _Waiting(api, run, view) as waiting:
        for item in api.follow(run, on_break=connection.broke):
            connection.works()
            waiting.over()
            if isinstance(item, Ended):
                return end_of(item.run, said)
            if isinstance(item, Output):
                log.write(item.step, item.stream, item.data)
            else:
                if isinstance(item, RunFinished):
                    said = item.record
                elif isinstance(item, RunStarted):
                    if began:
                        view.say("the run begins again: its worker was lost, or could not carry it out", "warning")
                    began = True
                _tell(item, view, log)
            if stop():
                break
    return end_of(api.run(run), said)


def end_of(run: Mapping[str, Any], said: RunRecord | None) -> RunRecord:
    """How a run ended: as its worker said, unless the service knows otherwise (a run that never began, a worker that
    was lost, a run that was looked away from)."""
    status = RunStatus(run["status"])
    if said is not None and said.status is status:
        return said
    began, ended = _moment(run.get("startTime")), _moment(run.get("finishTime"))
    reason = run.get("cancelReason") if status is RunStatus.CANCELED else ""
    return RunRecord(
        id=str(run["runId"]),
        status=status,
        steps=tuple(_step(one) for one in run.get("steps") or ()),
        started=began,
        finished=ended,
        duration=max(0.0, (ended - began).total_seconds()) if began and ended else 0.0,
        message=str(run.get("runErrorMessage") or reason or ""),
        hint=str(run.get("hint") or ""),
        error_exit_code=said.error_exit_code if said is not None and status is not RunStatus.CANCELED else 0,
    )


def _tell(event: Event, view: View, log: Sink) -> None:
    if isinstance(event, StepFinished | StepRetrying):
        step = event.record.id if isinstance(event, StepFinished) else event.step
        end = getattr(log, "end", None)
        if end is not None:
            end(step)
    view.event(event)


def _step(data: Mapping[str, Any]) -> StepRecord:
    try:
        return record_of(StepRecord, {"type": "", **data})
    except ValueError:
        return StepRecord(id=str(data.get("id", "")), type="", status=StepStatus.PENDING)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


class _Begun:
    """The run of this command, as soon as there is one, and how it is canceled. Used from several threads."""

    def __init__(self, api: ServiceApi) -> None:
        self._api = api
        self._there = threading.Event()
        self._run = ""
        self.tell: Callable[[str, str], None] = lambda *_: None

    def now(self, run: Document) -> str:
        self._run = str(run["runId"])
        self._there.set()
        return self._run

    def cancel(self, reason: str) -> None:
        """Ask the server, again where it is away: it is harmless to ask twice."""
        self._there.wait()
        for left in reversed(range(_TRIES)):
            try:
                self._api.cancel_run(self._run, reason)
                return
            except Unreachable as error:
                if not left:
                    self.tell(f"run {self._run} could not be canceled: {error.message}", "warning")
                threading.Event().wait(1.0)
            except TaskEngineError as error:
                self.tell(f"run {self._run} could not be canceled: {error.message}", "warning")
                return

    def farewell(self) -> str:
        if not self._run:
            return "stopped at once; a run may have been queued: acr-task task list-runs"
        return f"stopped at once; to see what became of the run: acr-task task logs --run-id {self._run}"


class _Connection:
    """Says that a connection broke, and that it is there again: once each."""

    def __init__(self, url: str, view: View) -> None:
        self._url, self._view = url, view
        self._broken = False

    def broke(self, error: Unreachable) -> None:
        if not self._broken:
            self._view.say(f"the connection to {self._url} broke; trying again ({error.message})", "warning")
        self._broken = True

    def works(self) -> None:
        if self._broken:
            self._view.say("connected again; the log goes on where it was")
        self._broken = False


class _Waiting:
    """While a run waits for a worker: says why, and again when the reason changes."""

    def __init__(self, api: ServiceApi, run: str, view: View) -> None:
        self._api, self._run, self._view = api, run, view
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="waiting", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over()
        self._thread.join(1)

    def over(self) -> None:
        self._over.set()

    def _look(self) -> None:
        said, pause = "", FIRST_LOOK
        while not self._over.wait(pause):
            pause = NEXT_LOOK
            with contextlib.suppress(TaskEngineError):
                run = self._api.run(self._run)
                words = waits_for(run)
                if words and words != said and not self._over.is_set():
                    said = words
                    self._view.say(words)


def waits_for(run: Mapping[str, Any]) -> str:
    """What a queued run waits for, in words; "" for one that does not wait."""
    if run.get("status") != RunStatus.QUEUED.value:
        return ""
    place = f" (number {run['queuePosition']} in the queue)" if run.get("queuePosition") else ""
    return f"waiting: {run.get('waitReason') or 'for a worker'}{place}"
