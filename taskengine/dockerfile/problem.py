"""What can be wrong with a Dockerfile: the codes, and the one way to make a problem of one."""

from __future__ import annotations

from dataclasses import field

from taskengine.dockerfile.model import Source
from taskengine.errors import Problem, Severity
from taskengine.lightclass import dataclass

#: every code of this package and what it stands for; docs/problems.md has an entry for each
CODES = {
    "E701": "the Dockerfile has no FROM",
    "E702": "an unknown instruction",
    "E703": "an instruction has the wrong arguments",
    "E704": "a flag of an instruction is wrong",
    "E705": "a parser directive is wrong",
    "E706": "a heredoc has no end",
    "E707": "a variable cannot be expanded",
    "E708": "an image reference is wrong",
    "E709": "a stage is wrong or not there",
    "E710": "a platform is wrong",
    "E711": "the file is too large, or no text",
    "W701": "an empty line inside a continued instruction",
    "W702": "something a builder refuses, but that does not hide any base image",
    "W703": "something that is not understood here and may be known to the file's own front end",
}


MOST_PROBLEMS = 100


@dataclass(slots=True)
class Problems:
    """Collects the problems of one file, so that all of them can be told at once."""

    source: Source
    found: list[Problem] = field(default_factory=list)
    counts: dict[Severity, int] = field(default_factory=dict)

    def add(
        self, code: str, message: str, line: int, *, hint: str | None = None, needle: str = "", last_line: int = 0
    ) -> None:
        severity = Severity.WARNING if code.startswith("W") else Severity.ERROR
        # Counted apart: no number of warnings may hide an error.
        self.counts[severity] = self.counts.get(severity, 0) + 1
        if self.counts[severity] > MOST_PROBLEMS:
            return
        place = self.source.place(line, needle, last_line)
        self.found.append(
            Problem(
                code=code,
                message=message,
                location=place,
                hint=hint,
                source_line=self.source.line(place.line),
                severity=severity,
            )
        )

    def add_elsewhere(self, code: str, message: str, *, hint: str | None = None) -> None:
        """A problem that stands in no line, such as a target that is not in the file."""
        self.counts[Severity.ERROR] = self.errors + 1
        self.found.append(Problem(code=code, message=message, hint=hint))

    @property
    def is_full(self) -> bool:
        """So many errors that more would help nobody; a file that is no Dockerfile is soon done with."""
        return self.errors >= MOST_PROBLEMS

    @property
    def errors(self) -> int:
        return self.counts.get(Severity.ERROR, 0)

    @property
    def has_errors(self) -> bool:
        return self.errors > 0

    def in_order(self) -> tuple[Problem, ...]:
        return tuple(sorted(self.found, key=lambda p: (p.location.line, p.location.column) if p.location else (0, 0)))
