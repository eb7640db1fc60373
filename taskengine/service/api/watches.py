"""Routes of watched images: what is known of each, and of what a task stands on. Thin: a use case, JSON out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from taskengine.service import watches
from taskengine.service.api import view
from taskengine.service.api.access import V1
from taskengine.service.api.ask import TaskName, Top
from taskengine.service.api.guard import CallerOf, ServicesOf, documented
from taskengine.service.api.runs import TaskFilter
from taskengine.service.api.schema.watch import CheckBody, CheckView, HookToken, StandingView, WatchList
from taskengine.service.store.taskimages import TaskImage
from taskengine.service.store.watches import Watch

router = APIRouter(prefix=V1, tags=["watches"])

Cursor = Annotated[
    str | None, Query(pattern=r"^[A-Za-z0-9._/:\[\]-]{1,500}$", description="nextCursor of the page before.")
]
Failing = Annotated[bool, Query(description="Only images whose last check failed.")]


@router.get("/watches", responses=documented(404), response_model=WatchList, summary="List watched images, by name")
def list_watches(
    services: ServicesOf, caller: CallerOf, task: TaskFilter = None, failing: Failing = False, top: Top = 15,
    cursor: Cursor = None,
) -> Response:  # fmt: skip
    """Each image that tasks stand on, once: what its tag stood for, the last check, the next one, the last error."""
    found, after = watches.page(services, caller, top=top, cursor=cursor, failing=failing, task=task)
    return JSONResponse(view.page([_watch(one) for one in found], after))


@router.get(
    "/tasks/{name}/images", responses=documented(404), response_model=StandingView, summary="What a task stands on"
)
def task_images(services: ServicesOf, caller: CallerOf, name: TaskName) -> Response:
    """The images that it uses, makes, and does not watch, with what is known of each."""
    found = watches.standing(services, caller, name)
    scan = found.scan
    return JSONResponse(
        {
            "task": found.task,
            "watching": scan.watching if scan else False,
            "revision": scan.revision if scan else 0,
            "scanned": view.time(scan.scanned) if scan else None,
            "error": scan.error if scan else "",
            "images": [_image(one, found.watches.get(one.image)) for one in found.images],
        }
    )


@router.post(
    "/watches/check", status_code=202, responses=documented(404), response_model=CheckView, summary="Ask about one now"
)
def check_watch(services: ServicesOf, caller: CallerOf, body: CheckBody) -> Response:
    """Its registry is asked at once, as far as its limit allows. What came of it stands in the list then."""
    return JSONResponse({"image": watches.check(services, caller, body.image)}, 202)


@router.post(
    "/watches/token",
    status_code=201,
    responses=documented(),
    response_model=HookToken,
    summary="A token for registries",
)
def new_token(services: ServicesOf, caller: CallerOf) -> Response:
    """Makes the token that registries prove themselves by at `/hooks/registry/PRODUCT`. The one before is good no
    longer."""
    return JSONResponse({"token": watches.new_token(services, caller)}, 201)


def _watch(one: Watch) -> dict[str, Any]:
    seen = one.seen
    return {
        "image": one.image,
        "seen": {"digest": seen["digest"], "platforms": dict(seen.get("platforms", {}))} if seen else None,
        "changes": one.changes,
        "checked": view.time(one.checked),
        "changed": view.time(one.changed),
        "told": view.time(one.told),
        "nextCheck": view.time(one.next_at),
        "failures": one.failures,
        "error": one.error,
        "tasks": one.tasks,
    }


def _image(one: TaskImage, watch: Watch | None) -> dict[str, Any]:
    return {
        "relation": one.relation.value,
        "image": one.image,
        "platform": one.platform or None,
        "type": one.kind or None,
        "digest": one.digest or None,
        "platformDigest": one.platform_digest or None,
        "reason": one.reason,
        "watch": _watch(watch) if watch else None,
    }
