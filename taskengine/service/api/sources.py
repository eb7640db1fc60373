"""Routes of what lies between a task and its forge: repositories that are asked, webhooks, statuses. Thin."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from taskengine.service import sources
from taskengine.service.api import view
from taskengine.service.api.access import V1
from taskengine.service.api.ask import Cursor, Number, TaskName, Top
from taskengine.service.api.guard import CallerOf, ServicesOf, documented
from taskengine.service.api.schema.source import SourceList, StatusList, StatusView

router = APIRouter(prefix=V1, tags=["tasks"])

State = Annotated[Literal["waiting", "delivered", "superseded", "dead"] | None, Query()]


@router.get(
    "/tasks/{name}/sources", responses=documented(404), response_model=SourceList,
    summary="Show how it goes with a task's source triggers",
)  # fmt: skip
def show_sources(services: ServicesOf, caller: CallerOf, name: TaskName) -> Response:
    """When each repository was asked for commits and when it is next, the webhook at its forge, and what went wrong."""
    return JSONResponse({"value": [view.source(one) for one in sources.show(services, caller, name)]})


@router.post(
    "/tasks/{name}/sources/retry", responses=documented(404), response_model=SourceList,
    summary="Try again at once what went wrong with them",
)  # fmt: skip
def retry_sources(services: ServicesOf, caller: CallerOf, name: TaskName) -> Response:
    """Webhooks that were given up are made or removed after all, and the repositories are asked."""
    return JSONResponse({"value": [view.source(one) for one in sources.retry(services, caller, name)]})


@router.get(
    "/tasks/{name}/statuses", responses=documented(404), response_model=StatusList,
    summary="List what forges were told of a task's runs, the newest first",
)  # fmt: skip
def list_statuses(
    services: ServicesOf, caller: CallerOf, name: TaskName, state: State = None, top: Top = 15, cursor: Cursor = None
) -> Response:
    found, after = sources.statuses(services, caller, name, state=state, top=top, cursor=cursor)
    return JSONResponse(view.page([view.commit_status(one) for one in found], after))


@router.post(
    "/tasks/{name}/statuses/{number}/replay", responses=documented(404), response_model=StatusView,
    summary="Tell the forge again",
)  # fmt: skip
def replay_status(services: ServicesOf, caller: CallerOf, name: TaskName, number: Number) -> Response:
    return JSONResponse(view.commit_status(sources.replay(services, caller, name, number)))
