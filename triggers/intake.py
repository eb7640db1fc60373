"""Takes a forge's delivery in: believes only who knows the task's secret, and keeps it before it is acknowledged.

Must not know what a delivery says; the processor reads it later.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping

from taskengine.errors import NotFound
from taskengine.service.refusal import Unauthorized
from taskengine.service.services import Services
from taskengine.service.store import Connection, ledger, secrets
from triggers.refusals import Refusals
from triggers.sourcecontrol import FORGES, forge

_log = logging.getLogger("triggers.intake")
#: what of a delivery's headers is kept: never what proves whom it is from
_KEPT = (
    "content-type", "user-agent", "x-github-event", "x-github-delivery", "x-gitlab-event", "x-gitlab-event-uuid",
    "idempotency-key", "x-gitea-event", "x-gitea-delivery", "x-forgejo-event", "x-forgejo-delivery", "x-gogs-event",
    "x-gogs-delivery", "x-event-key", "x-request-uuid", "x-request-id", "x-acr-task-delivery", "webhook-id",
)  # fmt: skip


#: how far the moment that a signature covers may be from now, in seconds
FRESH = 300
_UNPROVEN = "it does not prove whom it is from: that takes the task's webhook secret"
_NO_TASK = "there is no such task, or it has no webhook secret"


def receive(
    services: Services, name: str, task: str, headers: Mapping[str, str], body: bytes,
    refusals: Refusals | None = None,
) -> tuple[int, bool]:  # fmt: skip
    """The number of the event, which is safe by now; the second value is False for a delivery that came before.

    Raises NotFound for an unknown forge, and Unauthorized alike for a wrong secret, a stale signature and a task that
    is not there; `refusals` is told the difference."""
    found = forge(name)
    if found is None:
        raise NotFound(f"there is no forge '{name[:40]}'", hint=f"there are {', '.join(FORGES)}")
    lowered = {key.lower(): value for key, value in headers.items()}
    kept = {key: lowered[key][:500] for key in _KEPT if key in lowered}
    now = services.now()
    with services.database.read() as conn:
        secret = secrets.get(conn, services.box, "task", task).get("webhook", "")
    why = "" if found.verify(lowered, body, secret) else (_UNPROVEN if secret else _NO_TASK)
    signed = found.signed_at(lowered)
    if not why and signed is not None and abs(now.timestamp() - signed) > FRESH:
        why = f"its signature is of another time than now (more than {FRESH // 60} minutes away)"
    if why:
        _log.warning("refused a delivery of %s for %r: %s", name, task[:50], why)
        if refusals is not None:
            refusals.note(name, task, why, {key: value[:100] for key, value in kept.items()})
        raise Unauthorized(
            "the delivery does not prove whom it is from", hint="give the forge the webhook secret of the task"
        )
    # where the signature does not cover the forge's number, the body itself is what cannot come twice
    delivery = f"sha256:{hashlib.sha256(body).hexdigest()}" if found.signs_body(lowered) else found.delivery(lowered)

    def work(conn: Connection) -> tuple[ledger.Event, bool]:
        return ledger.record(conn, source=name, task=task, headers=kept, body=body, now=now, delivery=delivery)

    event, new = services.database.transact(work)
    services.bell.tell("events")
    return event.number, new
