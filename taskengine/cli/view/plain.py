"""The views for a pipe, a file or a dumb terminal: log lines to stdout, our own words to stderr, no control codes.

`PlainView` shows all, `QuietView` only what went wrong.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Self, TextIO

from taskengine.cli.view.clean import plain_text
from taskengine.cli.view.words import count, seconds
from taskengine.logs.lines import PrefixWriter
from taskengine.runs.event import (
    Event,
    Notice,
    RunStarted,
    StepFinished,
    StepProgress,
    StepRetrying,
    StepStarted,
)
from taskengine.runs.model import StepStatus


class Words:
    """Our own words, one line each, to stderr. A stderr that is gone is nobody's problem."""

    def __init__(self, err: TextIO) -> None:
        self._err = err
        self._lock = threading.Lock()

    def say(self, text: str, level: str = "info") -> None:
        head = f"{level}: " if level != "info" else ""
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._err.write(f"{head}{plain_text(text)}\n")
            self._err.flush()


class PlainView:
    """Lines as they come, to `out`, each behind its step's id. Bytes stay as they are."""

    def __init__(self, words: Words, out: Callable[[bytes], object]) -> None:
        self._words = words
        self._log = PrefixWriter(out, lambda step: f"{step} | ".encode())
        self._told: set[tuple[str, str]] = set()

    def write(self, step: str, stream: int, data: bytes) -> None:
        self._log.write(step, stream, data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def end(self, step: str) -> None:
        self._log.end(step)

    def close(self) -> None:
        self._log.close()

    def event(self, event: Event) -> None:
        if isinstance(event, StepProgress):
            self._progress(event)
            return
        line = _line(event)
        if line is not None:
            self._words.say(*line)

    def _progress(self, event: StepProgress) -> None:
        """One line for each image that is pulled or pushed, and one when the context takes its time to travel. What a
        build does stands in its log already."""
        if event.vertex.startswith("upload:"):
            if ("", event.vertex) not in self._told:
                self._told.add(("", event.vertex))
                self._words.say(event.name)
            return
        if not event.vertex.startswith(("pull:", "push:")):
            return
        what = event.name.partition(": ")[0]
        if (event.step, what) not in self._told:
            self._told.add((event.step, what))
            self._words.say(f"{event.step}: {what}")

    def say(self, text: str, level: str = "info") -> None:
        self._words.say(text, level)

    def interrupted(self) -> None:
        self._words.say("stopping; interrupt again to stop at once")

    def rescue(self) -> None:
        """Nothing to give back."""


class QuietView(PlainView):
    """Warnings and failures only; the log is not shown."""

    def __init__(self, words: Words) -> None:
        super().__init__(words, lambda _: None)

    def write(self, step: str, stream: int, data: bytes) -> None:
        """Taken and forgotten."""

    def event(self, event: Event) -> None:
        if isinstance(event, Notice) and event.level != "info":
            super().event(event)


def _line(event: Event) -> tuple[str, str] | None:
    """The words for an event and their level; None for one that needs none."""
    if isinstance(event, RunStarted):
        return f"run {event.run_id}: {count(len(event.steps), 'step')}", "info"
    if isinstance(event, Notice):
        return (f"{event.step}: " if event.step else "") + event.message, event.level
    if isinstance(event, StepStarted):
        return f"{event.step}: started" + (f" (attempt {event.attempt})" if event.attempt > 1 else ""), "info"
    if isinstance(event, StepRetrying):
        return f"{event.step}: {event.message or 'failed'}; again in {seconds(event.delay)}", "warning"
    return _finished(event) if isinstance(event, StepFinished) else None


def _finished(event: StepFinished) -> tuple[str, str]:
    step = event.record
    if step.error_ignored:
        return f"{step.id}: failed after {seconds(step.duration)}, ignored: {step.message}", "warning"
    if step.status is StepStatus.SUCCEEDED:
        note = f" ({step.note})" if step.note else ""
        return f"{step.id}: finished in {seconds(step.duration)}{note}", "info"
    if step.status is StepStatus.SKIPPED:
        return f"{step.id}: skipped", "info"
    why = f": {step.message}" if step.message else ""
    return f"{step.id}: {step.status.value} after {seconds(step.duration)}{why}", "info"
