"""`acr-task simulate`: what a change would start, without doing it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from taskengine.cli.base import PATH, Command, Option, output_option
from taskengine.cli.option import TaskOptions, task_options

if TYPE_CHECKING:
    from triggers.waves import WavePlan


@click.command(
    cls=Command,
    examples=[
        ("acr-task simulate --image alpine:3 tasks/*.yaml", "what a new alpine:3 would rebuild"),
        ("acr-task simulate --all --image golang:1.22 tasks/*.yaml -o json", "build stages count, too"),
    ],
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=PATH)
@click.option(
    "--image", "images", cls=Option, multiple=True, required=True, metavar="REF", help="An image that has changed."
)
@click.option(
    "--all", "watch_all", cls=Option, is_flag=True, help="All that steps stand on, not only the images' runtime bases."
)
@task_options
@output_option("table", "json", "yaml", "tsv")
def simulate(
    files: tuple[str, ...], images: tuple[str, ...], watch_all: bool, options: TaskOptions, output: str
) -> None:
    """Show what a changed image would rebuild, and in which order.

    It is taken for granted that the change is one for the platforms of the tasks, and that each rebuild gives a new
    image. Nothing is built, and no registry is asked. Tasks come from files, as for 'graph'.
    """
    from taskengine.cli.imagegraph import graph_of
    from taskengine.cli.plan import hidden
    from taskengine.cli.view.form import json_text, tsv_text, yaml_text
    from taskengine.cli.view.words import table
    from taskengine.registry.reference import ImageReference
    from triggers.imagegraph import named
    from triggers.waves import plan_wave

    changed = [named(ImageReference.parse(image)) for image in images]
    graph, hide = graph_of(files, options, watch_all=watch_all)
    plan = plan_wave(graph, changed)
    data = hidden(wave_json(plan), hide)
    if output in ("json", "yaml"):
        click.echo(json_text(data) if output == "json" else yaml_text(data))
    else:
        rows = [
            (str(one["level"]), one["task"], ", ".join(one["parents"]), ", ".join(one["images"]))
            for one in data["members"]
        ]
        if output == "tsv":
            click.echo(tsv_text(rows))
        elif rows:
            click.echo("\n".join(table([("LEVEL", "TASK", "WAITS FOR", "STANDS ON"), *rows])))
        else:
            print("no task would be rebuilt", file=sys.stderr)
    for cycle in data["cycles"]:
        print(f"warning: these tasks stand on each other, each is rebuilt once: {', '.join(cycle)}", file=sys.stderr)
    if plan.left_out:
        print(f"warning: {plan.left_out} more tasks are left out: the wave is too large", file=sys.stderr)


def wave_json(plan: WavePlan) -> dict[str, Any]:
    """The plan as plain data."""
    return {
        "images": list(plan.images),
        "members": [
            {"task": one.task, "level": one.level, "parents": list(one.parents), "images": list(one.images)}
            for one in plan.members
        ],
        "cycles": [list(cycle) for cycle in plan.cycles],
        "leftOut": plan.left_out,
    }
