"""The context of a `build` step that is an address: fetched, with its failures told as the step's.

Knows `taskengine.context` by its store of fetched contexts only; what an address means is not decided here.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runners.docker.failure import fail
from runners.docker.once import Canceled
from taskengine.context.address import is_remote, shown
from taskengine.errors import Interrupted, InvalidInput, Unreachable
from taskengine.plan.model import BuildLine, PlannedStep
from taskengine.runner import Attempt
from taskengine.runs.event import Notice
from taskengine.runs.model import Reason

if TYPE_CHECKING:
    from taskengine.context.keep import Contexts
    from taskengine.context.model import Fetched

__all__ = ["fetch_context", "is_remote", "remote_dockerfile"]


def fetch_context(
    contexts: Contexts | None, step: PlannedStep, line: BuildLine, attempt: Attempt, now: Callable[[], datetime]
) -> Fetched:
    """The step's context on this disk. Raises StepFailed, or Canceled when the attempt is."""
    if contexts is None:
        raise fail(Reason.INVALID, f"this runner fetches no contexts: {shown(line.context)}")

    def notice(text: str) -> None:
        attempt.emit(Notice(at=now(), message=text, level="warning", step=step.id))

    attempt.log.write(step.id, 1, f"fetching {shown(line.context)}\n".encode())
    try:
        fetched = contexts.fetch(line.context, stop=attempt.cancel, notice=notice)
    except Interrupted:
        raise Canceled from None
    except InvalidInput as error:
        raise fail(Reason.INVALID, error.message, hint=error.hint or "") from None
    except Unreachable as error:
        raise fail(Reason.BUILD, error.message, hint=error.hint or "", retryable=True, unreachable=True) from None
    what = fetched.commit or fetched.digest
    attempt.log.write(step.id, 1, f"fetched {what}\n".encode())
    return fetched


def remote_dockerfile(line: BuildLine, folder: Path) -> str:
    """The path of the Dockerfile in a fetched context; what `-f` names is looked up there and nowhere else."""
    name = posixpath.normpath(line.dockerfile or "Dockerfile")
    if name.startswith(("/", "../")) or name == "..":
        raise fail(
            Reason.INVALID, f"the Dockerfile {line.dockerfile} lies outside of the context {shown(line.context)}",
            hint="name a path below the context's folder",
        )  # fmt: skip
    from taskengine.context.tree import inside

    try:
        inside(folder, name)
    except InvalidInput as error:
        raise fail(Reason.INVALID, error.message) from None
    return name
