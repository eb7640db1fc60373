"""Routes of stored tasks. Thin: JSON in, a use case, JSON out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response
from fastapi.responses import JSONResponse

from taskengine.service import tasks
from taskengine.service.api import view
from taskengine.service.api.access import V1
from taskengine.service.api.ask import AGAIN, Cursor, IdempotencyKey, TaskName, Top, fingerprint_of, overrides_of
from taskengine.service.api.guard import CallerOf, ServicesOf, documented
from taskengine.service.api.schema.run import RunView, TaskRunBody
from taskengine.service.api.schema.task import NewTask, TaskBody, TaskList, TaskView
from taskengine.service.store.tasks import merged

router = APIRouter(prefix=V1, tags=["tasks"])


@router.get("/tasks", responses=documented(), response_model=TaskList, summary="List tasks, by name")
def list_tasks(services: ServicesOf, caller: CallerOf, top: Top = 15, cursor: Cursor = None) -> Response:
    page = tasks.page(services, caller, top=top, cursor=cursor)
    return JSONResponse(view.page([view.task(one) for one in page.tasks], page.cursor))


@router.post("/tasks", status_code=201, responses=documented(409), response_model=TaskView, summary="Make a task")
def create_task(services: ServicesOf, caller: CallerOf, body: NewTask) -> Response:
    """The secret of the task's webhook is in this answer only, when the service made it."""
    sent = document_of(body)
    made, webhook, warnings = tasks.create(services, caller, body.name, sent)
    shown = "" if body.webhook_secret else webhook
    return JSONResponse(
        view.task(made, webhook=shown, warnings=warnings), 201, headers={"Location": f"{V1}/tasks/{made.name}"}
    )


@router.get("/tasks/{name}", responses=documented(404), response_model=TaskView, summary="Show a task")
def show_task(services: ServicesOf, caller: CallerOf, name: TaskName) -> Response:
    return JSONResponse(view.task(tasks.show(services, caller, name)))


@router.put("/tasks/{name}", responses=documented(404, 409), response_model=TaskView, summary="Replace a task")
def replace_task(services: ServicesOf, caller: CallerOf, name: TaskName, body: TaskBody) -> Response:
    """Secrets that are left out stay as they are."""
    made, warnings = tasks.replace(services, caller, name, document_of(body))
    return JSONResponse(view.task(made, warnings=warnings))


@router.patch(
    "/tasks/{name}", responses=documented(404, 409), response_model=TaskView, summary="Change a task (RFC 7396)"
)
def change_task(
    services: ServicesOf, caller: CallerOf, name: TaskName, patch: Annotated[dict[str, Any], Body(max_length=100)]
) -> Response:
    """A JSON merge patch: null removes, objects are merged, lists are replaced whole."""
    before = tasks.show(services, caller, name)
    kept: dict[str, Any] = {
        **before.document,
        "status": "Enabled" if before.enabled else "Disabled",
        "owner": before.owner,
    }
    after = merged(kept, {key: value for key, value in patch.items() if key not in _SHOWN_ONLY})
    step = patch.get("step")
    if isinstance(step, Mapping) and step.get("type") not in (None, before.document["step"].get("type")):
        after["step"] = {key: value for key, value in step.items() if value is not None}  # of another type altogether
    made, warnings = tasks.replace(services, caller, name, document_of(TaskBody.model_validate(after)), before=before)
    return JSONResponse(view.task(made, warnings=warnings))


@router.delete("/tasks/{name}", status_code=204, responses=documented(404, 409), summary="Remove a task")
def delete_task(services: ServicesOf, caller: CallerOf, name: TaskName) -> Response:
    """With its secrets. Its runs stay."""
    tasks.delete(services, caller, name)
    return Response(status_code=204)


@router.post(
    "/tasks/{name}/runs",
    status_code=201,
    responses=documented(404, 409) | AGAIN,
    response_model=RunView,
    summary="Run a task",
)
def run_task(
    services: ServicesOf,
    caller: CallerOf,
    name: TaskName,
    body: TaskRunBody | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Queues a run: it is durable when this answers. The same Idempotency-Key gives the same run again (200)."""
    body = body or TaskRunBody()
    made, new, warnings = tasks.run(
        services, caller, name, overrides_of(body), key=idempotency_key or "", fingerprint=fingerprint_of(name, body)
    )
    headers = {"Location": f"{V1}/runs/{made.id}"}
    return JSONResponse(view.run(made, warnings=warnings), 201 if new else 200, headers=headers)


_SHOWN_ONLY = frozenset({"creationDate", "lastModified", "warnings"})


def document_of(body: TaskBody) -> dict[str, Any]:
    """The document as plain data, without what was not given."""
    return body.model_dump(by_alias=True, exclude_none=True, mode="json", exclude={"creation_date", "last_modified"})
