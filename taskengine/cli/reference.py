"""Writes docs/cli.md out of the commands themselves: `python -m taskengine.cli.reference > docs/cli.md`.

A test holds file and commands equal.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from taskengine.cli.app import TABLE, app
from taskengine.cli.base import Command, LazyGroup

_HEAD = """\
# Command line

<!-- Made by `make docs`; do not edit by hand. -->

Logs go to standard output, the program's own words to standard error. `NO_COLOR` is honoured; in a pipe, and with
`TERM=dumb`, there are no colours and no live view. `ACR_TASK_DEBUG=1` shows the traceback of an unexpected error.

| exit code | meaning |
| --- | --- |
| 0 | succeeded |
| 1 | the run failed, timed out or was canceled |
| 2 | the input is wrong: usage, an invalid task, an unknown name |
| 3 | an engine, registry or server that the command, or the step that failed, needs cannot be reached |
| 130 | interrupted by the user (Ctrl-C, SIGTERM), after cleaning up |
"""


def reference() -> str:
    """The whole page."""
    root = click.Context(app, info_name="acr-task")
    parts = [_HEAD, "| command | what it does |\n| --- | --- |"]
    parts[-1] += "".join(f"\n| [`acr-task {name}`](#acr-task-{name}) | {text} |" for name, (_, text) in TABLE.items())
    parts[-1] += "\n"
    parts += _commands(app, root)
    return "\n".join(parts)


def _commands(group: click.Group, parent: click.Context) -> Iterator[str]:
    """A section for each command; those of a group follow it."""
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        assert isinstance(command, Command | LazyGroup)  # noqa: S101 - the table is ours
        ctx = click.Context(command, parent=parent, info_name=name, **command.context_settings)
        if isinstance(command, Command):
            yield _command(command, ctx)
            continue
        yield f"## {ctx.command_path}\n\n{inspect.cleandoc(command.help or '')}\n"
        yield from _commands(command, ctx)


def _command(command: Command, ctx: click.Context) -> str:
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    text = inspect.cleandoc(command.help or "")
    lines = [f"## {ctx.command_path}", "", text, "", "```", usage, "```", ""]
    for section, rows in command.sections(ctx).items():
        lines += [f"| {section} | |", "| --- | --- |"]
        lines += [f"| `{_cell(option)}` | {_cell(words)} |" for option, words in rows]
        lines.append("")
    if command.examples:
        lines.append("```sh")
        for line, what in command.examples:
            lines += [f"# {what}", line]
        lines += ["```", ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
