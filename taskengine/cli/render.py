"""`acr-task render`: the task's text as it would run."""

from __future__ import annotations

import sys

import click

from taskengine.cli.base import PATH, Command, Option
from taskengine.cli.option import TaskOptions, task_options


@click.command(
    cls=Command,
    examples=[
        ("acr-task render task.yaml --values values.yaml --set tag=1.2", "with values"),
        ("acr-task render task.yaml --id cb1 --date 2024-03-05T06:07:08Z", "a rendering that can be repeated"),
        ("echo '{{ .Run.Registry }}' | acr-task render - -r registry.example.com", "try a template"),
    ],
)
@click.argument("file", metavar="FILE", type=PATH)
@task_options
@click.option("--no-aliases", cls=Option, is_flag=True, help="Render templates only; leave aliases as they are.")
@click.option("--show-secrets", cls=Option, is_flag=True, help="Print secrets instead of ***.")
def render(file: str, options: TaskOptions, no_aliases: bool, show_secrets: bool) -> None:
    """Print a task as it would run: aliases and templates replaced.

    The text is printed exactly; it need not be a valid task. What was not given of the run is empty, as for 'plan'.
    Where the file would be a valid task but for a missing id or registry, both commands put made-up ones, and say so.
    """
    from taskengine.cli.printed import masked
    from taskengine.cli.source import read_task
    from taskengine.cli.task import inputs_of, recording, shown_inputs
    from taskengine.taskspec.load import render_task

    text, name = read_task(file)
    inputs, fetched = recording(inputs_of(options))
    if not no_aliases:
        inputs = shown_inputs(text, name, inputs)
    rendered = render_task(text, file=name, inputs=inputs, aliases=not no_aliases)
    shown = masked(options, fetched.values(), show=show_secrets)(rendered)
    sys.stdout.flush()
    sys.stdout.buffer.write(shown.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()
