"""`acr-task task timer`: when a stored task runs by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from taskengine.cli.base import Command, LazyGroup, Option, unknown
from taskengine.cli.server.answer import TIMER, answer, listed, name_option, timer_row
from taskengine.cli.server.stored import HOW, switch
from taskengine.errors import InvalidInput

_HERE = "taskengine.cli.server.timer"
TABLE = {
    "add": (f"{_HERE}:add", "Add a timer to a task."),
    "update": (f"{_HERE}:update", "Change a timer of a task."),
    "list": (f"{_HERE}:list_timers", "List the timers of a task."),
    "remove": (f"{_HERE}:remove", "Remove a timer from a task."),
}
Timers = list[dict[str, Any]]

timer_name = click.option("--timer-name", cls=Option, required=True, metavar="NAME", help="The timer's name.")
schedule_option = click.option("--schedule", cls=Option, metavar="CRON", help="Five fields, in the timer's time zone.")
zone_option = click.option("--time-zone", cls=Option, section=HOW, metavar="ZONE", help="Such as Europe/Berlin (UTC).")


@click.group(cls=LazyGroup, table=TABLE)
def timer() -> None:
    """The timers of a stored task."""


@click.command(
    cls=Command, examples=[("acr-task task timer add -n app --timer-name night --schedule '0 3 * * *'", "every night")]
)
@name_option
@timer_name
@schedule_option
@zone_option
@switch("--enabled", HOW, "Whether it fires (true).")
@listed
def add(
    name: str, timer_name: str, schedule: str | None, time_zone: str | None, enabled: bool | None, output: str
) -> int:
    """Add a timer to a task."""
    if not schedule:
        raise InvalidInput("a timer needs a schedule", hint="--schedule '0 3 * * *'")

    def change(timers: Timers) -> Timers:
        if any(one["name"] == timer_name for one in timers):
            raise InvalidInput(f"{name} has a timer {timer_name} already", hint="acr-task task timer update changes it")
        return [*timers, _with({"name": timer_name}, schedule, time_zone, enabled is not False)]

    return _changed(name, change, output)


@click.command(
    cls=Command,
    examples=[("acr-task task timer update -n app --timer-name night --enabled false", "pause it")],
)
@name_option
@timer_name
@schedule_option
@zone_option
@switch("--enabled", HOW, "Whether it fires.")
@listed
def update(
    name: str, timer_name: str, schedule: str | None, time_zone: str | None, enabled: bool | None, output: str
) -> int:
    """Change a timer of a task; what is not said stays."""

    def change(timers: Timers) -> Timers:
        _known(timers, timer_name)
        return [_with(one, schedule, time_zone, enabled) if one["name"] == timer_name else one for one in timers]

    return _changed(name, change, output)


@click.command(cls=Command, name="list", examples=[("acr-task task timer list -n app", "each timer on a line")])
@name_option
@listed
def list_timers(name: str, output: str) -> int:
    """List the timers of a task."""
    from taskengine.cli.server.target import service

    with service() as api:
        return _shown(api.task(name), output)


@click.command(cls=Command, examples=[("acr-task task timer remove -n app --timer-name night", "for good")])
@name_option
@timer_name
@listed
def remove(name: str, timer_name: str, output: str) -> int:
    """Remove a timer from a task."""

    def change(timers: Timers) -> Timers:
        _known(timers, timer_name)
        return [one for one in timers if one["name"] != timer_name]

    return _changed(name, change, output)


def _changed(name: str, change: Callable[[Timers], Timers], output: str) -> int:
    from taskengine.cli.server.target import service

    with service() as api:
        found = api.task(name)
        timers = change(_timers(found))
        patch = {"trigger": {"timerTriggers": timers}, "revision": found["revision"]}
        return _shown(api.update_task(name, patch), output)


def _shown(task: dict[str, Any], output: str) -> int:
    timers = _timers(task)
    answer(output, timers, TIMER, [timer_row(one) for one in timers])
    return 0


def _timers(task: dict[str, Any]) -> Timers:
    found = (task.get("trigger") or {}).get("timerTriggers") or ()
    return [{key: value for key, value in one.items() if value is not None} for one in found]


def _with(timer: dict[str, Any], schedule: str | None, zone: str | None, enabled: bool | None) -> dict[str, Any]:
    status = None if enabled is None else "Enabled" if enabled else "Disabled"
    said = {"schedule": schedule, "timeZone": zone, "status": status}
    return {**timer, **{key: value for key, value in said.items() if value is not None}}


def _known(timers: Timers, name: str) -> None:
    if all(one["name"] != name for one in timers):
        raise unknown("timer", name, [one["name"] for one in timers], more="acr-task task timer list lists them")
