"""The whole error tree, and the shape of a problem in somebody's file. Plain data; imports nothing of ours.

TaskEngineError
├── InvalidInput          the input is wrong: usage, invalid task, unknown name      (exit code 2)
│   ├── InvalidTask       ... with the list of problems in the file
│   ├── NotFound          ... it names what is not there
│   └── Conflict          ... it was right once: what it is about has changed meanwhile, or is there already
├── Unreachable           engine, registry, secret store or server cannot be reached (exit code 3)
│   └── OutOfSpace        ... or cannot keep anything more
├── RunnerError           the runner itself failed, not the step                     (exit code 1)
└── Interrupted           the user stopped it                                        (exit code 130)
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from taskengine.lightclass import dataclass


class Severity(Enum):
    """How bad a problem is. Only errors stop a task; `--strict` turns warnings into errors."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """A place in an author's file. Lines and columns count from 1, columns in characters."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something wrong in a file: what, where and how to mend it.

    `code` is stable (`E104`, `W201`, ...) and has an entry in docs/problems.md. `source_line` is the line itself.
    `related` names further places that belong to the problem, each with its own few words.
    """

    code: str
    message: str
    location: Location | None = None
    hint: str | None = None
    source_line: str | None = None
    severity: Severity = Severity.ERROR
    related: tuple[tuple[str, Location], ...] = ()


class TaskEngineError(Exception):
    """Base of every error that leaves this project. `hint` says what to do next; `exit_code` is the command's."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInput(TaskEngineError):
    """The input is wrong: usage, an invalid task, an unknown name."""

    exit_code = 2


class InvalidTask(InvalidInput):
    """A task file has errors. All of them are in `problems`, in the order of the file, warnings included."""

    def __init__(self, problems: tuple[Problem, ...], *, text: str = "") -> None:
        errors = [p for p in problems if p.severity is Severity.ERROR]
        super().__init__(errors[0].message if errors else "the task is invalid")
        self.problems = problems
        self.text = text


class NotFound(InvalidInput):
    """The input names something that is not there."""


class Conflict(InvalidInput):
    """What the input is about has changed meanwhile, is there already, or is in no state for it."""


class Unreachable(TaskEngineError):
    """Something the command needs cannot be reached: the engine, a registry, a secret store, a server."""

    exit_code = 3


class OutOfSpace(Unreachable):
    """A disk is full, so that nothing more can be kept."""


class RunnerError(TaskEngineError):
    """The runner itself failed, which is not the same as a step that failed. An infrastructure error."""


class Interrupted(TaskEngineError):
    """The user interrupted the command; what it had started has been cleaned up."""

    exit_code = 130
