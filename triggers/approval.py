"""A person decides about what waits for one: pull requests from forks, whose commits anybody may have written.

What is approved is the commit that the event names, and nothing that is pushed later. Its run gets no secrets, no
logins and no grants. Must not know HTTP.
"""

from __future__ import annotations

from taskengine.errors import Conflict, NotFound
from taskengine.service.caller import Caller
from taskengine.service.model import Run
from taskengine.service.services import Services
from taskengine.service.store import Connection, ledger, queue, secrets, tasks
from taskengine.service.store.signals import QUEUE
from taskengine.service.submission import Asked, of_task
from triggers.match import judge
from triggers.processor import cause_of, key_of, overrides_of, read, status_to
from triggers.sourcecontrol.model import Ignored


def approve(services: Services, caller: Caller, number: int) -> list[Run]:
    """Queues what waits of an event. Raises NotFound for an event or a task that is not there (or not the caller's),
    Conflict when nothing of it waits or its task is disabled, InvalidInput when its task cannot run without secrets."""

    def work(conn: Connection) -> list[Run]:
        event, held = _held(conn, caller, number)
        task = tasks.get(conn, event.task)
        kept = secrets.get(conn, services.box, "task", task.name)
        parsed = read(event, task.document)
        now = services.now()
        asked_at = now.isoformat().replace("+00:00", "Z")
        made = []
        for one in () if isinstance(parsed, Ignored) else parsed:
            outcome = held.get(ledger.digest(key_of(task.name, one)))
            if outcome is None:
                continue
            told = status_to(services, judge(task.document, one).trigger, kept)  # by the service: the run has no token
            cause = {**cause_of(number, one), **told, "approvedBy": caller.name, "approvedAt": asked_at}
            asked = Asked(owner=task.owner, now=now, cause=(cause,))
            request, _ = of_task(task, {}, overrides_of(task, one, untrusted=True), asked, services.settings)
            run, _ = queue.enqueue(conn, request, now=now, box=services.box)
            ledger.conclude(conn, outcome, "queued", f"approved by {caller.name}", run=run.id)
            made.append(run)
        if not made:
            raise Conflict(f"nothing of event {number} can be started any more", hint="replay it instead")
        names = ", ".join(run.id for run in made)
        ledger.settle(conn, number, "queued", f"{names}: approved by {caller.name}", now=now)
        services.note(conn, caller, "event.approve", f"events/{number}", task=task.name, runs=names)
        return made

    made = services.database.transact(work)
    services.bell.tell(QUEUE)
    return made


def refuse(services: Services, caller: Caller, number: int, *, reason: str = "") -> ledger.Event:
    """What waits of an event starts nothing. Raises NotFound, and Conflict when nothing of it waits."""

    def work(conn: Connection) -> ledger.Event:
        event, held = _held(conn, caller, number)
        why = f"refused by {caller.name}" + (f": {reason}" if reason else "")
        for outcome in held.values():
            ledger.conclude(conn, outcome, "ignored", why)
        ledger.settle(conn, number, "ignored", why, now=services.now())
        services.note(conn, caller, "event.refuse", f"events/{number}", task=event.task, reason=reason[:500])
        return ledger.get(conn, number)

    return services.database.transact(work)


def _held(conn: Connection, caller: Caller, number: int) -> tuple[ledger.Event, dict[str, int]]:
    """The event, and the outcomes of it that wait, by the digests of their keys. Nobody else decides meanwhile."""
    found = {key: outcome for outcome, key in ledger.waiting(conn, number)}
    event = ledger.get(conn, number)
    if not caller.in_scope(event.task):
        raise NotFound(f"there is no event {number}")
    if event.state != "waiting" or not found:
        raise Conflict(f"event {number} does not wait for approval: it is {event.state}", hint=event.reason or None)
    return event, found
