"""Where a run stood when its process died, read from the events that it had sent: what is done, and what was under way.

Pure. The same events give the same answer; who resumes a run hands it to `execute`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from datetime import datetime

from taskengine.lightclass import dataclass
from taskengine.plan.model import PlannedStep
from taskengine.runs.event import Event, RunStarted, StepFinished, StepRetrying, StepStarted
from taskengine.runs.model import Reason, StepRecord, StepResult
from taskengine.scheduler.attempts import Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class Midway:
    """A step that had begun and was not over. `attempt` was its newest attempt, `retried` counts the retries within
    that attempt's repetition, `repeated` the repetitions before it; `began` is when its first attempt started."""

    attempt: int
    began: datetime
    retried: int = 0
    repeated: int = 0
    failed: bool = False

    def progress(self, step: PlannedStep) -> Progress:
        """The same in the terms of `attempts`."""
        failure = StepResult(ok=False, reason=Reason.EXIT_CODE, message="a repetition of it failed")
        return Progress(
            self.attempt,
            max(0, step.retries - self.retried),
            max(0, step.repeat - self.repeated),
            failure if self.failed else None,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Resume:
    """What was known of a run. `began` is None when not even its start had been told."""

    began: datetime | None = None
    done: Mapping[str, StepRecord] = field(default_factory=dict)
    midway: Mapping[str, Midway] = field(default_factory=dict)


def resume_from(events: Iterable[Event]) -> Resume:
    """Read a run's events, oldest first."""
    began: datetime | None = None
    done: dict[str, StepRecord] = {}
    midway: dict[str, Midway] = {}
    retrying: set[str] = set()
    for event in events:
        if isinstance(event, RunStarted):
            began = began or event.at
        elif isinstance(event, StepStarted):
            midway[event.step] = _next(midway.get(event.step), event, is_retry=event.step in retrying)
            retrying.discard(event.step)
        elif isinstance(event, StepRetrying):
            retrying.add(event.step)
        elif isinstance(event, StepFinished):
            done[event.record.id] = event.record
            midway.pop(event.record.id, None)
    return Resume(began=began, done=done, midway=midway)


def _next(before: Midway | None, event: StepStarted, *, is_retry: bool) -> Midway:
    if before is None:
        return Midway(attempt=event.attempt, began=event.at, failed=event.failed)
    if event.attempt == before.attempt:  # begun again after an earlier death
        return before
    if is_retry:
        return replace(before, attempt=event.attempt, retried=before.retried + 1, failed=event.failed)
    return replace(before, attempt=event.attempt, retried=0, repeated=before.repeated + 1, failed=event.failed)
