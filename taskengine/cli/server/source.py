"""`acr-task task sources` and `task statuses`: what lies between a stored task and its forge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from taskengine.cli.base import Command, Option
from taskengine.cli.server.answer import Row, answer, listed, name_option

SOURCE = ("TRIGGER", "STATUS", "LAST CHECK", "NEXT CHECK", "WEBHOOK", "LAST DELIVERY", "ERROR")
STATUS = ("NUMBER", "RUN", "COMMIT", "TOLD", "STATE", "ATTEMPTS", "ERROR")
STATES = ("waiting", "delivered", "superseded", "dead")


@click.command(
    cls=Command,
    examples=[
        ("acr-task task sources -n app", "when its repository was asked for commits, and its webhook"),
        ("acr-task task sources -n app --retry", "ask now, and make the webhook that was given up"),
    ],
)
@name_option
@click.option("--retry", cls=Option, is_flag=True, help="Try again at once what went wrong.")
@listed
def sources(name: str, retry: bool, output: str) -> int:
    """Show how it goes with the source triggers of a task: when its repository was asked, webhooks, what went wrong."""
    from taskengine.cli.server.target import service

    with service() as api:
        if retry:
            found = api.to.post("tasks", name, "sources", "retry")["value"]
        else:
            found = api.to.get("tasks", name, "sources")["value"]
    answer(output, found, SOURCE, [source_row(one) for one in found])
    return 0


@click.command(
    cls=Command,
    examples=[
        ("acr-task task statuses -n app --state dead", "what its forge did not take"),
        ("acr-task task statuses -n app --replay 12", "tell it again"),
    ],
)
@name_option
@click.option("--state", cls=Option, type=click.Choice(STATES), help="Only those in this state.")
@click.option(
    "--replay", cls=Option, type=click.IntRange(min=1), metavar="NUMBER", help="Tell the forge this one again."
)
@click.option("--top", cls=Option, type=click.IntRange(min=1), default=15, show_default=True, help="So many at most.")
@listed
def statuses(name: str, state: str | None, replay: int | None, top: int, output: str) -> int:
    """List what forges were told of the runs of a task, the newest first."""
    from taskengine.cli.server.target import service

    with service() as api:
        if replay is not None:
            found = [api.to.post("tasks", name, "statuses", str(replay), "replay")]
        else:
            found = list(api.list("tasks", name, "statuses", filters={"state": state}, top=top))
    answer(output, found, STATUS, [status_row(one) for one in found])
    return 0


def source_row(one: Mapping[str, Any]) -> Row:
    """A source trigger as a line; the error is that of the webhook, or of the last check."""
    polling, webhook = one["polling"], one.get("webhook") or {}
    error = webhook.get("lastError") or polling.get("lastError") or ""
    checked = polling.get("lastCheck") or ("" if polling["enabled"] else "off")
    return (
        one["name"], one["status"], checked, polling.get("nextCheck") or "", webhook.get("state") or "none",
        one.get("lastDelivery") or "", error,
    )  # fmt: skip


def status_row(one: Mapping[str, Any]) -> Row:
    return (
        str(one["number"]), one["run"], one["commitId"][:12], one["told"], one["state"], str(one["attempts"]),
        one.get("lastError") or "",
    )  # fmt: skip
