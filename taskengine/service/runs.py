"""What is done with runs: queued without a task, canceled, kept, shown. Use cases; must not know HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taskengine.errors import Problem
from taskengine.runs.model import RunStatus
from taskengine.runs.spec import RunSpec
from taskengine.service.caller import Caller
from taskengine.service.model import Group, Run, RunRequest
from taskengine.service.queueing import Spot
from taskengine.service.services import Services
from taskengine.service.store import Connection, queue, runs
from taskengine.service.store.feeds import topic
from taskengine.service.store.signals import QUEUE
from taskengine.service.submission import Asked, Overrides, of_quick_run


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A run with what belongs to it."""

    run: Run
    spot: Spot | None = None
    steps: tuple[runs.Step, ...] = ()
    attempts: tuple[runs.Attempt, ...] = ()
    late: tuple[runs.LateReport, ...] = ()


def queue_quick(
    services: Services,
    caller: Caller,
    spec: RunSpec,
    secrets: Mapping[str, str],
    overrides: Overrides,
    *,
    group: Group | None = None,
    key: str = "",
    fingerprint: str = "",
) -> tuple[Run, bool, tuple[Problem, ...]]:
    """Queue a run without a task, durably. The second value is False when `key` was used before, for this very run.
    Raises InvalidInput, Conflict, Forbidden."""
    caller.check_grants((), spec.grants)
    caller.check_priority(overrides.priority or 0)
    asked = Asked.by_hand(caller.name, services.now(), key)
    request, warnings = of_quick_run(spec, secrets, overrides, asked, services.settings, group)
    return *enqueue(services, caller, request, fingerprint, type=request.type.value), warnings


def check_quick(
    services: Services,
    caller: Caller,
    spec: RunSpec,
    secrets: Mapping[str, str],
    overrides: Overrides,
    *,
    group: Group | None = None,
) -> tuple[Problem, ...]:
    """What `queue_quick` would say, without queueing anything: the warnings. Raises what it raises, but for what only
    the queue knows."""
    caller.check_grants((), spec.grants)
    caller.check_priority(overrides.priority or 0)
    asked = Asked.by_hand(caller.name, services.now(), "")
    return of_quick_run(spec, secrets, overrides, asked, services.settings, group)[1]


def enqueue(
    services: Services, caller: Caller, request: RunRequest, fingerprint: str, **detail: str
) -> tuple[Run, bool]:
    """Queue what was asked for, note it with its `detail`, and wake the workers. False for what was queued before."""

    def work(conn: Connection) -> tuple[Run, bool]:
        made, new = queue.enqueue(conn, request, now=services.now(), box=services.box, fingerprint=fingerprint)
        if new:
            services.note(conn, caller, "run.queue", made.id, **detail)
        return made, new

    found = services.database.transact(work)
    services.bell.tell(QUEUE)
    return found


def show(services: Services, caller: Caller, run: str) -> Shown:
    """Raises NotFound."""
    with services.database.read() as conn:
        found = runs.get(conn, run)
        caller.check_run(found)
        spot = None
        if found.status is RunStatus.QUEUED:
            spots = queue.waiting(conn, now=services.now(), caps=services.caps)
            spot = next((one for one in spots if one.run == run), None)
        return Shown(
            run=found,
            spot=spot,
            steps=tuple(runs.steps(conn, run)),
            attempts=tuple(runs.attempts(conn, run)),
            late=tuple(runs.late(conn, run)),
        )


def get(services: Services, caller: Caller, run: str) -> Run:
    """Raises NotFound."""
    with services.database.read() as conn:
        found = runs.get(conn, run)
    caller.check_run(found)
    return found


def page(
    services: Services, wanted: runs.Filter, *, top: int, cursor: str | None
) -> tuple[runs.RunPage, dict[str, Spot]]:
    """A page of runs, the newest first, and where those of them stand that wait."""
    with services.database.read() as conn:
        found = runs.page(conn, wanted, top=top, cursor=cursor)
        spots: dict[str, Spot] = {}
        if any(run.status is RunStatus.QUEUED for run in found.runs):
            spots = {one.run: one for one in queue.waiting(conn, now=services.now(), caps=services.caps)}
    return found, spots


def cancel(services: Services, caller: Caller, run: str, reason: str) -> Run:
    """Cancel a run; again and again is the same as once, and one that is over stays as it is. Raises NotFound."""

    def work(conn: Connection) -> Run:
        before = runs.get(conn, run)
        caller.check_run(before)
        if before.status.is_final or before.cancel_reason:
            return before
        after = queue.cancel(conn, run, reason or f"canceled by {caller.name}", now=services.now())
        services.note(conn, caller, "run.cancel", run, reason=reason)
        return after

    found = services.database.transact(work)
    services.bell.tell(QUEUE, topic(run), f"worker:{found.worker}")
    return found


def archive(services: Services, caller: Caller, run: str, archived: bool) -> Run:
    """An archived run is kept for good. Raises NotFound."""

    def work(conn: Connection) -> Run:
        caller.check_run(runs.get(conn, run))
        services.note(conn, caller, "run.archive" if archived else "run.unarchive", run)
        return runs.archive(conn, run, archived, now=services.now())

    return services.database.transact(work)
