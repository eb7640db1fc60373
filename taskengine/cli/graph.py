"""`acr-task graph`: which task makes which image, and which stands on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from taskengine.cli.base import PATH, Command, Option, output_option
from taskengine.cli.option import TaskOptions, task_options

if TYPE_CHECKING:
    from triggers.imagegraph import ImageGraph


@click.command(
    cls=Command,
    examples=[
        ("acr-task graph", "the tasks of the server, and their images"),
        ("acr-task graph -o svg > images.svg", "as a picture"),
        ("acr-task graph tasks/*.yaml -o mermaid", "of files, for Markdown"),
        ("acr-task graph --all tasks/*.yaml", "with build stages and commands"),
    ],
)
@click.argument("files", nargs=-1, metavar="[FILE...]", type=PATH)
@click.option(
    "--all", "watch_all", cls=Option, is_flag=True, help="All that steps stand on, not only the images' runtime bases."
)
@task_options
@output_option("text", "json", "yaml", "mermaid", "dot", "svg")
def graph(files: tuple[str, ...], watch_all: bool, options: TaskOptions, output: str) -> None:
    """Show which task makes which image, and which stands on it.

    Without files, the tasks are those of the server; what they stand on is known from their making on, and exact after
    each of their runs. A task's own trigger says whether build stages count.

    Each file is a task of the file's name. Dockerfiles are read beside the task file, and no registry is asked. Values
    are given as to 'run'; an id and a registry are made up where none is given, the same ones for all files.
    """
    from taskengine.cli.plan import hidden
    from taskengine.cli.view.clean import plain_text
    from taskengine.cli.view.form import json_text, yaml_text

    data, hide = _of_files(files, options, watch_all) if files else _of_server(options, watch_all)
    if output in ("json", "yaml"):
        shown = hidden(data, hide)
        click.echo(json_text(shown) if output == "json" else yaml_text(shown))
        return
    from triggers.graphjson import graph_of_json

    found = graph_of_json(data)
    drawn = hide(_drawn(found, output)).rstrip("\n")
    if drawn:
        click.echo("\n".join(plain_text(line) for line in drawn.splitlines()))


def _of_files(files: tuple[str, ...], options: TaskOptions, watch_all: bool) -> tuple[Any, Callable[[str], str]]:
    from taskengine.cli.imagegraph import graph_of
    from triggers.graphjson import graph_json

    found, hide = graph_of(files, options, watch_all=watch_all)
    return graph_json(found), hide


def _of_server(options: TaskOptions, watch_all: bool) -> tuple[Any, Callable[[str], str]]:
    from taskengine.cli.imagegraph import check_without_files
    from taskengine.cli.server.target import service

    check_without_files(options, watch_all=watch_all)
    with service() as api:
        return api.to.get("graph"), lambda text: text


def _drawn(found: ImageGraph, output: str) -> str:
    if output == "svg":
        from triggers.graphsvg import graph_svg

        return graph_svg(found)
    from triggers import graphdraw

    forms = {"text": graphdraw.graph_text, "mermaid": graphdraw.graph_mermaid, "dot": graphdraw.graph_dot}
    return forms[output](found)
