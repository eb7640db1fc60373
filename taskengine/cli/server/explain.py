"""`acr-task explain`: why a server queued a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from taskengine.cli.base import Command, output_option

#: what is said of a chain, and is no cause itself
_ASIDE = ("retry", "none", "cut", "gone", "again")


@click.command(
    cls=Command,
    examples=[
        ("acr-task explain ca4", "the chain of causes, in words"),
        ("acr-task explain ca4 -o json | jq '.causes[0]'", "what started it, as data"),
    ],
)
@click.argument("run", metavar="RUN")
@output_option("text", "json", "yaml")
def explain(run: str, output: str) -> int:
    """Say why a run was queued: what started it, and what led to that, back to the first cause.

    A line that stands further to the right led to the one above it.
    """
    from taskengine.cli.server.target import service
    from taskengine.cli.view.clean import plain_text
    from taskengine.cli.view.form import json_text, yaml_text

    with service() as api:
        found = api.to.get("runs", run, "explanation")
    if output == "text":
        click.echo("\n".join(plain_text(line) for line in lines(found)))
    else:
        click.echo(json_text(found) if output == "json" else yaml_text(found))
    return 0


def lines(found: Mapping[str, Any]) -> list[str]:
    """An explanation for people. Pure."""
    whose = f"of task {found['task']}" if found.get("task") else f"of {found['owner']}"
    out = [f"run {found['runId']} {whose}, queued {found['createTime']}: {found['status']}"]
    if found.get("context"):
        out.append(f"  with the context {found['context']}")
    if found.get("isCoalesced"):
        out.append("  several things asked for this one run:")
    for cause in found["causes"]:
        told = [
            f"event {cause['event']}" if cause.get("event") else "",
            f"wave {cause['wave']}" if cause.get("wave") else "",
            str(cause["at"]) if cause.get("at") else "",
        ]
        more = ", ".join(word for word in told if word)
        indent = "  " * (cause["depth"] + 1)
        because = "" if cause["kind"] in _ASIDE else "because "
        out.append(f"{indent}{because}{cause['text']}" + (f" ({more})" if more else ""))
    return out
