"""Errors as a person reads them: where, what, the line itself, and what to do. Text only; prints to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from taskengine.cli.name import PROGRAM
from taskengine.errors import InvalidTask, Problem, Severity, TaskEngineError

if TYPE_CHECKING:
    import click

#: a line longer than this is shown around its column only
WIDEST = 160


def problem_text(problem: Problem) -> str:
    """The whole of a problem, several lines, no newline at the end."""
    place = f"{problem.location}: " if problem.location is not None else ""
    code = f" [{problem.code}]" if problem.code else ""
    lines = [f"{place}{problem.severity.value}: {_one_line(problem.message)}{code}"]
    if problem.location is not None and problem.source_line is not None:
        lines += _source(problem.source_line, problem.location.line, problem.location.column)
    lines += [f"  {location}: {_one_line(words)}" for words, location in problem.related]
    if problem.hint:
        lines.append(f"hint: {_one_line(problem.hint)}")
    return "\n".join(lines)


def problem_json(problem: Problem) -> dict[str, object]:
    """A problem as plain data, for `-o json`."""
    out: dict[str, object] = {
        "severity": problem.severity.value,
        "message": problem.message,
    }
    if problem.code:
        out["code"] = problem.code
    if problem.location is not None:
        out |= {
            "file": problem.location.file,
            "line": problem.location.line,
            "column": problem.location.column,
        }
    if problem.hint:
        out["hint"] = problem.hint
    if problem.related:
        out["related"] = [
            {"message": words, "file": place.file, "line": place.line, "column": place.column}
            for words, place in problem.related
        ]
    return out


def report_problems(problems: Iterable[Problem]) -> None:
    for problem in problems:
        print(problem_text(problem), file=sys.stderr)


def report_error(error: TaskEngineError) -> int:
    """Print the error and return its exit code."""
    if isinstance(error, InvalidTask) and error.problems:
        report_problems(error.problems)
        count = sum(p.severity is Severity.ERROR for p in error.problems)
        if count > 1:
            print(f"{count} errors", file=sys.stderr)
    else:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
    return error.exit_code


def report_usage(error: click.ClickException) -> int:
    """A wrong command line, in the words of all other errors."""
    import click

    ctx = getattr(error, "ctx", None)
    near = _near_options(error)
    # click names similar options in the message itself; we say it once, as a hint
    message = error.message if isinstance(error, click.NoSuchOption) else error.format_message()
    print(f"error: {message[:1].lower()}{message[1:].rstrip('.')}", file=sys.stderr)
    if near:
        print(f"hint: did you mean {' or '.join(near)}?", file=sys.stderr)
    else:
        command = ctx.command_path if ctx is not None else PROGRAM
        print(f"hint: '{command} --help' shows how it is used", file=sys.stderr)
    return 2


def _near_options(error: click.ClickException) -> list[str]:
    """The nearest options to a wrong one."""
    import click

    if not isinstance(error, click.NoSuchOption):
        return []
    from difflib import get_close_matches

    known: list[str] = []
    if error.ctx is not None:
        known = [name for p in error.ctx.command.get_params(error.ctx) for name in (*p.opts, *p.secondary_opts)]
    return get_close_matches(error.option_name, [k for k in known if k.startswith("-")], n=2, cutoff=0.6)


def _source(line: str, number: int, column: int) -> list[str]:
    """The line with its number, and a caret under the column. Tabs become one blank so that the caret stays true."""
    text = "".join(c if c.isprintable() else " " for c in line)
    start = 0
    if len(text) > WIDEST:
        start = max(0, min(column - WIDEST // 2, len(text) - WIDEST))
        text = text[start : start + WIDEST]
    head = f"{number:>5} | "
    at = min(max(column - 1 - start, 0), len(text))
    return [f"{head}{text.rstrip()}", f"{'':>5} | {'':>{at}}^"]


def _one_line(text: str) -> str:
    """Messages may quote a stranger's text: no control characters reach the terminal, no line pretends to be ours."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text).replace("\n", "\n  ")
