"""`acr-task waves`: what changed images have rebuilt, and how far that is."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from taskengine.cli.base import Command, LazyGroup, Option, output_option
from taskengine.cli.server.answer import Row, answer, listed, time_text

_HERE = "taskengine.cli.server.wave"
TABLE = {
    "list": (f"{_HERE}:list_waves", "List waves, the newest first."),
    "show": (f"{_HERE}:show", "Show the tasks of a wave, their runs, and why each ended so."),
}
EXAMPLES = (
    ("acr-task waves list --state open", "what is being rebuilt now"),
    ("acr-task waves show 3", "its tasks in their order"),
)
_WAVE = ("WAVE", "STATE", "OPENED", "IMAGES", "TASKS")
_MEMBER = ("LEVEL", "TASK", "STATE", "RUN", "WAITS FOR", "REASON")
_ORDER = ("started", "ready", "waiting", "changed", "unchanged", "failed", "stopped")


@click.group(cls=LazyGroup, table=TABLE, examples=EXAMPLES)
def waves() -> None:
    """Waves of rebuilds on a server. A changed image leads to one: each task that stands on it, by whatever way, runs
    once, after its parents."""


@click.command(
    cls=Command,
    name="list",
    examples=[("acr-task waves list", "the newest first"), ("acr-task waves list --state open", "those under way")],
)
@click.option("--state", cls=Option, type=click.Choice(["open", "over"]), help="Only waves in this state.")
@click.option("--top", cls=Option, type=click.IntRange(min=1), default=15, show_default=True, help="So many at most.")
@listed
def list_waves(state: str | None, top: int, output: str) -> int:
    """List waves, the newest first."""
    from taskengine.cli.server.target import service

    with service() as api:
        found = list(api.list("waves", filters={"state": state}, top=top))
    answer(output, found, _WAVE, [_wave_row(one) for one in found])
    return 0


@click.command(
    cls=Command,
    examples=[
        ("acr-task waves show 3", "each task on a line"),
        ("acr-task waves show 3 -o json | jq .tasks", "how many are how far"),
    ],
)
@click.argument("number", metavar="WAVE", type=click.IntRange(min=1))
@output_option("table", "json", "yaml", "tsv")
def show(number: int, output: str) -> int:
    """Show the tasks of a wave in their order, with their runs, and why each ended as it did."""
    from taskengine.cli.server.target import service
    from taskengine.cli.view.clean import plain_text

    with service() as api:
        found = api.to.get("waves", str(number))
    if output == "table":
        began = ", ".join(f"{one['image']} at {one['digest']} (event {one['event']})" for one in found["images"])
        print(plain_text(f"wave {number} is {found['state']}, began with {began}"), file=sys.stderr)
    answer(output, found, _MEMBER, [_member_row(one) for one in found["members"]])
    if output == "table":
        _warn(found)
    return 0


def _warn(found: Mapping[str, Any]) -> None:
    for cycle in found["cycles"]:
        print(f"warning: these tasks stand on each other, each is rebuilt once: {', '.join(cycle)}", file=sys.stderr)
    if found["leftOut"]:
        print(f"warning: {found['leftOut']} more tasks are left out: the wave is too large", file=sys.stderr)


def _wave_row(wave: Mapping[str, Any]) -> Row:
    tasks = wave["tasks"]
    counted = ", ".join(f"{tasks[state]} {state}" for state in _ORDER if tasks.get(state))
    images = ", ".join(dict.fromkeys(one["image"] for one in wave["images"]))
    return (str(wave["number"]), wave["state"], time_text(wave["opened"]), images, counted)


def _member_row(member: Mapping[str, Any]) -> Row:
    return (
        str(member["level"]),
        member["task"],
        member["state"],
        member.get("run") or "",
        ", ".join(member["parents"]),
        member["reason"],
    )
