"""`acr-task plan`: the compiled steps and what waits for what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from taskengine.cli.base import PATH, Command, Option, output_option
from taskengine.cli.option import TaskOptions, task_options


@click.command(
    cls=Command,
    examples=[
        ("acr-task plan task.yaml", "the steps, for people"),
        ("acr-task plan task.yaml -o json | jq '.steps[].needs'", "for programs"),
        ("acr-task plan task.yaml -o dot | dot -Tsvg > plan.svg", "a picture"),
    ],
)
@click.argument("file", metavar="FILE", type=PATH)
@task_options
@output_option("text", "json", "yaml", "mermaid", "dot", help="The form of the plan.")
@click.option("--show-secrets", cls=Option, is_flag=True, help="Print secrets instead of ***.")
def plan(file: str, options: TaskOptions, output: str, show_secrets: bool) -> None:
    """Show the steps of a task and which of them wait for which.

    What was not given of the run is empty, as for 'render'. Where the file would be a valid task but for a missing id
    or registry, both commands put made-up ones, and say so.
    """
    from taskengine.cli.printed import masked
    from taskengine.cli.report import report_problems
    from taskengine.cli.source import read_task
    from taskengine.cli.task import inputs_of, recording, shown_inputs
    from taskengine.taskspec.load import load_task

    text, name = read_task(file)
    inputs, _ = recording(inputs_of(options))
    loaded = load_task(text, file=name, inputs=shown_inputs(text, name, inputs))
    report_problems(loaded.warnings)
    hide = masked(options, loaded.secrets.values(), show=show_secrets)
    if output in ("json", "yaml"):
        from taskengine.cli.view.form import json_text, yaml_text
        from taskengine.plan.view import plan_json

        data = hidden(plan_json(loaded.plan), hide)
        click.echo(json_text(data) if output == "json" else yaml_text(data))
        return
    from taskengine.plan import draw

    drawing = {"text": draw.plan_text, "mermaid": draw.plan_mermaid, "dot": draw.plan_dot}[output]
    click.echo(hide(drawing(loaded.plan)).rstrip("\n"))


def hidden(data: Any, hide: Callable[[str], str]) -> Any:
    """The data with every text in it masked: before it is written as JSON, whose escapes would hide a secret."""
    if isinstance(data, str):
        return hide(data)
    if isinstance(data, dict):
        return {key: hidden(value, hide) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [hidden(value, hide) for value in data]
    return data
