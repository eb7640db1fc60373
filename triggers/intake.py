"""Takes a forge's delivery in: believes only who knows the task's secret, and keeps it before it is acknowledged.

Must not know what a delivery says; the processor reads it later.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from taskengine.errors import NotFound
from taskengine.service.refusal import Unauthorized
from taskengine.service.services import Services
from taskengine.service.store import Connection, ledger, secrets
from triggers.sourcecontrol import FORGES, forge

_log = logging.getLogger("triggers.intake")
#: what of a delivery's headers is kept: never what proves whom it is from
_KEPT = (
    "content-type", "user-agent", "x-github-event", "x-github-delivery", "x-gitlab-event", "x-gitlab-event-uuid",
    "idempotency-key", "x-gitea-event", "x-gitea-delivery", "x-forgejo-event", "x-forgejo-delivery", "x-gogs-event",
    "x-gogs-delivery", "x-event-key", "x-request-uuid", "x-request-id", "x-acr-task-delivery",
)  # fmt: skip


def receive(services: Services, name: str, task: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bool]:
    """The number of the event, which is safe by now; the second value is False for a delivery that came before.

    Raises NotFound for an unknown forge, and Unauthorized alike for a wrong secret and for a task that is not there."""
    found = forge(name)
    if found is None:
        raise NotFound(f"there is no forge '{name[:40]}'", hint=f"there are {', '.join(FORGES)}")
    lowered = {key.lower(): value for key, value in headers.items()}
    with services.database.read() as conn:
        secret = secrets.get(conn, services.box, "task", task).get("webhook", "")
    if not found.verify(lowered, body, secret):
        _log.warning("refused a delivery of %s for %r: it does not prove that it is from there", name, task[:50])
        raise Unauthorized(
            "the delivery does not prove whom it is from", hint="give the forge the webhook secret of the task"
        )
    kept = {key: lowered[key][:500] for key in _KEPT if key in lowered}
    now = services.now()

    def work(conn: Connection) -> tuple[ledger.Event, bool]:
        return ledger.record(
            conn, source=name, task=task, headers=kept, body=body, now=now, delivery=found.delivery(lowered)
        )

    event, new = services.database.transact(work)
    services.bell.tell("events")
    return event.number, new
