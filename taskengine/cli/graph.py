"""`acr-task graph`: which task makes which image, and which stands on it."""

from __future__ import annotations

import click

from taskengine.cli.base import PATH, Command, Option, output_option
from taskengine.cli.option import TaskOptions, task_options


@click.command(
    cls=Command,
    examples=[
        ("acr-task graph tasks/*.yaml", "the tasks and their images, for people"),
        ("acr-task graph tasks/*.yaml -o mermaid", "a picture for Markdown"),
        ("acr-task graph --all tasks/*.yaml -o dot | dot -Tsvg > images.svg", "with build stages and commands"),
    ],
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=PATH)
@click.option(
    "--all", "watch_all", cls=Option, is_flag=True, help="All that steps stand on, not only the images' runtime bases."
)
@task_options
@output_option("text", "json", "yaml", "mermaid", "dot")
def graph(files: tuple[str, ...], watch_all: bool, options: TaskOptions, output: str) -> None:
    """Show which task makes which image, and which stands on it.

    Each file is a task of the file's name. Dockerfiles are read beside the task file, and no registry is asked. Values
    are given as to 'run'; an id and a registry are made up where none is given, the same ones for all files.
    """
    from taskengine.cli.imagegraph import graph_json, graph_of
    from taskengine.cli.plan import hidden
    from taskengine.cli.view.form import json_text, yaml_text
    from triggers import graphdraw

    found, hide = graph_of(files, options, watch_all=watch_all)
    if output in ("json", "yaml"):
        data = hidden(graph_json(found), hide)
        click.echo(json_text(data) if output == "json" else yaml_text(data))
        return
    forms = {"text": graphdraw.graph_text, "mermaid": graphdraw.graph_mermaid, "dot": graphdraw.graph_dot}
    click.echo(hide(forms[output](found)).rstrip("\n"))
