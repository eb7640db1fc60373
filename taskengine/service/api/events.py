"""Routes of the ledger: what asked for runs from outside, and what became of it. Thin: a use case, JSON out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from taskengine.service import events
from taskengine.service.api import view
from taskengine.service.api.access import V1
from taskengine.service.api.ask import Cursor, IdempotencyKey, Number, Top, moment
from taskengine.service.api.guard import CallerOf, ServicesOf, documented
from taskengine.service.api.runs import TaskFilter
from taskengine.service.api.schema.common import Moment
from taskengine.service.api.schema.event import EventList, EventState, EventView, RefuseBody
from taskengine.service.store.ledger import Wanted

router = APIRouter(prefix=V1, tags=["events"])

Source = Annotated[str | None, Query(pattern=r"^[a-z]{1,50}$", description="By which door it came, such as github.")]
Since = Annotated[Moment | None, Query(alias="from", description="Came at this time or later (RFC 3339).")]
Until = Annotated[Moment | None, Query(alias="to", description="Came at this time or earlier (RFC 3339).")]


@router.get("/events", responses=documented(), response_model=EventList, summary="List events, the newest first")
def list_events(
    services: ServicesOf,
    caller: CallerOf,
    state: EventState | None = None,
    task: TaskFilter = None,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    top: Top = 15,
    cursor: Cursor = None,
) -> Response:
    """What came from outside: webhooks, notifications of registries, what polling found, timers that were due."""
    wanted = Wanted(state=state, task=task, source=source, since=moment(since), until=moment(until))
    found, after = events.page(services, caller, wanted, top=top, cursor=cursor)
    return JSONResponse(view.page([view.event(one) for one in found], after))


@router.get("/events/{number}", responses=documented(404), response_model=EventView, summary="Show an event")
def show_event(services: ServicesOf, caller: CallerOf, number: Number) -> Response:
    """What it led to for each task, and why. Its headers and its body are for developers, operators and admins."""
    return JSONResponse(view.shown_event(events.show(services, caller, number)))


@router.post(
    "/events/{number}/replay", responses=documented(404, 409), response_model=EventView, summary="Work on it again"
)
def replay_event(
    services: ServicesOf, caller: CallerOf, number: Number, idempotency_key: IdempotencyKey = None
) -> Response:
    """As if it had just come: what it started before, it starts again. The same Idempotency-Key does so once."""
    return JSONResponse(view.shown_event(events.replay(services, caller, number, key=idempotency_key or "")))


@router.post(
    "/events/{number}/approve", responses=documented(404, 409), response_model=EventView, summary="Start what waits"
)
def approve_event(services: ServicesOf, caller: CallerOf, number: Number) -> Response:
    """Queues the run of a pull request from a fork, without the task's secrets. Twice is the same as once."""
    return JSONResponse(view.shown_event(events.approve(services, caller, number)))


@router.post(
    "/events/{number}/refuse", responses=documented(404, 409), response_model=EventView, summary="Never start it"
)
def refuse_event(services: ServicesOf, caller: CallerOf, number: Number, body: RefuseBody | None = None) -> Response:
    """The event is ignored from now on."""
    reason = body.reason if body else ""
    return JSONResponse(view.shown_event(events.refuse(services, caller, number, reason)))
