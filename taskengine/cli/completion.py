"""`acr-task completion`: the script that teaches a shell our commands."""

from __future__ import annotations

import click

from taskengine.cli.base import Command
from taskengine.cli.name import COMPLETION

SHELLS = ("bash", "zsh", "fish")


@click.command(
    cls=Command,
    examples=[
        ('eval "$(acr-task completion bash)"', "complete in this shell (put the line into ~/.bashrc)"),
        ('eval "$(acr-task completion zsh)"', "the same for zsh (put the line into ~/.zshrc)"),
        ("acr-task completion fish > ~/.config/fish/completions/acr-task.fish", "complete in every fish"),
    ],
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    from taskengine.cli.app import app

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - the choice above allows only what click knows
    click.echo(kind(app, {}, "acr-task", COMPLETION).source())
