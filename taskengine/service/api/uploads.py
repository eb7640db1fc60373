"""Routes of uploads: announced, sent in pieces that may be resumed, checked, and only then of use to a run."""

from __future__ import annotations

import re
import secrets
from datetime import timedelta
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from taskengine.errors import InvalidInput, NotFound
from taskengine.service.api import view
from taskengine.service.api.access import V1
from taskengine.service.api.ask import Id
from taskengine.service.api.guard import CallerOf, ServicesOf, documented
from taskengine.service.api.schema.run import UploadBody, UploadView
from taskengine.service.caller import Caller
from taskengine.service.refusal import TooLarge
from taskengine.service.services import Services
from taskengine.service.store import uploads
from taskengine.service.store.uploads import Upload

router = APIRouter(prefix=V1, tags=["uploads"])

_PIECE = 4 << 20
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(?:\d{1,18}|\*)")

Offset = Annotated[int | None, Header(ge=0, le=2**53, description="Where in the whole this body begins.")]
ContentRange = Annotated[str | None, Header(pattern=r"^bytes [0-9]{1,18}-[0-9]{1,18}/([0-9]{1,18}|\*)$")]
_BINARY = {"requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}}


@router.post(
    "/uploads", status_code=201, responses=documented(), response_model=UploadView, summary="Announce an upload"
)
def announce(services: ServicesOf, caller: CallerOf, body: UploadBody) -> Response:
    most = services.settings.largest_upload
    if body.size > most:
        raise TooLarge(f"an upload of {body.size} bytes is larger than the {most} that are taken", hint="send less")
    made = services.database.transact(
        lambda conn: uploads.create(
            conn,
            new_id=secrets.token_hex(12),
            owner=caller.name,
            size=body.size,
            sha256=body.sha256,
            now=services.now(),
            kept=_kept(services),
        )
    )
    return JSONResponse(view.upload(made), 201, headers={"Location": f"{V1}/uploads/{made.id}"})


@router.get("/uploads/{upload}", responses=documented(404), response_model=UploadView, summary="Show an upload")
def show(services: ServicesOf, caller: CallerOf, upload: Id) -> Response:
    found = _mine(services, caller, upload)
    return JSONResponse(view.upload(found), headers={"Upload-Offset": str(found.received)})


@router.put(
    "/uploads/{upload}",
    responses=documented(404, 409),
    response_model=UploadView,
    openapi_extra=_BINARY,
    summary="Send a piece",
)
async def send(
    request: Request,
    services: ServicesOf,
    caller: CallerOf,
    upload: Id,
    upload_offset: Offset = None,
    content_range: ContentRange = None,
) -> Response:
    """What came in before a connection broke is kept: ask for the upload to see where to go on. A piece for another
    place is refused (409) with the right one in `Upload-Offset`."""
    found = await run_in_threadpool(_mine, services, caller, upload)
    at = _offset(upload_offset, content_range)
    held = bytearray()
    try:
        async for piece in request.stream():
            held += piece
            if len(held) >= _PIECE:
                at = await _write(services, upload, at, bytes(held))
                held.clear()
    except ClientDisconnect:
        await _write(services, upload, at, bytes(held))
        raise
    at = await _write(services, upload, at, bytes(held))
    found = await run_in_threadpool(_mine, services, caller, upload)
    return JSONResponse(view.upload(found), headers={"Upload-Offset": str(at)})


@router.post(
    "/uploads/{upload}/commit", responses=documented(404, 409), response_model=UploadView, summary="Check an upload"
)
def commit(services: ServicesOf, caller: CallerOf, upload: Id) -> Response:
    """Size and SHA-256 are compared; only now can a run name `upload:ID` as its context."""
    _mine(services, caller, upload)
    return JSONResponse(view.upload(services.uploads.commit(upload)))


async def _write(services: Services, upload: str, at: int, data: bytes) -> int:
    work = partial(services.uploads.write, upload, at, [data], now=services.now(), kept=_kept(services))
    return await run_in_threadpool(work)


def _mine(services: Services, caller: Caller, upload: str) -> Upload:
    with services.database.read() as conn:
        found = uploads.get(conn, upload)
    if found.owner != caller.name:
        raise NotFound(f"there is no upload {upload}", hint="it may have expired: upload the context again")
    return found


def _kept(services: Services) -> timedelta:
    return timedelta(hours=services.settings.upload_hours)


def _offset(offset: int | None, content_range: str | None) -> int:
    if offset is not None:
        return offset
    if content_range is not None and (found := _RANGE.fullmatch(content_range)):
        return int(found[1])
    if content_range is not None:
        raise InvalidInput("this Content-Range is none", hint="write bytes FIRST-LAST/SIZE, or send Upload-Offset")
    return 0
