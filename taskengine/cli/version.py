"""`acr-task version`."""

from __future__ import annotations

import click

from taskengine.cli.base import Command, output_option


@click.command(
    cls=Command,
    examples=[
        ("acr-task version", "one line, for people"),
        ("acr-task version -o json", "with the Python it runs on, for scripts"),
    ],
)
@output_option("text", "json")
def version(output: str) -> None:
    """Print the version.

    Asks no engine: `acr-task doctor` does.
    """
    from taskengine import __version__

    if output == "text":
        click.echo(f"acr-task {__version__}")
        return
    import json
    import platform

    click.echo(
        json.dumps(
            {"version": __version__, "python": platform.python_version(), "platform": platform.platform()}, indent=2
        )
    )
