"""Answers of a server as `az acr` prints them: columns of tasks and runs, and the forms of every answer.

The rows are pure; `answer` prints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from taskengine.cli.base import Option, output_option

Row = tuple[str, ...]

TASK = ("NAME", "PLATFORM", "STATUS", "SOURCE REPOSITORY", "TRIGGERS")
RUN = ("RUN ID", "TASK", "PLATFORM", "STATUS", "TRIGGER", "STARTED", "DURATION")
TIMER = ("NAME", "SCHEDULE", "STATUS", "TIME ZONE")
CREDENTIAL = ("LOGIN SERVER", "USER NAME", "KIND")
EVENT = ("EVENT", "SOURCE", "TASK", "STATE", "RECEIVED", "REASON")
TOKEN = ("ID", "NAME", "ROLE", "SCOPES", "WORKER", "CREATED", "EXPIRES")

#: a table for lists, JSON for one thing, as `az` prints them
listed = output_option("table", "json", "yaml", "tsv")
shown = output_option("json", "table", "yaml", "tsv")
name_option = click.option("-n", "--name", cls=Option, required=True, metavar="NAME", help="The task's name.")


def answer(output: str, data: Any, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Print data in the form that was asked for."""
    from taskengine.cli.view.clean import plain_text
    from taskengine.cli.view.form import json_text, tsv_text, yaml_text
    from taskengine.cli.view.words import table

    forms: dict[str, Callable[[], str]] = {
        "json": lambda: json_text(data),
        "yaml": lambda: yaml_text(data),
        "tsv": lambda: tsv_text(rows),
    }
    if output in forms:
        text = forms[output]()
    else:
        text = "\n".join(table([tuple(columns), *(tuple(plain_text(cell) for cell in row) for row in rows)]))
    if text:
        click.echo(text)


def task_row(task: Mapping[str, Any]) -> Row:
    trigger = task.get("trigger") or {}
    sources = trigger.get("sourceTriggers") or ()
    base = trigger.get("baseImageTrigger") or {}
    kinds = {
        "BASE_IMAGE": base.get("status") == "Enabled",
        "SOURCE": any(one.get("status") == "Enabled" for one in sources),
        "TIMER": any(one.get("status") == "Enabled" for one in trigger.get("timerTriggers") or ()),
    }
    repository = next((one["sourceRepository"]["repositoryUrl"] for one in sources if one.get("sourceRepository")), "")
    repository = repository or (task.get("step") or {}).get("contextPath") or ""
    triggers = ", ".join(name for name, there in sorted(kinds.items()) if there)
    return (task["name"], _platform(task), task.get("status", ""), repository, triggers)


def run_row(run: Mapping[str, Any]) -> Row:
    return (
        run["runId"],
        run.get("task") or "",
        _platform(run),
        run.get("status", ""),
        trigger_of(run),
        time_text(run.get("startTime")),
        duration_text(run.get("startTime"), run.get("finishTime")),
    )


def trigger_of(run: Mapping[str, Any]) -> str:
    """What started a run, in the words of `az acr`."""
    if source := run.get("sourceTrigger"):
        return str(source.get("eventType") or source.get("event") or "commit")
    if run.get("timerTrigger"):
        return "Timer"
    return "Image Update" if run.get("imageUpdateTrigger") else "Manual"


def timer_row(timer: Mapping[str, Any]) -> Row:
    return (timer["name"], timer["schedule"], timer.get("status", ""), timer.get("timeZone") or "UTC")


def credential_row(entry: tuple[str, Mapping[str, Any]]) -> Row:
    host, login = entry
    name, password = login.get("userName") or {}, login.get("password") or {}
    return (host, str(name.get("value") or ""), str(password.get("type") or name.get("type") or "Opaque"))


def event_row(event: Mapping[str, Any]) -> Row:
    return (
        str(event["number"]),
        event["source"],
        event.get("task") or "",
        event["state"],
        time_text(event["received"]),
        event.get("reason") or "",
    )


def token_row(token: Mapping[str, Any]) -> Row:
    return (
        token["id"],
        token["name"],
        token["role"],
        ", ".join(token.get("scopes") or ()),
        token.get("worker") or "",
        time_text(token.get("created")),
        time_text(token.get("expires")),
    )


def time_text(text: str | None) -> str:
    """A time in UTC to the second, as in 2024-03-05T06:07:08Z."""
    return _moment(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if text else ""


def duration_text(began: str | None, ended: str | None) -> str:
    """HH:MM:SS; empty for what is not over."""
    if not began or not ended:
        return ""
    seconds = max(0, round((_moment(ended) - _moment(began)).total_seconds()))
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _platform(of: Mapping[str, Any]) -> str:
    platform = of.get("platform") or {}
    words = (str(platform.get("os") or "").lower(), platform.get("architecture"), platform.get("variant"))
    return "/".join(str(word) for word in words if word)
