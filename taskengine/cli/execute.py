"""Carries out a loaded task in front of a person or a program: view, signals, runner, scheduler, and the end's words.

Used by `run` and `build`. Knows runners only by their protocol; `taskengine.wiring` makes one.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from taskengine.cli.name import INTERRUPTED
from taskengine.cli.view.face import Pipe, View
from taskengine.lightclass import dataclass

if TYPE_CHECKING:
    from taskengine.cli.early import EarlyRunner
    from taskengine.logs.mask import Mask
    from taskengine.logs.store import FileLog
    from taskengine.plan.model import Plan
    from taskengine.runner import RunContext
    from taskengine.runs.event import Event
    from taskengine.runs.model import RunRecord


@dataclass(frozen=True, kw_only=True)
class Display:
    """How the user wants to see the run. `output` is text, json (events as JSON lines), or result: one JSON object when
    all is over, and until then the text's words and log on stderr."""

    output: str = "text"
    quiet: bool = False
    no_color: bool = False
    log_dir: str = ""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What bounds the run; None is no bound."""

    timeout: int | None = None
    max_parallel: int | None = None


def carry_out(
    plan: Plan,
    context: RunContext,
    *,
    shown_id: str,
    mask: Mask,
    display: Display,
    limits: Limits,
    git: Mapping[str, str] | None = None,
    after: Callable[[RunRecord], int] | None = None,
) -> int:
    """Run the plan and return the exit code. `shown_id` is the run's id as the user knows it, `git` what is known of
    the context's repository.

    `after` is handed the record when all is over; its own exit code counts when the run succeeded.
    """
    from taskengine import wiring
    from taskengine.cli.early import EarlyRunner

    folder = log_folder(display.log_dir)
    with EarlyRunner(wiring.runner_for(context, wiring.settings()), plan) as runner:
        record, interrupted = _in_view(plan, runner, folder, shown_id, mask, display, limits)
    show_end(record, display, Pipe(sys.stdout.buffer, on_lost=_nothing), folder, git or {})
    code = exit_code(record, interrupted=interrupted)
    done = after(record) if after is not None and not interrupted else 0
    return code or done


def _in_view(
    plan: Plan, runner: EarlyRunner, folder: FileLog | None, shown_id: str, mask: Mask, display: Display, limits: Limits
) -> tuple[RunRecord, bool]:
    """Run the plan in front of the user; also whether the user interrupted it."""
    from taskengine.ambient import Ambient
    from taskengine.cli.interrupt import Interrupts
    from taskengine.logs.sink import TeeSink
    from taskengine.runner import Cancel
    from taskengine.scheduler.loop import MAX_PARALLEL, execute

    cancel = Cancel()
    ambient = Ambient.system()
    out = Pipe(sys.stdout.buffer, on_lost=lambda: later(cancel.set, "nobody reads the output any more"))
    view = view_for(display, out)
    log = view if folder is None else TeeSink(view, folder)
    is_text = display.output == "text"
    runs_commands = any(step.cmd is not None for step in plan.steps)
    if is_text and runs_commands:
        import taskengine.cli.view.summary  # noqa: F401 - while the engine is busy, and not when all waits for its words
    sys.stdout.flush()
    with view, Interrupts(view, stop=lambda: cancel.set("interrupted"), kill=runner.kill) as interrupts:
        record = execute(
            plan,
            runner,
            run_id=shown_id,
            listener=_Listener(view, mask.warnings, sums_up=is_text and not runs_commands),
            log=log,
            cancel=cancel,
            ambient=ambient,
            run_timeout=limits.timeout,
            mask=mask,
            max_parallel=limits.max_parallel or MAX_PARALLEL,
        )
    return record, interrupts.seen


def show_end(record: RunRecord, display: Display, out: Pipe, folder: FileLog | None, git: Mapping[str, str]) -> None:
    """The last words about a run, in the form that was asked for; closes the folder of logs."""
    if folder is not None:
        folder.close()
        if folder.failure:
            print(f"warning: {folder.failure}", file=sys.stderr)
    if display.output == "text":
        _conclude(record, display, live=_is_live(display), git=git)
    elif display.output == "result":
        from taskengine.cli.view.form import json_text
        from taskengine.cli.view.result import result_json

        out.write((json_text(result_json(record, git)) + "\n").encode())


def exit_code(record: RunRecord, *, interrupted: bool) -> int:
    """0, 1, 3 or 130: how the run ended, as a number."""
    from taskengine.runs.model import RunStatus

    if record.status is RunStatus.SUCCEEDED:
        return 0
    if interrupted and record.status is RunStatus.CANCELED:
        return INTERRUPTED
    return record.error_exit_code or 1


def view_for(display: Display, out: Pipe) -> View:
    """JSON lines, the live view on a terminal, or plain lines (on stderr, where stdout is for the result)."""
    if display.output == "json":
        from taskengine.ambient import Ambient
        from taskengine.cli.view.jsonlines import JsonView

        return JsonView(out, now=Ambient.system().now)
    from taskengine.cli.view.plain import PlainView, QuietView, Words

    words = Words(sys.stderr)
    if display.quiet:
        return QuietView(words)
    if _is_live(display):
        from taskengine.cli.view.painter import LiveView
        from taskengine.cli.view.terminal import look, size

        return LiveView(out, look=look(no_color=display.no_color), clock=time.monotonic, size=size)
    if display.output == "result":
        return PlainView(words, Pipe(sys.stderr.buffer, on_lost=_nothing).write)
    return PlainView(words, out.write)


def _is_live(display: Display) -> bool:
    from taskengine.cli.view.terminal import is_live

    return display.output == "text" and not display.quiet and is_live()


def _nothing() -> None:
    """A stderr that nobody reads stops no run."""


def _conclude(record: RunRecord, display: Display, *, live: bool, git: Mapping[str, str]) -> None:
    from taskengine.cli.view.summary import summary
    from taskengine.cli.view.terminal import look
    from taskengine.cli.view.tree import Look

    style = look(no_color=display.no_color) if live else Look(colour=False, unicode=False)
    with contextlib.suppress(OSError):
        print("\n".join(summary(record, style, quiet=display.quiet, git=git)), file=sys.stderr, flush=True)


class _Listener:
    """Hands events to the view, and the warnings that were there before the run behind the first one.

    `sums_up`: the words of the end are loaded with the first progress of a build, while the engine is at work."""

    def __init__(self, view: View, warnings: Iterable[str], *, sums_up: bool) -> None:
        self._view = view
        self._warnings = tuple(warnings)
        self._sums_up = sums_up

    def __call__(self, event: Event) -> None:
        if self._sums_up and event.kind == "step.progress":
            self._sums_up = False
            import taskengine.cli.view.summary  # noqa: F401
        self._view.event(event)
        for warning in self._warnings:
            self._view.say(warning, "warning")
        self._warnings = ()


def log_folder(name: str) -> FileLog | None:
    """`--log-dir`: each step's output as a file of its own, byte for byte."""
    if not name:
        return None
    from taskengine.errors import InvalidInput
    from taskengine.logs.store import FileLog

    try:
        return FileLog(Path(name))
    except OSError as error:
        raise InvalidInput(
            f"--log-dir {name}: {(error.strerror or str(error)).lower()}", hint="name a folder that you may write to"
        ) from error


def later(cancel: Callable[[str], object], reason: str) -> None:
    """Cancel from a thread of its own: whoever finds the output gone may hold locks that listeners want."""
    threading.Thread(target=cancel, args=(reason,), daemon=True).start()


def absolute(folder: str | None) -> str | None:
    return None if folder is None else os.path.abspath(folder)  # noqa: PTH100 - links in it stay as they are
