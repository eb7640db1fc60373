"""Routes of runs, the queue and quick runs. Thin: JSON in, a use case, JSON out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from taskengine.runs.model import RunStatus
from taskengine.service import runs, tasks
from taskengine.service.api import view
from taskengine.service.api.access import V1
from taskengine.service.api.ask import (
    AGAIN,
    Cursor,
    IdempotencyKey,
    RunId,
    TaskName,
    Top,
    fingerprint_of,
    moment,
    quick_of,
)
from taskengine.service.api.guard import CallerOf, ServicesOf, documented
from taskengine.service.api.problem import problem_json
from taskengine.service.api.schema.common import NAME, Moment
from taskengine.service.api.schema.run import (
    CancelBody,
    CheckView,
    QueueView,
    QuickRunBody,
    RunChange,
    RunList,
    RunView,
)
from taskengine.service.api.schema.why import REFERENCE
from taskengine.service.caller import Caller
from taskengine.service.model import RunType
from taskengine.service.services import Services
from taskengine.service.store import queue
from taskengine.service.store import runs as stored
from taskengine.service.store.runs import Filter

router = APIRouter(prefix=V1, tags=["runs"])

Statuses = Annotated[list[RunStatus] | None, Query(max_length=8)]
Types = Annotated[list[RunType] | None, Query(max_length=4)]
Image = Annotated[
    str | None,
    Query(pattern=REFERENCE, max_length=250, description="repository[:tag|@digest], with or without its host."),
]
TaskFilter = Annotated[str | None, Query(pattern=NAME, max_length=50)]
Owner = Annotated[str | None, Query(max_length=200)]
Since = Annotated[Moment | None, Query(alias="from", description="Queued at this time or later (RFC 3339).")]
Until = Annotated[Moment | None, Query(alias="to", description="Queued at this time or earlier (RFC 3339).")]


@router.get("/runs", responses=documented(), response_model=RunList, summary="List runs, the newest first")
def list_runs(
    services: ServicesOf,
    caller: CallerOf,
    task: TaskFilter = None,
    status: Statuses = None,
    type: Types = None,  # noqa: A002 - as ACR calls it
    image: Image = None,
    since: Since = None,
    until: Until = None,
    owner: Owner = None,
    archived: bool | None = None,
    top: Top = 15,
    cursor: Cursor = None,
) -> Response:
    wanted = Filter(
        task=task,
        statuses=tuple(status or ()),
        types=tuple(type or ()),
        image=image or None,
        since=moment(since),
        until=moment(until),
        owner=owner,
        archived=archived,
        scopes=caller.scopes,
        own=caller.name,
    )
    return _page(services, wanted, top, cursor)


@router.get("/tasks/{name}/runs", responses=documented(404), response_model=RunList, summary="List a task's runs")
def list_task_runs(
    services: ServicesOf,
    caller: CallerOf,
    name: TaskName,
    status: Statuses = None,
    top: Top = 15,
    cursor: Cursor = None,
) -> Response:
    tasks.show(services, caller, name)
    return _page(services, Filter(task=name, statuses=tuple(status or ())), top, cursor)


@router.post(
    "/runs", status_code=201, responses=documented(409) | AGAIN, response_model=RunView, summary="Run without a task"
)
def quick_run(
    services: ServicesOf, caller: CallerOf, body: QuickRunBody, idempotency_key: IdempotencyKey = None
) -> Response:
    """Queues a run: it is durable when this answers. The same Idempotency-Key gives the same run again (200)."""
    spec, overrides, group = quick_of(body)
    made, new, warnings = runs.queue_quick(
        services,
        caller,
        spec,
        body.secrets,
        overrides,
        group=group,
        key=idempotency_key or "",
        fingerprint=fingerprint_of("", body),
    )
    headers = {"Location": f"{V1}/runs/{made.id}"}
    return JSONResponse(view.run(made, warnings=warnings), 201 if new else 200, headers=headers)


@router.post("/validate", responses=documented(), response_model=CheckView, summary="Check a run, and queue nothing")
def check_run(services: ServicesOf, caller: CallerOf, body: QuickRunBody) -> Response:
    """What queueing this run would say: its problems, or its warnings. A `context` that is still to be uploaded may be
    left out. A text that lies in a context is only known to the worker."""
    spec, overrides, group = quick_of(body)
    warnings = runs.check_quick(services, caller, spec, body.secrets, overrides, group=group)
    return JSONResponse({"warnings": [problem_json(one) for one in warnings]})


@router.get("/runs/{run}", responses=documented(404), response_model=RunView, summary="Show a run")
def show_run(services: ServicesOf, caller: CallerOf, run: RunId) -> Response:
    shown = runs.show(services, caller, run)
    return JSONResponse(view.run(shown.run, shown.spot, detail=shown))


@router.patch("/runs/{run}", responses=documented(404), response_model=RunView, summary="Keep a run, or not")
def change_run(services: ServicesOf, caller: CallerOf, run: RunId, body: RunChange) -> Response:
    return JSONResponse(view.run(runs.archive(services, caller, run, body.is_archive_enabled)))


@router.post("/runs/{run}/cancel", responses=documented(404), response_model=RunView, summary="Cancel a run")
def cancel_run(services: ServicesOf, caller: CallerOf, run: RunId, body: CancelBody | None = None) -> Response:
    """A run that waits is over at once, another as soon as its worker has stopped it. Asking twice does no harm."""
    return JSONResponse(view.run(runs.cancel(services, caller, run, body.reason if body else "")))


@router.get("/queue", responses=documented(), response_model=QueueView, summary="What waits, and why")
def show_queue(services: ServicesOf, caller: CallerOf) -> Response:
    """The first to start first. A scoped token sees its own tasks' runs; positions count all."""
    return JSONResponse({"value": _queue(services, caller)})


def _queue(services: Services, caller: Caller) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    with services.database.read() as conn:
        spots = queue.waiting(conn, now=services.now(), caps=services.caps)
        known = {run.id: run for run in stored.page(conn, Filter(statuses=(RunStatus.QUEUED,)), top=10_000).runs}
    for spot in spots:
        run = known.get(spot.run)
        if run is None or not (caller.in_scope(run.task) or (not run.task and run.owner == caller.name)):
            continue
        found.append(
            {
                "runId": run.id, "position": spot.position, "reason": spot.reason, "task": run.task or None,
                "owner": run.owner, "priority": run.priority, "createTime": view.time(run.created),
            }
        )  # fmt: skip
    return found


def _page(services: Services, wanted: Filter, top: int, cursor: str | None) -> Response:
    found, spots = runs.page(services, wanted, top=top, cursor=cursor)
    return JSONResponse(view.page([view.run(run, spots.get(run.id)) for run in found.runs], found.cursor))
