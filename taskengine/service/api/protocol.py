"""What workers say and hear: they register, tell that they live, take runs, and send what the runs say.

Every word about a run names the epoch of the lease; with an old one it is refused (410), noted, and changes nothing.
Whether the caller is the worker that its path names was settled before any of this is called (`guard.authorize`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from taskengine.errors import NotFound
from taskengine.service.api.access import V1
from taskengine.service.api.ask import Id, RunId
from taskengine.service.api.guard import CallerOf, ServicesOf, documented, speak_for
from taskengine.service.api.schema.admin import (
    HeartbeatBody,
    HeartbeatView,
    LeaseBody,
    LeaseView,
    Registered,
    ReleaseBody,
    WorkerBody,
)
from taskengine.service.metrics import Metrics
from taskengine.service.model import Lease, WorkerState
from taskengine.service.services import Services
from taskengine.service.store import Connection, queue, secrets, workers
from taskengine.service.store import runs as stored
from taskengine.service.store.feeds import Fenced, topic
from taskengine.service.store.signals import QUEUE

router = APIRouter(prefix=V1, tags=["workers"])

_LOOK_AGAIN = 1.0
_FEED = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
Epoch = Annotated[int, Query(ge=0, le=2**31 - 1)]
EpochHeader = Annotated[int, Header(alias="X-Epoch", ge=0, le=2**31 - 1)]
Offset = Annotated[int, Header(alias="Upload-Offset", ge=0, le=2**53)]


@router.post("/workers", responses=documented(), response_model=Registered, summary="Register a worker")
def register(services: ServicesOf, caller: CallerOf, body: WorkerBody) -> Response:
    """The same name comes back under the same id. A token speaks for one worker: the first whose name it comes with."""
    import secrets as random

    speak_for(services, caller, body.name)

    def work(conn: Connection) -> str:
        made = workers.register(
            conn,
            name=body.name,
            new_id=random.token_hex(6),
            now=services.now(),
            pool=body.pool,
            labels=body.labels,
            platforms=body.platforms,
            capacity=body.capacity,
            version=body.version,
        )
        services.note(conn, caller, "worker.register", made.name, id=made.id)
        return made.id

    settings = services.settings
    made = services.database.transact(work)
    return JSONResponse(
        {"id": made, "leaseSeconds": settings.lease_seconds, "heartbeatSeconds": settings.heartbeat_seconds}
    )


@router.post(
    "/workers/{worker}/heartbeat", responses=documented(404), response_model=HeartbeatView, summary="Say that it lives"
)
def heartbeat(services: ServicesOf, _: CallerOf, worker: Id, body: HeartbeatBody) -> Response:
    """Renews the leases that are still held, and tells which are not, and which runs are to be canceled."""

    def work(conn: Connection) -> tuple[bool, list[queue.Held]]:
        now = services.now()
        beaten = workers.beat(conn, worker, WorkerState(body.state), body.health, now=now)
        leases = [(lease.run, lease.epoch) for lease in body.leases]
        held = queue.renew(conn, worker, leases, now=now, term=services.lease_term)
        return beaten.state is WorkerState.DRAINING, held

    drain, held = services.database.transact(work)
    services.bell.tell(f"worker:{worker}")
    leases = [
        {"run": one.run, "epoch": one.epoch, "state": "held" if one.held else "lost", "cancel": one.cancel or None}
        for one in held
    ]
    return JSONResponse({"leases": leases, "drain": drain})


@router.post(
    "/workers/{worker}/lease",
    responses=documented(404) | {204: {"description": "There is no run for it now."}},
    response_model=LeaseView,
    summary="Take a run",
)
async def lease(request: Request, services: ServicesOf, _: CallerOf, worker: Id, body: LeaseBody) -> Response:
    """Waits for a run, for `wait` seconds at most."""
    end = time.monotonic() + body.wait
    with services.bell.listen(QUEUE, f"worker:{worker}") as ear:
        while not services.bell.closed:
            # a worker that is gone must not be given a run that nobody would then carry out
            if await request.is_disconnected():
                break
            given = await run_in_threadpool(_lease, services, worker, body.free)
            if given is not None:
                _metrics(request).leased((services.now() - given[0].run.created).total_seconds())
                return JSONResponse(_lease_view(services, *given))
            left = end - time.monotonic()
            if left <= 0 or services.draining:
                break
            await ear.wait(min(left, _LOOK_AGAIN))
    return Response(status_code=204)


@router.get(
    "/workers/{worker}/runs/{run}",
    responses=documented(404, 410),
    response_model=LeaseView,
    summary="Go on with a run after a restart",
)
def resume(services: ServicesOf, _: CallerOf, worker: Id, run: RunId, epoch: Epoch) -> Response:
    found = _held(services, worker, run, epoch)
    with services.database.read() as conn:
        given = secrets.get(conn, services.box, "run", run)
    return JSONResponse(_lease_view(services, found, given))


@router.post(
    "/workers/{worker}/runs/{run}/release", status_code=204, responses=documented(404, 410), summary="Give a run back"
)
def release(services: ServicesOf, _: CallerOf, worker: Id, run: RunId, body: ReleaseBody) -> Response:
    """A worker that goes gives back what it could not begin: the run waits anew at once, and no attempt is lost."""
    why = body.reason or "its worker gave it back"
    work = partial(queue.give_back, now=services.now())
    if not services.database.transact(lambda conn: work(conn, worker, run, body.epoch, why)):
        raise Fenced(run)
    services.bell.tell(QUEUE, topic(run))
    return Response(status_code=204)


@router.patch(
    "/workers/{worker}/runs/{run}/feed",
    status_code=204,
    responses=documented(404, 409, 410),
    openapi_extra=_FEED,
    summary="Append to a run's feed",
)
async def append(
    request: Request,
    services: ServicesOf,
    _: CallerOf,
    worker: Id,
    run: RunId,
    upload_offset: Offset,
    x_epoch: EpochHeader,
) -> Response:
    """Whole frames at `Upload-Offset`, which is where the service's copy ends (409 says where it does). The answer's
    `Upload-Offset` is what is safe; `X-Cancel` is there once the run is to be canceled."""
    data = await request.body()
    size, found = await run_in_threadpool(_append, services, worker, run, x_epoch, upload_offset, data)
    if found.status.is_final:
        _metrics(request).finished(found)
    headers = {"Upload-Offset": str(size)}
    if found.cancel_reason and not found.status.is_final:
        headers["X-Cancel"] = "canceled"
    return Response(status_code=204, headers=headers)


@router.get(
    "/workers/{worker}/runs/{run}/context",
    responses=documented(404, 409, 410)
    | {200: {"description": "The archive.", "content": {"application/octet-stream": {"schema": {"type": "string"}}}}},
    response_class=Response,
    summary="Fetch the context that was uploaded for a run",
)
def context(services: ServicesOf, _: CallerOf, worker: Id, run: RunId, epoch: Epoch) -> Response:
    found = _held(services, worker, run, epoch)
    name = str(found.run.spec.get("context", ""))
    if not name.startswith("upload:"):
        raise NotFound(f"run {run} has no uploaded context")
    file = services.uploads.open(name.removeprefix("upload:"))
    return StreamingResponse(_chunks(file), media_type="application/octet-stream")


def _lease(services: Services, worker: str, free: int) -> tuple[Lease, dict[str, str]] | None:
    if services.draining:
        return None

    def work(conn: Connection) -> tuple[Lease, dict[str, str]] | None:
        now = services.now()
        found = workers.get(conn, worker)
        return queue.hand_out(
            conn, services.box, found, now=now, caps=services.caps, term=services.lease_term, free=free
        )

    given = services.database.transact(work)
    if given is not None:
        services.bell.tell(topic(given[0].run.id))
    return given


def _lease_view(services: Services, found: Lease, given: dict[str, str]) -> dict[str, Any]:
    return {
        "run": found.run.id,
        "attempt": found.run.attempt,
        "epoch": found.epoch,
        "leaseSeconds": services.settings.lease_seconds,
        "spec": dict(found.run.spec),
        "secrets": given,
        "feedSize": found.run.feed_size,
    }


def _held(services: Services, worker: str, run: str, epoch: int) -> Lease:
    with services.database.read() as conn:
        found = queue.held(conn, worker, run, epoch)
        if found is None:
            stored.get(conn, run)
            raise Fenced(run)
    return found


def _append(services: Services, worker: str, run: str, epoch: int, offset: int, data: bytes) -> tuple[int, Any]:
    size = services.feeds.append(worker, run, epoch, offset, data, now=services.now())
    with services.database.read() as conn:
        return size, stored.get(conn, run)


def _metrics(request: Request) -> Metrics:
    found: Metrics = request.app.state.metrics
    return found


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with suppress(OSError), file:
        while chunk := file.read(1 << 18):
            yield chunk
