"""What is done with stored tasks: made, changed, shown, removed, run. Use cases; must not know HTTP.

Every change is in the audit log, in the same transaction. Secrets go into the store's box and come out for
workers only.
"""

from __future__ import annotations

import secrets as random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from taskengine.errors import InvalidInput, Problem
from taskengine.service import runs
from taskengine.service.caller import Caller
from taskengine.service.document import Parted, part
from taskengine.service.model import Run, Task
from taskengine.service.services import Services
from taskengine.service.store import Connection, secrets, tasks
from taskengine.service.submission import Asked, Overrides, of_task
from taskengine.service.taskcheck import check_document

_KIND = "task"


def create(
    services: Services, caller: Caller, name: str, sent: Mapping[str, Any]
) -> tuple[Task, str, tuple[Problem, ...]]:
    """A new task; the secret of its webhook, which is shown this once; and the warnings of its text. Raises
    InvalidInput, Conflict when there is one of this name, Forbidden for what only others may ask for."""
    caller.check_new_task(name)
    parted = part(sent)
    owner = sent.get("owner") or caller.name
    caller.check_owner(owner)
    caller.check_grants((), tuple(parted.document.get("grants") or ()))
    caller.check_priority(parted.document.get("priority", 0))
    webhook = parted.given.get("webhook") or random.token_urlsafe(32)
    kept = parted.secrets({}) | {"webhook": webhook}
    warnings = _check(services, name, parted, kept)
    enabled = sent.get("status", "Enabled") == "Enabled"

    def work(conn: Connection) -> Task:
        now = services.now()
        made = tasks.create(conn, name, parted.document, owner=owner, now=now, enabled=enabled)
        secrets.put(conn, services.box, _KIND, name, kept, now=now, replace=True)
        services.note(conn, caller, "task.create", name, revision=made.revision)
        return made

    return services.database.transact(work), webhook, warnings


def replace(
    services: Services, caller: Caller, name: str, sent: Mapping[str, Any], *, before: Task | None = None
) -> tuple[Task, tuple[Problem, ...]]:
    """A new document in place of the old one; secrets that it leaves out stay as they are. Raises NotFound, Conflict
    when it has changed since the revision that was sent (or since `before`), and what `create` raises."""
    caller.check_task(name)
    if sent.get("name") not in (None, name):
        raise InvalidInput(f"the task is called {name}", hint="a task cannot be renamed: make another one")
    before = before or show(services, caller, name)
    parted = part(sent)
    owner = sent.get("owner") or before.owner
    if owner != before.owner:
        caller.check_owner(owner)
    caller.check_grants(tuple(before.document.get("grants") or ()), tuple(parted.document.get("grants") or ()))
    caller.check_priority(parted.document.get("priority", 0), max(0, before.document.get("priority", 0)))
    with services.database.read() as conn:
        kept = secrets.get(conn, services.box, _KIND, name)
    kept = parted.secrets(kept)
    warnings = _check(services, name, parted, kept)
    enabled = sent.get("status", "Enabled") == "Enabled"
    revision = sent.get("revision") or before.revision

    def work(conn: Connection) -> Task:
        now = services.now()
        made = tasks.replace(conn, name, parted.document, now=now, revision=revision, enabled=enabled, owner=owner)
        secrets.put(conn, services.box, _KIND, name, kept, now=now, replace=True)
        services.note(conn, caller, "task.update", name, revision=made.revision, secrets=sorted(parted.given))
        return made

    return services.database.transact(work), warnings


def show(services: Services, caller: Caller, name: str) -> Task:
    """Raises NotFound."""
    caller.check_task(name)
    with services.database.read() as conn:
        return tasks.get(conn, name)


def page(services: Services, caller: Caller, *, top: int, cursor: str | None) -> tasks.TaskPage:
    """The tasks that the caller may see, by name."""
    with services.database.read() as conn:
        return tasks.page(conn, top=top, cursor=cursor, scopes=caller.scopes)


def delete(services: Services, caller: Caller, name: str) -> None:
    """With its secrets; its runs stay. Raises NotFound."""
    caller.check_task(name)

    def work(conn: Connection) -> None:
        tasks.delete(conn, name)
        services.note(conn, caller, "task.delete", name)

    services.database.transact(work)


def run(
    services: Services, caller: Caller, name: str, overrides: Overrides, *, key: str = "", fingerprint: str = ""
) -> tuple[Run, bool, tuple[Problem, ...]]:
    """Queue a run of a task, durably. The second value is False when `key` was used before, for this very run. Raises
    NotFound, InvalidInput, Conflict for a task that is disabled, Forbidden."""
    caller.check_task(name)
    with services.database.read() as conn:
        task = tasks.get(conn, name)
        known = secrets.get(conn, services.box, _KIND, name)
    if overrides.priority is not None:
        caller.check_priority(overrides.priority, max(0, task.document.get("priority", 0)))
    asked = Asked.by_hand(caller.name, services.now(), key)
    request, warnings = of_task(task, known, overrides, asked, services.settings)
    return *runs.enqueue(services, caller, request, fingerprint, task=name), warnings


def _check(services: Services, name: str, parted: Parted, kept: Mapping[str, str]) -> tuple[Problem, ...]:
    """Whether the task could run as it is; its context may be missing what only a run brings along."""
    check_document(parted.document)
    now = services.now()
    task = Task(name=name, document=parted.document, created=now, updated=now)
    overrides = Overrides(ttl=timedelta(days=1))
    return of_task(task, kept, overrides, Asked(owner="", now=now), services.settings)[1]
