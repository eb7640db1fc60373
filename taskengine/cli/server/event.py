"""`acr-task events`: what asked a server for runs, what became of it, and what waits for a person."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from taskengine.cli.base import Command, LazyGroup, Option, output_option
from taskengine.cli.server.answer import EVENT, answer, event_row, listed
from taskengine.errors import InvalidInput

_HERE = "taskengine.cli.server.event"
TABLE = {
    "list": (f"{_HERE}:list_events", "List events, the newest first."),
    "show": (f"{_HERE}:show", "Show an event, and what it led to."),
    "replay": (f"{_HERE}:replay", "Work on events again, as if they had just come."),
    "approve": (f"{_HERE}:approve", "Start what waits for a person."),
    "refuse": (f"{_HERE}:refuse", "Never start what waits for a person."),
}
EXAMPLES = (
    ("acr-task events list --state waiting", "pull requests from forks that wait for approval"),
    ("acr-task events show 12", "why an event started nothing"),
    ("acr-task events approve 12", "run it, without the task's secrets"),
)
STATES = ("received", "queued", "waiting", "noted", "ignored", "failed", "refused")

numbers = click.argument("numbers", nargs=-1, required=True, metavar="EVENT...", type=click.IntRange(min=1))


@click.group(cls=LazyGroup, table=TABLE, examples=EXAMPLES)
def events() -> None:
    """Whatever asked a server for runs: webhooks, notifications of registries, what polling found, timers.

    Each event is kept as it came, with what it led to or why it led to nothing, for 30 days.
    """


@click.command(
    cls=Command,
    name="list",
    examples=[
        ("acr-task events list -n app", "what came for a task"),
        ("acr-task events list --state failed --from 2026-11-24T00:00:00Z", "what went wrong today"),
    ],
)
@click.option(
    "-n", "--name", cls=Option, metavar="NAME", help="Only events for this task, or that led to something for it."
)
@click.option("--state", cls=Option, type=click.Choice(STATES), help="Only events in this state.")
@click.option(
    "--source", cls=Option, metavar="WORD", help="Only events that came by this door, such as github or timer."
)
@click.option("--from", "since", cls=Option, metavar="RFC3339", help="Only events that came then, or later.")
@click.option("--to", "until", cls=Option, metavar="RFC3339", help="Only events that came then, or earlier.")
@click.option("--top", cls=Option, type=click.IntRange(min=1), default=15, show_default=True, help="So many at most.")
@listed
def list_events(
    name: str | None, state: str | None, source: str | None, since: str | None, until: str | None, top: int, output: str
) -> int:
    """List events, the newest first."""
    from taskengine.cli.option import date
    from taskengine.cli.server.target import service

    filters: dict[str, Any] = {"task": name, "state": state, "source": source}
    filters["from"] = date("--from", since).isoformat() if since else None
    filters["to"] = date("--to", until).isoformat() if until else None
    with service() as api:
        found = list(api.list("events", filters=filters, top=top))
    answer(output, found, EVENT, [event_row(one) for one in found])
    return 0


@click.command(
    cls=Command,
    examples=[
        ("acr-task events show 12", "what became of it"),
        ("acr-task events show 12 -o json | jq -r .body", "what stood in it"),
    ],
)
@click.argument("number", metavar="EVENT", type=click.IntRange(min=1))
@output_option("text", "json", "yaml")
def show(number: int, output: str) -> int:
    """Show an event: whom it was for, what it led to for each task, and why.

    'json' and 'yaml' have its headers and its body, too, where the token's role may read them.
    """
    from taskengine.cli.server.target import service

    with service() as api:
        found = api.to.get("events", str(number))
    return _shown(output, found)


@click.command(
    cls=Command,
    examples=[("acr-task events replay 12", "queue again what it queued before, or what went wrong")],
)
@numbers
def replay(numbers: tuple[int, ...]) -> int:
    """Work on events again, as if they had just come. What they started before, they start again.

    What they lead to is in 'acr-task events show' a moment later.
    """
    from taskengine.ambient import Ambient
    from taskengine.cli.server.quick import again
    from taskengine.cli.server.target import service

    with service() as api:
        for number in numbers:
            key = Ambient.system().new_id()
            again(partial(api.to.post, "events", str(number), "replay", key=key))
            print(f"event {number} is worked on again", file=sys.stderr)
    return 0


@click.command(cls=Command, examples=[("acr-task events approve 12", "run a pull request from a fork")])
@numbers
def approve(numbers: tuple[int, ...]) -> int:
    """Start what waits for a person: the run of a pull request from a fork. It gets no secrets of the task.

    Look at the pull request first: its code runs on your workers. The run's id goes to standard output.
    """
    from taskengine.cli.server.target import service

    with service() as api:
        for number in numbers:
            found = api.to.post("events", str(number), "approve")
            runs = [one["run"] for one in found["outcomes"] if one.get("run")]
            if not runs:
                raise InvalidInput(f"event {number} started nothing: {found['reason']}")
            for run in runs:
                print(run)
    return 0


@click.command(cls=Command, examples=[("acr-task events refuse 12 --reason 'not ours'", "it stays in the ledger")])
@numbers
@click.option("--reason", cls=Option, default="", metavar="TEXT", help="Why, for those who look later.")
def refuse(numbers: tuple[int, ...], reason: str) -> int:
    """Never start what waits for a person."""
    from taskengine.cli.server.target import service

    with service() as api:
        for number in numbers:
            api.to.post("events", str(number), "refuse", body={"reason": reason})
            print(f"event {number} is refused", file=sys.stderr)
    return 0


def _shown(output: str, event: Mapping[str, Any]) -> int:
    from taskengine.cli.view.clean import plain_text
    from taskengine.cli.view.form import json_text, yaml_text

    if output == "json":
        click.echo(json_text(event))
    elif output == "yaml":
        click.echo(yaml_text(event))
    else:
        click.echo("\n".join(plain_text(line) for line in event_lines(event)))
    return 0


def event_lines(event: Mapping[str, Any]) -> list[str]:
    """An event for people. Pure."""
    whom = f" for {event['task']}" if event.get("task") else ""
    lines = [
        f"event {event['number']} from {event['source']}{whom}, received {_time(event['received'])}",
        f"  {event['state']}: {event['reason']}" if event.get("reason") else f"  {event['state']}",
    ]
    for one in event.get("outcomes") or ():
        run = f" as {one['run']}" if one.get("run") else ""
        lines.append(f"  {one.get('task') or '-'}: {one['state']}{run}, {one['reason']}")
        lines += [f"    {name}: {value}" for name, value in sorted(one["facts"].items()) if _plain(name, value)]
    for one in event.get("history") or ():
        why = f": {one['detail']['reason']}" if one["detail"].get("reason") else ""
        lines.append(f"  {one['action'].partition('.')[2]} by {one['actor']} at {_time(one['at'])}{why}")
    return lines


def _plain(name: str, value: object) -> bool:
    return name not in ("kind", "event") and isinstance(value, str | int) and value != ""


def _time(text: str) -> str:
    from taskengine.cli.server.answer import time_text

    return time_text(text)
