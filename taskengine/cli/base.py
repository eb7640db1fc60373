"""The shape of our commands: loaded when needed, grouped options, examples in the help, did-you-mean.

Knows click and nothing of tasks.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from taskengine.errors import InvalidInput

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])

#: click gives every command `--help`; we name it in the same words everywhere
CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


#: names of files and folders, so that a shell completes them; whether they exist is looked at where they are opened
PATH = click.Path(allow_dash=True)
FOLDER = click.Path(file_okay=False)


class Option(click.Option):
    """An option that stands under a heading of its own in the help."""

    def __init__(self, *args: Any, section: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


def output_option(
    *forms: str,
    help: str = "The form of the answer.",  # noqa: A002 - as click calls it
    section: str = "Options",
) -> Callable[[F], F]:
    """`-o/--output` with these forms, the first of which is the default."""
    return click.option(
        "-o", "--output", cls=Option, section=section, type=click.Choice(forms), default=forms[0], show_default=True,
        help=help,
    )  # fmt: skip


class Command(click.Command):
    """A command with examples, and options in sections. `examples` are pairs of a line and what it does."""

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", CONTEXT)
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def sections(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """The help records of all options by section, in the order declared."""
        out: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            # newer versions of click give arguments a record as well; ours stand in the usage line
            if not isinstance(param, click.Option):
                continue
            record = param.get_help_record(ctx)
            if record is not None:
                out.setdefault(param.section if isinstance(param, Option) else "Options", []).append(record)
        return {name: rows for name, rows in out.items() if rows}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for name, rows in self.sections(ctx).items():
            with formatter.section(name):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        write_examples(formatter, self.examples)


def write_examples(formatter: click.HelpFormatter, examples: Iterable[tuple[str, str]]) -> None:
    rows = list(examples)
    if not rows:
        return
    with formatter.section("Examples"):
        for n, (line, what) in enumerate(rows):
            if n:
                formatter.write("\n")
            formatter.write(f"{'':>{formatter.current_indent}}# {what}\n")
            formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called. `table` maps a name to (module:attribute, help)."""

    def __init__(
        self, *args: Any, table: Mapping[str, tuple[str, str]], examples: Sequence[tuple[str, str]] = (), **kwargs: Any
    ) -> None:
        kwargs.setdefault("context_settings", CONTEXT)
        super().__init__(*args, **kwargs)
        self.table = dict(table)
        self.examples = tuple(examples)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - the table is ours
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names with the words of the table, whole: click would import every command and cut its text at 45 letters."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=text) for name, (_, text) in self.table.items() if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.table and not name.startswith("-") and not ctx.resilient_parsing:
            raise unknown("command", name, self.table, more=f"'{ctx.command_path} --help' lists all commands")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.table.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        write_examples(formatter, self.examples)


def unknown(what: str, name: str, known: Iterable[str], *, more: str = "") -> InvalidInput:
    """The error for a name that nobody knows, with the nearest names that somebody does."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else more
    return InvalidInput(f"unknown {what} '{name}'", hint=hint or None)
