"""Works on events of the ledger: asks the task whether it wants them, and queues a run or says why not.

One transaction holds the claim of the content, the run and the outcome: a service that dies in between leaves an event
that is worked on again, and no run that nobody knows.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from taskengine.errors import InvalidInput, NotFound, TaskEngineError
from taskengine.service.model import Document, Task
from taskengine.service.services import Services
from taskengine.service.store import Connection, ledger, secrets, tasks
from taskengine.service.submission import Asked, Overrides, of_task
from triggers import coalesce, rebuild, registryhook, timers
from triggers.imageevent import SOURCES
from triggers.match import judge
from triggers.sourcecontrol import forge, polled
from triggers.sourcecontrol.address import same_repository
from triggers.sourcecontrol.generic import Generic
from triggers.sourcecontrol.model import Ignored, Kind, Parsed, SourceEvent
from triggers.sourcetoken import tokens_of
from triggers.wavekeeper import queue_ready

_log = logging.getLogger("triggers.processor")
_RANK = ("ignored", "failed", "waiting", "queued")
_AT_ONCE = 20  # runs of a wave that are queued with its event; the others are the wave keeper's
_TOLD = {Kind.PUSH: "Git Commit", Kind.TAG: "Git Tag", Kind.PULL_REQUEST: "Pull Request"}


def process_due(services: Services, *, most: int = 20) -> int:
    """Works on what is due; several services may. Returns how many events it took."""
    now = services.now()
    found = services.database.transact(lambda conn: ledger.due(conn, now=now, most=most))
    for event in found:
        try:
            process(services, event)
        except TaskEngineError as error:
            _log.warning("event %s could not be worked on: %s", event.number, error.message)
            services.database.transact(partial(ledger.failed, number=event.number, reason=error.message, now=now))
        except Exception as error:  # noqa: BLE001 - a bug of ours that one event shows must not hold up those behind it
            _log.exception("event %s could not be worked on", event.number)
            why = f"working on it failed unexpectedly: {type(error).__name__}"
            services.database.transact(partial(ledger.failed, number=event.number, reason=why, now=now))
    return len(found)


def process(services: Services, event: ledger.Event) -> None:
    """Works on one event. Raises Unreachable; whatever is wrong with the event itself is its outcome."""
    if event.source in SOURCES:
        if rebuild.process(services, event):
            queue_ready(services, most=_AT_ONCE)
        return
    if event.source in registryhook.SOURCES:
        registryhook.process(services, event)
        return
    if event.source == "timer":
        _again(services, event)
        return
    try:
        with services.database.read() as conn:
            document = tasks.get(conn, event.task).document
    except NotFound:
        document = {}
    try:
        parsed = read(event, document)
    except InvalidInput as error:
        why = error.message
        services.database.transact(lambda conn: _settle(conn, event, "failed", why, services.now()))
        return

    def work(conn: Connection) -> bool:
        now = services.now()
        if not ledger.hold(conn, event.number):
            return False
        if isinstance(parsed, Ignored):
            ledger.settle(conn, event.number, "ignored", parsed.reason, now=now)
            return False
        try:
            task = tasks.get(conn, event.task)
        except NotFound as error:
            ledger.settle(conn, event.number, "ignored", error.message, now=now)
            return False
        kept = secrets.get(conn, services.box, "task", task.name)
        results = [_one(services, conn, event.number, task, kept, one, now) for one in parsed]
        state, reason = max(results, key=lambda one: _RANK.index(one[0]))
        ledger.settle(conn, event.number, state, reason, now=now)
        return state == "queued"

    if services.database.transact(work):
        services.bell.tell("queue")


def read(event: ledger.Event, document: Mapping[str, Any]) -> Parsed:
    """What an event says to a task. Raises InvalidInput when it is not what its source sends."""
    if event.source == polled.SOURCE:
        return polled.parse(event.body)
    known = forge(event.source)
    if isinstance(known, Generic):
        triggers = (document.get("trigger") or {}).get("sourceTriggers") or ()
        known = Generic(next((one["mapping"] for one in triggers if one.get("mapping")), {}))
    return known.parse(event.headers, event.body) if known else Ignored(reason="nobody reads this kind of event")


def _again(services: Services, event: ledger.Event) -> None:
    """A timer's event, which comes here only when somebody replays it."""

    def work(conn: Connection) -> bool:
        if not ledger.hold(conn, event.number):
            return False
        try:
            return timers.again(services, conn, event)
        except (InvalidInput, NotFound) as error:
            ledger.settle(conn, event.number, "failed", error.message, now=services.now())
            return False

    if services.database.transact(work):
        services.bell.tell("queue")


def _settle(conn: Connection, event: ledger.Event, state: str, reason: str, now: datetime) -> None:
    if ledger.hold(conn, event.number):
        ledger.settle(conn, event.number, state, reason, now=now)


def _one(
    services: Services, conn: Connection, number: int, task: Task, kept: Mapping[str, str], event: SourceEvent,
    now: datetime,
) -> tuple[str, str]:  # fmt: skip
    """What comes of one changed ref: a state, and the reason in words."""
    cause, key = dict(cause_of(number, event)), key_of(task.name, event)

    def note(state: str, reason: str) -> None:
        ledger.note(conn, number, task=task.name, state=state, reason=reason, facts=cause, now=now, key=key)

    verdict = judge(task.document, event)
    cause |= status_to(services, verdict.trigger, kept)
    if not verdict.wanted:
        note("ignored", verdict.reason)
        return "ignored", verdict.reason
    asked = Asked(owner=task.owner, now=now, cause=(cause,))
    try:
        overrides = overrides_of(task, event, untrusted=verdict.needs_approval)
        request, _ = of_task(task, kept, overrides, asked, services.settings)
    except InvalidInput as error:
        note("failed", error.message)
        return "failed", error.message
    outcome, before = ledger.claim(conn, number, task=task.name, key=key, facts=cause, now=now)
    if not outcome:
        note("ignored", before)
        return "ignored", before
    if verdict.needs_approval:
        reason = f"{verdict.reason} comes from a fork: it waits for approval, and its run gets no secrets"
        ledger.conclude(conn, outcome, "waiting", reason)
        return "waiting", reason
    run, new = coalesce.enqueue(services, conn, request, now=now)
    reason = verdict.reason if new else f"{verdict.reason}; {run.id} had not begun and builds it, too"
    ledger.conclude(conn, outcome, "queued", reason, run=run.id)
    return "queued", f"{run.id}: {reason}"


def key_of(task: str, event: SourceEvent) -> str:
    """What the event stands for, whoever tells of it: a task, a ref and its commit."""
    return f"{event.kind.value}:{task}:{event.ref}:{event.commit}"


def cause_of(number: int, event: SourceEvent) -> Document:
    """What a run says of the event that led to it: ACR's fields of a source trigger, and our event's number."""
    return {
        "kind": event.kind.value,
        "event": number,
        "id": event.delivery,
        "eventType": "pullrequest" if event.kind is Kind.PULL_REQUEST else "commit",
        "commitId": event.commit,
        "pullRequestId": event.number,
        "repositoryUrl": event.repositories[0] if event.repositories else "",
        "branchName": event.branch or event.tag,
        "providerType": event.provider,
    }


def status_to(services: Services, trigger: str, kept: Mapping[str, str]) -> Document:
    """What a cause says of whom to tell how its run goes: the trigger that has a token for the forge, if it has one."""
    wanted = services.settings.report_statuses and trigger in tokens_of(kept)
    return {"statusTo": trigger} if wanted else {}


def overrides_of(task: Task, event: SourceEvent, *, untrusted: bool = False) -> Overrides:
    """The run's context is the very commit of the event, where the context is the event's repository: what was judged,
    or approved by a person, is what is built, wherever its branch is by then."""
    path = task.document["step"].get("contextPath") or ""
    url, _, fragment = path.partition("#")
    folder = fragment.partition(":")[2]
    context = ""
    if any(same_repository(url, one) for one in event.repositories):
        context = f"{url}#{event.commit}" + (f":{folder}" if folder else "")
    facts = {
        "commit": event.commit, "branch": event.branch, "git_tag": event.tag, "triggered_by": _TOLD[event.kind],
        "repository": event.repositories[0] if event.repositories else "",
    }  # fmt: skip
    return Overrides(context=context, facts=facts, untrusted=untrusted)
