"""`acr-task simulate`: what a change would start, without doing it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from taskengine.cli.base import PATH, Command, Option, output_option
from taskengine.cli.option import TaskOptions, task_options
from taskengine.errors import InvalidInput

if TYPE_CHECKING:
    from triggers.waves import WavePlan

_PUSH = "With --push"


@click.command(
    cls=Command,
    examples=[
        ("acr-task simulate --image alpine:3", "what a new alpine:3 would rebuild on the server"),
        ("acr-task simulate --image alpine:3@sha256:... -o json", "this very one, compared with what is known"),
        ("acr-task simulate --push https://github.com/team/app.git main --path web/a.js", "who wants it"),
        ("acr-task simulate --at 2026-11-25T03:00:00Z", "which timers are due then"),
        ("acr-task simulate --image alpine:3 tasks/*.yaml", "of files, without a server"),
    ],
)
@click.argument("files", nargs=-1, metavar="[FILE...]", type=PATH)
@click.option("--image", "images", cls=Option, multiple=True, metavar="REF[@DIGEST]", help="An image that has changed.")
@click.option("--push", cls=Option, nargs=2, metavar="REPO REF",
              help="A push to a branch, refs/tags/NAME, or a pull request's refs/pull/N/head.")  # fmt: skip
@click.option("--at", cls=Option, metavar="RFC3339", help="A moment, for timers.")
@click.option(
    "--path", "paths", cls=Option, section=_PUSH, multiple=True, metavar="FILE", help="A changed file; repeatable."
)
@click.option("--author", cls=Option, section=_PUSH, default="", metavar="NAME", help="Who made the commit.")
@click.option("--message", cls=Option, section=_PUSH, default="", metavar="TEXT", help="The commit's message.")
@click.option(
    "--into", cls=Option, section=_PUSH, default="", metavar="BRANCH", help="Where a pull request wants to go (main)."
)
@click.option("--fork", "is_fork", cls=Option, section=_PUSH, is_flag=True, help="The pull request comes from a fork.")
@click.option(
    "--all",
    "watch_all",
    cls=Option,
    is_flag=True,
    help="Of files: all that steps stand on, not only the images' runtime bases.",
)
@task_options
@output_option("table", "json", "yaml", "tsv")
def simulate(
    files: tuple[str, ...], images: tuple[str, ...], push: tuple[str, str] | None, at: str | None,
    paths: tuple[str, ...], author: str, message: str, into: str, is_fork: bool, watch_all: bool,
    options: TaskOptions, output: str,
) -> None:  # fmt: skip
    """Show what a changed image, a push or a moment would start, in which order, and what would be held back.

    Without files it is asked about the tasks of the server; nothing is done there. What runs at level 0 would start at
    once; a rebuild that gives the same image as before stops what waits for it. With --commit, a push is known that was
    built before.

    With files, as for 'graph', it is asked about images only. It is taken for granted then that the change is one for
    the platforms of the tasks. Nothing is built, and no registry is asked.
    """
    given: dict[str, Any] = {"author": author, "message": message, "into": into, "isFork": is_fork}
    given |= {"paths": list(paths)} if paths else {}
    if sum(bool(one) for one in (images, push, at)) != 1:
        raise InvalidInput("ask about an image, a push or a time", hint="--image REF, --push REPO REF, or --at TIME")
    if not push and any(given.values()):
        raise InvalidInput("these options say something of a push", hint="add --push REPO REF")
    if files:
        if not images:
            raise InvalidInput("task files have no triggers for pushes and times", hint="leave the files out")
        _of_files(files, images, watch_all, options, output)
        return
    from taskengine.cli.imagegraph import check_without_files

    check_without_files(replace(options, commit="") if push else options, watch_all=watch_all)
    if len(images) > 1:
        raise InvalidInput("a server is asked about one image at a time", hint="give --image once")
    if push:
        body: dict[str, Any] = {"push": {**given, "commit": options.commit, "repository": push[0], "ref": push[1]}}
    elif at:
        from taskengine.cli.option import date

        body = {"at": date("--at", at).isoformat()}
    else:
        body = {"image": images[0]}
    _of_server(body, output)


def _of_server(body: Mapping[str, Any], output: str) -> None:
    from taskengine.cli.server.target import service
    from taskengine.cli.view.clean import plain_text
    from taskengine.cli.view.form import json_text, tsv_text, yaml_text

    with service() as api:
        found = api.to.post("simulate", body=body)
    if output in ("json", "yaml"):
        click.echo(json_text(found) if output == "json" else yaml_text(found))
    elif output == "tsv":
        rows = [(str(one["level"]), one["task"], ", ".join(one["waitsFor"]), one["reason"]) for one in found["runs"]]
        click.echo(
            tsv_text([*rows, *((f"held: {one['kind']}", one["task"], "", one["reason"]) for one in found["held"])])
        )
    else:
        click.echo("\n".join(plain_text(line) for line in lines(found)))


def lines(found: Mapping[str, Any]) -> list[str]:
    """A simulation for people. Pure."""
    from taskengine.cli.view.words import table

    runs = [(str(one["level"]), one["task"], ", ".join(one["waitsFor"]), _reason(one)) for one in found["runs"]]
    held = [(one["task"], one["kind"], one["reason"]) for one in found["held"]]
    out = [f"if {found['asked']}:"]
    out += ["", *table([("LEVEL", "TASK", "WAITS FOR", "WHY"), *runs])] if runs else ["", "no task would run"]
    out += ["", *table([("HELD BACK", "BY", "WHY"), *held])] if held else []
    return [*out, *(["", *(f"note: {text}" for text in found["notes"])] if found["notes"] else [])]


def _reason(run: Mapping[str, Any]) -> str:
    return str(run["reason"]) + ("; waits for approval" if run["needsApproval"] else "")


def _of_files(
    files: tuple[str, ...], images: tuple[str, ...], watch_all: bool, options: TaskOptions, output: str
) -> None:
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
