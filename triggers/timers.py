"""Queues the runs of timers that are due. Any number of services may tick: an instant of a timer is fired by one.

What was missed while no service ran is left to each timer's policy: `skip` leaves it out; `once` (the default) runs
once for all of it, when the newest is at most an hour old; `all` makes up for each, the newest hundred of a week.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from taskengine.errors import InvalidInput
from taskengine.service.model import Task
from taskengine.service.services import Services
from taskengine.service.store import Connection, ledger, queue, secrets, tasks, ticks
from taskengine.service.submission import Asked, Overrides, of_task
from triggers.cron import between, next_after, zone_of

_log = logging.getLogger("triggers.timers")
#: how late a tick may be and still be on time
_PUNCTUAL = timedelta(minutes=2)
GRACE = timedelta(hours=1)
_BACK = timedelta(days=7)
_MOST = 100


def due_instants(timer: Mapping[str, Any], seen: datetime, now: datetime) -> list[datetime]:
    """The instants for which a timer has to run, by its policy. Pure. Raises InvalidInput."""
    policy = timer.get("missed") or "once"
    back = {"skip": _PUNCTUAL, "once": GRACE, "all": _BACK}[policy]
    zone = zone_of(timer.get("timeZone") or "")
    found = list(between(timer["schedule"], max(seen, now - back), now, zone))
    return found[-_MOST:] if policy == "all" else found[-1:]


class Timers:
    """Remembers when each timer is next due, so that a tick costs little."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._next: dict[tuple[str, str, str], datetime | None] = {}

    def tick(self) -> list[str]:
        """Queues what is due. Returns the runs."""
        now = self._services.now()
        made: list[str] = []
        present = set()
        for task, timer in self._all():
            spelled = f"{timer['schedule']} {timer.get('timeZone') or 'UTC'}"
            key = (task.name, timer["name"], spelled)
            present.add(key)
            if key in self._next and ((due := self._next[key]) is None or due > now):
                continue
            try:
                made += self._look(task, timer, spelled, now)
                self._next[key] = next_after(timer["schedule"], now, zone_of(timer.get("timeZone") or ""))
            except InvalidInput as error:  # a time zone that this machine has not; the others' timers go on
                _log.warning("timer %s of task %s: %s", timer["name"], task.name, error.message)
                self._next[key] = None
        self._next = {key: value for key, value in self._next.items() if key in present}
        if made:
            self._services.bell.tell("queue")
        return made

    def _all(self) -> Iterator[tuple[Task, Mapping[str, Any]]]:
        cursor = None
        while True:
            with self._services.database.read() as conn:
                page = tasks.page(conn, top=100, cursor=cursor)
            for task in page.tasks:
                for timer in (task.document.get("trigger") or {}).get("timerTriggers") or ():
                    if task.enabled and timer.get("status", "Enabled") == "Enabled":
                        yield task, timer
            if not (cursor := page.cursor):
                return

    def _look(self, task: Task, timer: Mapping[str, Any], spelled: str, now: datetime) -> list[str]:
        def work(conn: Connection) -> list[str]:
            before = ticks.seen(conn, task.name, timer["name"])
            # a new timer, and one with another schedule, has missed nothing
            since = before[1] if before and before[0] == spelled else now
            made = [self._fire(conn, task, timer, one, now) for one in due_instants(timer, since, now)]
            if before is None or before[0] != spelled or now > since:
                ticks.advance(conn, task.name, timer["name"], spelled, now)
            return [run for run in made if run]

        return self._services.database.transact(work)

    def _fire(self, conn: Connection, task: Task, timer: Mapping[str, Any], instant: datetime, now: datetime) -> str:
        """The run of one instant; empty when another service has it, or when it cannot be queued."""
        services, name = self._services, timer["name"]
        if not ticks.fire(conn, task.name, name, instant, now):
            return ""
        at = instant.isoformat().replace("+00:00", "Z")
        body = json.dumps({"timer": name, "schedule": timer["schedule"], "instant": at}).encode()
        event, _ = ledger.record(
            conn, source="timer", task=task.name, headers={}, body=body, now=now, delivery=f"{name[:150]}@{at}"
        )
        return _queue(services, conn, event.number, task, Instant(timer=name, at=at), now)


@dataclass(frozen=True, kw_only=True, slots=True)
class Instant:
    """A timer's name, and when it was due (RFC 3339)."""

    timer: str
    at: str


def again(services: Services, conn: Connection, event: ledger.Event) -> bool:
    """Work on a timer's event anew, which somebody replayed. Whether a run was queued. Raises InvalidInput for an event
    that is no timer's, and NotFound when its task is gone."""
    try:
        said = json.loads(event.body)
        instant = Instant(timer=str(said["timer"]), at=str(said["instant"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput("this is no event of a timer") from error
    task = tasks.get(conn, event.task)
    return bool(_queue(services, conn, event.number, task, instant, services.now()))


def _queue(services: Services, conn: Connection, event: int, task: Task, instant: Instant, now: datetime) -> str:
    """The run of an instant, with the outcome that tells of it; empty when it cannot be queued."""
    cause = {"kind": "timer", "event": event, "timerTriggerName": instant.timer, "scheduleOccurrence": instant.at}
    key = f"timer:{task.name}:{instant.timer}:{instant.at}"
    outcome, before = ledger.claim(conn, event, task=task.name, key=key, facts=cause, now=now)
    if not outcome:
        ledger.settle(conn, event, "ignored", before, now=now)
        return ""
    reason = f"the timer {instant.timer} was due at {instant.at}"
    try:
        kept = secrets.get(conn, services.box, "task", task.name)
        asked = Asked(owner=task.owner, now=now, cause=(cause,))
        request, _ = of_task(task, kept, Overrides(facts={"triggered_by": "Timer"}), asked, services.settings)
    except InvalidInput as error:
        ledger.conclude(conn, outcome, "failed", error.message)
        ledger.settle(conn, event, "failed", error.message, now=now)
        return ""
    run, _ = queue.enqueue(conn, request, now=now, box=services.box)
    ticks.led_to(conn, task.name, instant.timer, datetime.fromisoformat(instant.at), run.id)
    ledger.conclude(conn, outcome, "queued", reason, run=run.id)
    ledger.settle(conn, event, "queued", f"{run.id}: {reason}", now=now)
    return run.id
