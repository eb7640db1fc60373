"""What the store knows as what the API shows: plain JSON data, ACR's names. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from taskengine.errors import Problem
from taskengine.service.api.problem import problem_json
from taskengine.service.events import ShownEvent
from taskengine.service.model import Document, Run, Task, Token, Worker
from taskengine.service.queueing import Spot
from taskengine.service.runs import Shown
from taskengine.service.store.audit import Entry
from taskengine.service.store.hooks import Delivery, Hook
from taskengine.service.store.ledger import Event
from taskengine.service.store.retention import Loss
from taskengine.service.store.statuses import CommitStatus
from taskengine.service.store.uploads import Upload

#: from the kind of a cause to ACR's name of what triggered a run
_TRIGGERS = {
    "timer": "timerTrigger", "push": "sourceTrigger", "tag": "sourceTrigger", "pullRequest": "sourceTrigger",
    "imageUpdate": "imageUpdateTrigger",
}  # fmt: skip
#: what ACR's records of triggers hold; whatever else we know stays in the cause
_FIELDS = {
    "timerTrigger": ("timerTriggerName", "scheduleOccurrence"),
    "sourceTrigger": (
        "id", "eventType", "commitId", "pullRequestId", "repositoryUrl", "branchName", "providerType",
    ),
    "imageUpdateTrigger": ("id", "timestamp", "images"),
}  # fmt: skip


def time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def task(found: Task, *, webhook: str = "", warnings: Iterable[Problem] = ()) -> dict[str, Any]:
    out = {
        **found.document,
        "name": found.name,
        "status": "Enabled" if found.enabled else "Disabled",
        "owner": found.owner,
        "revision": found.revision,
        "creationDate": time(found.created),
        "lastModified": time(found.updated),
    }
    if webhook:
        out["webhookSecret"] = webhook
    return _with_warnings(out, warnings)


def run(
    found: Run, spot: Spot | None = None, *, detail: Shown | None = None, warnings: Iterable[Problem] = ()
) -> dict[str, Any]:
    spec = found.spec
    out: dict[str, Any] = {
        "runId": found.id,
        "number": found.number,
        "type": found.type.value,
        "status": found.status.value,
        "task": found.task or None,
        "platform": platform(str(spec.get("platform", ""))),
        "agentPoolName": found.pool or None,
        "createTime": time(found.created),
        "startTime": time(found.started),
        "finishTime": time(found.finished),
        "lastUpdatedTime": time(found.updated),
        "timeout": found.timeout,
        "outputImages": [
            {key: image.get(key) or None for key in ("registry", "repository", "tag", "digest")}
            for image in found.images
        ],
        "isArchiveEnabled": found.archived,
        "runErrorMessage": found.message or None,
        "hint": found.hint or None,
        "cause": list(found.cause),
        "owner": found.owner,
        "priority": found.priority,
        "attempt": found.attempt,
        "worker": found.worker or None,
        "cancelReason": found.cancel_reason or None,
        "notBefore": time(found.not_before),
        "expires": time(found.expires),
        "waitReason": spot.reason if spot else None,
        "queuePosition": spot.position if spot else None,
    }
    cpu = (spec.get("step_limits") or {}).get("cpus")
    if isinstance(cpu, int):
        out["agentConfiguration"] = {"cpu": cpu}
    out |= _triggers(found.cause)
    if detail is not None:
        out["steps"] = [
            {"id": s.id, "status": s.status, **(s.record or {}), "logSize": s.log_size} | {"status": s.status}
            for s in detail.steps
        ]
        out["attempts"] = [
            {
                "attempt": a.attempt, "worker": a.worker, "leased": time(a.leased), "ended": time(a.ended),
                "outcome": a.outcome, "logSize": a.feed_size,
            }
            for a in detail.attempts
        ]  # fmt: skip
        out["lateReports"] = [
            {"worker": r.worker, "epoch": r.epoch, "at": time(r.at), "what": r.what} for r in detail.late
        ]
        if found.record and isinstance(found.record.get("dependencies"), list):
            out["dependencies"] = found.record["dependencies"]
    return _with_warnings(out, warnings)


def _triggers(causes: Iterable[Document]) -> dict[str, Any]:
    """ACR's records of what triggered a run: of each kind the newest. More than one where causes met in one run."""
    out: dict[str, Any] = {}
    for cause in causes:
        trigger = _TRIGGERS.get(str(cause.get("kind")), "")
        record = cause.get(trigger) if trigger == "imageUpdateTrigger" else cause
        # an image update without a record led to an earlier run of the same wave
        if trigger and trigger not in out and isinstance(record, Mapping):
            out[trigger] = {name: None if record.get(name) == "" else record.get(name) for name in _FIELDS[trigger]}
    return out


def platform(text: str) -> dict[str, str]:
    words = (text or "linux/amd64").split("/")
    return dict(zip(("os", "architecture", "variant"), words, strict=False))


def token(found: Token, *, text: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {
        "id": found.id,
        "name": found.name,
        "role": found.role.value,
        "scopes": list(found.scopes),
        "worker": found.worker or None,
        "created": time(found.created),
        "expires": time(found.expires),
    }
    return out | ({"token": text} if text else {})


def worker(found: Worker, running: Iterable[str] = ()) -> dict[str, Any]:
    return {
        "id": found.id,
        "name": found.name,
        "pool": found.pool,
        "labels": dict(found.labels),
        "platforms": list(found.platforms),
        "capacity": found.capacity,
        "version": found.version,
        "state": found.state.value,
        "health": dict(found.health),
        "registered": time(found.registered),
        "seen": time(found.seen),
        "running": list(running),
    }


def upload(found: Upload) -> dict[str, Any]:
    return {
        "id": found.id,
        "size": found.size,
        "sha256": found.sha256,
        "received": found.received,
        "state": found.state,
        "expires": time(found.expires),
    }


def hook(found: Hook, *, secret: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {
        "id": found.id,
        "url": found.url,
        "events": list(found.events),
        "tasks": list(found.tasks),
        "enabled": found.enabled,
        "created": time(found.created),
    }
    return out | ({"secret": secret} if secret else {})


def delivery(found: Delivery) -> dict[str, Any]:
    return {
        "number": found.number,
        "hook": found.hook,
        "eventId": found.event_id,
        "body": dict(found.body),
        "state": found.state,
        "attempts": found.attempts,
        "nextAt": time(found.next_at),
        "status": found.status,
        "error": found.error,
        "created": time(found.created),
        "done": time(found.done),
    }


def audit(found: Entry) -> dict[str, Any]:
    return {
        "number": found.number,
        "at": time(found.at),
        "actor": found.actor,
        "action": found.action,
        "object": found.object,
        "detail": dict(found.detail),
    }


def source(found: Mapping[str, Any]) -> dict[str, Any]:
    """A source trigger: its times as text."""
    return {
        name: source(value) if isinstance(value, Mapping) else time(value) if isinstance(value, datetime) else value
        for name, value in found.items()
    }


def commit_status(found: CommitStatus) -> dict[str, Any]:
    return {
        "number": found.number, "run": found.run, "source": found.source, "repositoryUrl": found.repository,
        "commitId": found.commit_id, "told": found.told, "state": found.state, "attempts": found.attempts,
        "nextAttempt": time(found.next_at), "status": found.status, "lastError": found.error or None,
        "created": time(found.created), "done": time(found.done),
    }  # fmt: skip


def event(found: Event) -> dict[str, Any]:
    return {
        "number": found.number,
        "source": found.source,
        "task": found.task or None,
        "delivery": found.delivery,
        "received": time(found.received),
        "state": found.state,
        "reason": found.reason,
        "attempts": found.attempts,
        "done": time(found.done),
    }


def shown_event(found: ShownEvent) -> dict[str, Any]:
    out = event(found.event) | {
        "outcomes": [
            {
                "task": one.task or None, "state": one.state, "reason": one.reason, "run": one.run or None,
                "facts": dict(one.facts), "at": time(one.at),
            }
            for one in found.outcomes
        ],
        "history": [
            {"at": time(one.at), "actor": one.actor, "action": one.action, "detail": one.detail}
            for one in found.history
        ],
        "headers": dict(found.event.headers) if found.open else None,
    }  # fmt: skip
    if found.open:
        try:
            out["body"] = found.event.body.decode()
        except UnicodeDecodeError:
            out["bodyBase64"] = base64.b64encode(found.event.body).decode()
    return out


def losses(found: Iterable[Loss], *, dry_run: bool) -> dict[str, Any]:
    gone = [{"kind": one.kind, "name": one.name, "why": one.why, "size": one.size} for one in found]
    return {"value": gone, "dryRun": dry_run}


def page(items: Iterable[Mapping[str, Any]], cursor: str | None) -> dict[str, Any]:
    return {"value": list(items), "nextCursor": cursor}


def _with_warnings(out: dict[str, Any], warnings: Iterable[Problem]) -> dict[str, Any]:
    if listed := [problem_json(one) for one in warnings]:
        out["warnings"] = listed
    return out
