"""Routes for those who run the service: tokens, workers, outgoing webhooks, the audit log, retention."""

from __future__ import annotations

import secrets as random
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from taskengine.errors import InvalidInput
from taskengine.runs.model import RunStatus
from taskengine.service import delivery
from taskengine.service.api import view
from taskengine.service.api.access import V1
from taskengine.service.api.ask import Cursor, Id, Number, Top, moment
from taskengine.service.api.guard import CallerOf, ServicesOf, documented
from taskengine.service.api.schema.admin import (
    AuditList,
    DeliveryList,
    DeliveryView,
    HookBody,
    HookChange,
    HookList,
    HookView,
    RetentionBody,
    RetentionView,
    TokenBody,
    TokenList,
    TokenView,
    VersionView,
    WorkerChange,
    WorkerList,
    WorkerView,
)
from taskengine.service.model import Role
from taskengine.service.store import Connection, audit, hooks, retention, runs, tokens, workers
from taskengine.service.store.runs import Filter
from taskengine.service.store.signals import QUEUE

router = APIRouter(prefix=V1)


@router.get("/version", tags=["service"], responses=documented(), response_model=VersionView, summary="Who am I, here")
def version(caller: CallerOf) -> Response:
    """The service's version, and what the token is."""
    from taskengine import __version__

    return JSONResponse(
        {"version": __version__, "name": caller.name, "role": caller.role.value, "scopes": list(caller.scopes)}
    )


# -- tokens -----------------------------------------------------------------------------------------------------------


@router.get("/tokens", tags=["tokens"], responses=documented(), response_model=TokenList, summary="List tokens")
def list_tokens(services: ServicesOf, _: CallerOf) -> Response:
    with services.database.read() as conn:
        return JSONResponse({"value": [view.token(one) for one in tokens.list_all(conn)]})


@router.post(
    "/tokens",
    tags=["tokens"],
    status_code=201,
    responses=documented(),
    response_model=TokenView,
    summary="Make a token",
)
def create_token(services: ServicesOf, caller: CallerOf, body: TokenBody) -> Response:
    """The token itself is in this answer only."""
    expires = moment(body.expires)
    if expires is not None and expires <= services.now():
        raise InvalidInput("this token would have expired already", hint="name a time in the future")

    if body.worker and body.role != Role.WORKER.value:
        raise InvalidInput(f"a token of role {body.role} speaks for no worker", hint="leave out worker")

    def work(conn: Connection) -> Response:
        made, text = tokens.create(
            conn,
            name=body.name,
            role=Role(body.role),
            now=services.now(),
            scopes=body.scopes,
            expires=expires,
            worker=body.worker,
        )
        bound = {"worker": made.worker} if made.worker else {}
        services.note(
            conn, caller, "token.create", made.id, name=made.name, role=made.role.value, scopes=body.scopes, **bound
        )
        return JSONResponse(view.token(made, text=text), 201)

    return services.database.transact(work)


@router.delete("/tokens/{token}", tags=["tokens"], status_code=204, responses=documented(404), summary="Revoke a token")
def revoke_token(services: ServicesOf, caller: CallerOf, token: Id) -> Response:
    """From now on it opens nothing. Revoking twice does no harm."""

    def work(conn: Connection) -> None:
        tokens.revoke(conn, token, now=services.now())
        services.note(conn, caller, "token.revoke", token)

    services.database.transact(work)
    return Response(status_code=204)


# -- workers ----------------------------------------------------------------------------------------------------------


@router.get("/workers", tags=["workers"], responses=documented(), response_model=WorkerList, summary="List workers")
def list_workers(services: ServicesOf, _: CallerOf) -> Response:
    with services.database.read() as conn:
        found = workers.list_all(conn)
        active = runs.page(conn, Filter(statuses=(RunStatus.STARTED, RunStatus.RUNNING)), top=10_000).runs
    running = {one.id: [run.id for run in active if run.worker == one.id] for one in found}
    return JSONResponse({"value": [view.worker(one, running[one.id]) for one in found]})


@router.patch(
    "/workers/{worker}",
    tags=["workers"],
    responses=documented(404),
    response_model=WorkerView,
    summary="Drain a worker",
)
def change_worker(services: ServicesOf, caller: CallerOf, worker: Id, body: WorkerChange) -> Response:
    """It ends what it runs and takes nothing more; or, with `drain` false, it takes some again."""

    def work(conn: Connection) -> Response:
        found = workers.drain(conn, worker, body.drain)
        services.note(conn, caller, "worker.drain" if body.drain else "worker.undrain", found.name)
        return JSONResponse(view.worker(found))

    answer = services.database.transact(work)
    services.bell.tell(QUEUE)
    return answer


# -- outgoing webhooks ------------------------------------------------------------------------------------------------


@router.get("/hooks", tags=["hooks"], responses=documented(), response_model=HookList, summary="List outgoing webhooks")
def list_hooks(services: ServicesOf, _: CallerOf) -> Response:
    with services.database.read() as conn:
        return JSONResponse({"value": [view.hook(one) for one in hooks.list_all(conn)]})


@router.post(
    "/hooks", tags=["hooks"], status_code=201, responses=documented(), response_model=HookView, summary="Make a webhook"
)
def create_hook(services: ServicesOf, caller: CallerOf, body: HookBody) -> Response:
    """The secret is in this answer only, when the service made it."""
    delivery.check_address(body.url, private=services.settings.hooks_to_private_addresses)
    secret = body.secret or random.token_urlsafe(32)

    def work(conn: Connection) -> Response:
        made = hooks.create(
            conn, services.box, url=body.url, secret=secret, now=services.now(), events=body.events, tasks=body.tasks
        )
        services.note(conn, caller, "hook.create", made.id, url=delivery.shown(made.url))
        return JSONResponse(view.hook(made, secret="" if body.secret else secret), 201)

    return services.database.transact(work)


@router.get("/hooks/{hook}", tags=["hooks"], responses=documented(404), response_model=HookView, summary="Show one")
def show_hook(services: ServicesOf, _: CallerOf, hook: Id) -> Response:
    with services.database.read() as conn:
        return JSONResponse(view.hook(hooks.get(conn, hook)))


@router.patch(
    "/hooks/{hook}", tags=["hooks"], responses=documented(404), response_model=HookView, summary="Change a webhook"
)
def change_hook(services: ServicesOf, caller: CallerOf, hook: Id, body: HookChange) -> Response:
    if body.url is not None:
        delivery.check_address(body.url, private=services.settings.hooks_to_private_addresses)

    def work(conn: Connection) -> Response:
        made = hooks.update(conn, hook, url=body.url, events=body.events, tasks=body.tasks, enabled=body.enabled)
        services.note(conn, caller, "hook.update", hook, **body.model_dump(exclude_none=True, exclude={"url"}))
        return JSONResponse(view.hook(made))

    return services.database.transact(work)


@router.delete("/hooks/{hook}", tags=["hooks"], status_code=204, responses=documented(404), summary="Remove a webhook")
def delete_hook(services: ServicesOf, caller: CallerOf, hook: Id) -> Response:
    def work(conn: Connection) -> None:
        hooks.delete(conn, hook)
        services.note(conn, caller, "hook.delete", hook)

    services.database.transact(work)
    return Response(status_code=204)


@router.get(
    "/hooks/{hook}/deliveries",
    tags=["hooks"],
    responses=documented(404),
    response_model=DeliveryList,
    summary="List a webhook's deliveries, the newest first",
)
def list_deliveries(
    services: ServicesOf,
    _: CallerOf,
    hook: Id,
    state: Annotated[Literal["waiting", "delivered", "dead"] | None, Query()] = None,
    top: Top = 15,
    cursor: Cursor = None,
) -> Response:
    with services.database.read() as conn:
        found, after = hooks.page(conn, hook, state=state, top=top, cursor=cursor)
    return JSONResponse(view.page([view.delivery(one) for one in found], after))


@router.post(
    "/hooks/{hook}/deliveries/{number}/replay",
    tags=["hooks"],
    responses=documented(404),
    response_model=DeliveryView,
    summary="Send a delivery again",
)
def replay_delivery(services: ServicesOf, caller: CallerOf, hook: Id, number: Number) -> Response:
    def work(conn: Connection) -> Response:
        found = hooks.replay(conn, hook, number, now=services.now())
        services.note(conn, caller, "hook.replay", hook, number=number)
        return JSONResponse(view.delivery(found))

    return services.database.transact(work)


# -- audit log, retention ---------------------------------------------------------------------------------------------


@router.get("/audit", tags=["service"], responses=documented(), response_model=AuditList, summary="Who changed what")
def list_audit(services: ServicesOf, _: CallerOf, top: Top = 15, cursor: Cursor = None) -> Response:
    """The newest first."""
    with services.database.read() as conn:
        found, after = audit.page(conn, top=top, cursor=cursor)
    return JSONResponse(view.page([view.audit(one) for one in found], after))


@router.get(
    "/retention", tags=["service"], responses=documented(), response_model=RetentionView, summary="What would go"
)
def show_retention(
    services: ServicesOf, _: CallerOf, days: Annotated[int | None, Query(ge=0, le=36500)] = None
) -> Response:
    """Runs over for longer than `days` and not archived; uploads that nobody needs. Nothing is removed."""
    rules = services.retention(days)
    gone = retention.plan(services.database, services.feeds, services.uploads, rules, now=services.now())
    return JSONResponse(view.losses(gone, dry_run=True))


@router.post("/retention", tags=["service"], responses=documented(), response_model=RetentionView, summary="Remove it")
def run_retention(services: ServicesOf, caller: CallerOf, body: RetentionBody | None = None) -> Response:
    """What a dry run names, now. Every run that goes is in the audit log."""
    rules = services.retention(body.days if body else None)
    gone = retention.carry_out(
        services.database, services.feeds, services.uploads, rules, now=services.now(), actor=caller.name
    )
    return JSONResponse(view.losses(gone, dry_run=False))
