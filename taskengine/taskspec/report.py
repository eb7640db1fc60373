"""Collects the problems of a file, so that an author sees all of them at once and not one a time.

Knows nothing of tasks. Secrets that are known by then are taken out of every message.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache

from taskengine.errors import InvalidTask, Location, Problem, Severity
from taskengine.lightpattern import pattern
from taskengine.taskspec.source import Source

#: shorter secrets are not looked for in messages: they would only make them unreadable
_SHORTEST_SECRET = 4
#: nobody reads more hints than this
_MOST_GUESSES = 50
_NUMBER = pattern(r"\d+")

Related = tuple[tuple[str, Location], ...]


class Report:
    """The problems found so far. With `strict`, warnings are errors."""

    def __init__(self, *sources: Source, strict: bool = False) -> None:
        self.strict = strict
        self.secrets: tuple[str, ...] = ()
        self._sources = {source.file: source for source in sources}
        self._problems: dict[tuple[str, Location | None, str], Problem] = {}
        self.errors = 0
        self._guesses = 0

    def nearest(self, word: str, known: Iterable[str]) -> str | None:
        """A hint that names the nearest known word, if one is near. Guessing costs, so it ends after a while."""
        self._guesses += 1
        return did_you_mean(word, known) if self._guesses <= _MOST_GUESSES else None

    def know(self, source: Source) -> None:
        """Let the report quote lines of one more file."""
        self._sources.setdefault(source.file, source)

    def error(
        self, code: str, message: str, at: Location | None, *, hint: str | None = None, related: Related = ()
    ) -> None:
        self._add(Severity.ERROR, code, message, at, hint, related)

    def warning(
        self, code: str, message: str, at: Location | None, *, hint: str | None = None, related: Related = ()
    ) -> None:
        self._add(Severity.ERROR if self.strict else Severity.WARNING, code, message, at, hint, related)

    def _add(
        self, severity: Severity, code: str, message: str, at: Location | None, hint: str | None, related: Related
    ) -> None:
        message = self._masked(message)
        # a template's loop repeats the author's one mistake, for step after step
        key = (code, at, _NUMBER.sub("0", message) if at else message)
        if key in self._problems:
            return
        source = self._sources.get(at.file) if at else None
        self._problems[key] = Problem(
            code=code,
            message=message,
            location=at,
            hint=self._masked(hint) if hint else None,
            source_line=source.line(at.line) if source and at else None,
            severity=severity,
            related=related,
        )
        self.errors += severity is Severity.ERROR

    def _masked(self, text: str) -> str:
        for secret in self.secrets:
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return text

    @property
    def has_errors(self) -> bool:
        return self.errors > 0

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems in the order of the file; those without a place (command line, values) first."""
        return tuple(sorted(self._problems.values(), key=_order))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity is Severity.WARNING)

    def stop_on_errors(self, text: str) -> None:
        """Raise InvalidTask when there is any error."""
        if self.errors:
            raise InvalidTask(self.problems, text=text)


def _order(problem: Problem) -> tuple[str, int, int]:
    at = problem.location
    return ("", 0, 0) if at is None else (at.file, at.line, at.column)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint that names the nearest known word, if one is near."""
    return _nearest(word[:80], tuple(known))


@lru_cache(maxsize=512)
def _nearest(word: str, known: tuple[str, ...]) -> str | None:
    lower = {name.lower(): name for name in known}
    if word.lower() in lower:
        return f"did you mean '{lower[word.lower()]}'?"
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else None
