"""Whether a task could be queued now, and if not, why not: asked without queuing it. Opens no secret."""

from __future__ import annotations

from taskengine.errors import Conflict, InvalidInput
from taskengine.service.model import Task
from taskengine.service.services import Services
from taskengine.service.store import Connection, queue, secrets
from taskengine.service.submission import Asked, Overrides, of_task
from triggers.imagined import Hold

#: stands for the value of each secret
_STAND_IN = "x"


def objection(services: Services, conn: Connection, task: Task, overrides: Overrides) -> tuple[Hold, str] | None:
    """What would hold its run back; None when nothing would."""
    known = dict.fromkeys(secrets.names(conn, "task", task.name), _STAND_IN)
    asked = Asked(owner=task.owner, now=services.now())
    try:
        request, _ = of_task(task, known, overrides, asked, services.settings)
    except Conflict as error:
        return Hold.DISABLED, error.message
    except InvalidInput as error:
        return Hold.INVALID, error.message
    if request.group is not None and (why := queue.would_skip(conn, request.group)):
        return Hold.GROUP, why
    return None
