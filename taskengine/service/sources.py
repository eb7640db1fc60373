"""What lies between a task and its forge: shown, and tried again. Use cases; must not know HTTP nor forges."""

from __future__ import annotations

from typing import Any

from taskengine.service.caller import Caller
from taskengine.service.events import triggers_of
from taskengine.service.services import Services
from taskengine.service.store import Connection
from taskengine.service.store import statuses as store
from taskengine.service.store.statuses import CommitStatus


def show(services: Services, caller: Caller, task: str) -> list[dict[str, Any]]:
    """A task's source triggers. Raises NotFound."""
    return triggers_of(services).sources(services, caller, task)


def retry(services: Services, caller: Caller, task: str) -> list[dict[str, Any]]:
    """Try again at once what went wrong with them. Raises NotFound."""
    return triggers_of(services).retry_sources(services, caller, task)


def statuses(
    services: Services, caller: Caller, task: str, *, state: str | None, top: int, cursor: str | None
) -> tuple[list[CommitStatus], str | None]:
    """What forges were told of the runs of a task, which may be gone. Raises NotFound, and InvalidInput for a cursor
    that is none."""
    caller.check_task(task)
    with services.database.read() as conn:
        return store.page(conn, task, state=state, top=top, cursor=cursor)


def replay(services: Services, caller: Caller, task: str, number: int) -> CommitStatus:
    """Tell it again. Raises NotFound."""
    caller.check_task(task)

    def work(conn: Connection) -> CommitStatus:
        found = store.replay(conn, task, number, now=services.now())
        services.note(conn, caller, "status.replay", task, number=number, run=found.run)
        return found

    return services.database.transact(work)
