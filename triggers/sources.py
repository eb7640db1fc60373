"""How it goes with a task's source triggers, for people: when its repository was asked, its webhook, what went wrong.

Shows nothing secret. Must not know HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from taskengine.context.model import without_login
from taskengine.service.caller import Caller
from taskengine.service.services import Services
from taskengine.service.store import Connection, forgehooks, heads, ledger, tasks
from taskengine.service.store.forgehooks import ForgeHook
from taskengine.service.store.heads import Repository
from triggers.gitplan import is_of_refs
from triggers.sourcecontrol import FORGES
from triggers.sourcecontrol.address import canonical


def sources(services: Services, caller: Caller, name: str) -> list[dict[str, Any]]:
    """Each source trigger of a task. Raises NotFound."""
    caller.check_task(name)
    with services.database.read() as conn:
        task = tasks.get(conn, name)
        hooks = forgehooks.every(conn, name)
        told = ledger.last_told(conn, [name], FORGES)
        return [
            _shown(services, conn, name, trigger, hooks, told)
            for trigger in (task.document.get("trigger") or {}).get("sourceTriggers") or ()
        ]


def retry(services: Services, caller: Caller, name: str) -> list[dict[str, Any]]:
    """Begin anew with the webhooks that were given up, and ask the repositories at once. Raises NotFound."""
    caller.check_task(name)

    def work(conn: Connection) -> None:
        now = services.now()
        task = tasks.get(conn, name)
        count = forgehooks.retry(conn, name, now=now)
        for trigger in (task.document.get("trigger") or {}).get("sourceTriggers") or ():
            if row := _row(conn, name, _url(trigger)):
                heads.hurry(conn, row.repository, now=now)
        services.note(conn, caller, "task.retry-sources", name, hooks=count)

    services.database.transact(work)
    return sources(services, caller, name)


def _shown(
    services: Services, conn: Connection, name: str, trigger: Mapping[str, Any], hooks: list[ForgeHook],
    told: datetime | None,
) -> dict[str, Any]:  # fmt: skip
    url = _url(trigger)
    where = canonical(url)
    row = _row(conn, name, url)
    hook = next((one for one in hooks if canonical(one.repository) == where), None)
    polled = bool(services.settings.git_poll_seconds) and is_of_refs(trigger)
    return {
        "name": trigger.get("name") or "",
        "status": trigger.get("status") or "Enabled",
        "repositoryUrl": without_login(url),
        "lastDelivery": told,
        "polling": {
            "enabled": polled,
            "lastCheck": row.checked if row else None,
            "lastChange": row.changed if row else None,
            "nextCheck": row.next_at if row and polled else None,
            "failures": row.failures if row else 0,
            "lastError": (row.error or None) if row else None,
        },
        "webhook": None if hook is None else _hook(hook),
    }  # fmt: skip


def _hook(hook: ForgeHook) -> dict[str, Any]:
    return {
        "forge": hook.forge, "state": hook.state, "attempts": hook.attempts, "nextAttempt": hook.next_at,
        "lastError": hook.error or None, "updated": hook.updated,
    }  # fmt: skip


def _row(conn: Connection, task: str, url: str) -> Repository | None:
    """How asking this repository went for the task; before it was asked with success, for whomever it was."""
    rows = heads.named(conn, canonical(url))
    return next((row for row in rows if task in row.scope), None) or next((row for row in rows if not row.scope), None)


def _url(trigger: Mapping[str, Any]) -> str:
    return str((trigger.get("sourceRepository") or {}).get("repositoryUrl") or "")
