"""Takes a forge's delivery in: believes only who knows the task's secret, and keeps it before it is acknowledged.

Must not know what a delivery says; the processor reads it later.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from taskengine.errors import NotFound, TaskEngineError
from taskengine.service.refusal import Unauthorized
from taskengine.service.services import Services
from taskengine.service.store import ledger, secrets
from triggers.refusals import Refusals
from triggers.sourcecontrol import FORGES, forge

#: told when there are events to work on
TOPIC = "events"
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrived:
    """A delivery as it came to the door of `forge` for `task`, believed by nobody yet."""

    forge: str
    task: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


#: the number of an event, which is safe; the second value is False for a delivery that came before
Received = tuple[int, bool]


def receive(
    services: Services, name: str, task: str, headers: Mapping[str, str], body: bytes,
    refusals: Refusals | None = None,
) -> Received:  # fmt: skip
    """Takes one delivery in.

    Raises NotFound for an unknown forge, and Unauthorized alike for a wrong secret, a stale signature and a task that
    is not there; `refusals` is told the difference."""
    (answer,) = receive_all(services, [Arrived(forge=name, task=task, headers=headers, body=body)], refusals)
    if isinstance(answer, TaskEngineError):
        raise answer
    return answer


def receive_all(
    services: Services, arrived: Sequence[Arrived], refusals: Refusals | None = None
) -> list[Received | TaskEngineError]:
    """Takes deliveries in, in one transaction; the answer has for each, in order, what `receive` returns or raises."""
    with services.database.read() as conn:
        known = secrets.named(conn, services.box, "task", {one.task for one in arrived}, "webhook")
    now = services.now()
    checked = [_checked(one, known.get(one.task, ""), now, refusals) for one in arrived]
    believed = [one for one in checked if isinstance(one, ledger.Arrival)]
    kept: Iterator[Received] = iter(())
    if believed:
        kept = iter(services.database.transact(lambda conn: ledger.record_all(conn, believed, now=now)))
        services.bell.tell(TOPIC)
    return [next(kept) if isinstance(one, ledger.Arrival) else one for one in checked]


def _checked(
    one: Arrived, secret: str, now: datetime, refusals: Refusals | None
) -> ledger.Arrival | TaskEngineError:  # fmt: skip
    """What is to be kept of a delivery that proves whom it is from."""
    found = forge(one.forge)
    if found is None:
        return NotFound(f"there is no forge '{one.forge[:40]}'", hint=f"there are {', '.join(FORGES)}")
    lowered = {key.lower(): value for key, value in one.headers.items()}
    kept = {key: lowered[key][:500] for key in _KEPT if key in lowered}
    why = "" if found.verify(lowered, one.body, secret) else (_UNPROVEN if secret else _NO_TASK)
    signed = found.signed_at(lowered)
    if not why and signed is not None and abs(now.timestamp() - signed) > FRESH:
        why = f"its signature is of another time than now (more than {FRESH // 60} minutes away)"
    if why:
        _log.debug("refused a delivery of %s for %r: %s", one.forge, one.task[:50], why)
        if refusals is not None:
            refusals.note(one.forge, one.task, why, {key: value[:100] for key, value in kept.items()})
        return Unauthorized(
            "the delivery does not prove whom it is from", hint="give the forge the webhook secret of the task"
        )
    # where the signature does not cover the forge's number, the body itself is what cannot come twice
    number = f"sha256:{hashlib.sha256(one.body).hexdigest()}" if found.signs_body(lowered) else found.delivery(lowered)
    return ledger.Arrival(source=one.forge, task=one.task, headers=kept, body=one.body, delivery=number)
