"""A run's log: as text, or followed as server-sent events that resume where they broke off.

Followers are coroutines: hundreds of them wait without a thread each, and read in a few threads of their own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Annotated, Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from taskengine.runs.feed import Frame, FrameKind, frames
from taskengine.service import runs
from taskengine.service.api import view
from taskengine.service.api.access import V1
from taskengine.service.api.ask import RunId
from taskengine.service.api.guard import CallerOf, ServicesOf, documented
from taskengine.service.caller import Caller
from taskengine.service.services import Services
from taskengine.service.store.feeds import topic

router = APIRouter(prefix=V1, tags=["runs"])
T = TypeVar("T")

HEARTBEAT = 15.0
#: how long until a follower looks whether another process has written
_LOOK_AGAIN = 2.0
_THREADS = 8
_STREAMS = {1: "stdout", 2: "stderr"}

Step = Annotated[str | None, Query(max_length=500, description="Only this step's output.")]
Attempt = Annotated[int | None, Query(ge=1, le=1000, description="The newest, unless told.")]
LastEventId = Annotated[str | None, Header(pattern=r"^[0-9]{1,4}:[0-9]{1,18}$")]


@router.get(
    "/runs/{run}/logs",
    responses=documented(404)
    | {
        200: {
            "description": "Text; with `follow`, server-sent events: `log`, `run`, and `end` with the run itself.",
            "content": {
                "text/plain": {"schema": {"type": "string"}},
                "text/event-stream": {"schema": {"type": "string"}},
            },
        }
    },
    response_class=Response,
    summary="Read or follow a run's log",
)
async def show_log(
    request: Request,
    services: ServicesOf,
    caller: CallerOf,
    run: RunId,
    step: Step = None,
    attempt: Attempt = None,
    follow: bool = False,
    last_event_id: LastEventId = None,
) -> Response:
    found = await run_in_threadpool(runs.get, services, caller, run)
    if not follow:
        pieces = services.feeds.text(run, attempt or found.attempt, step)
        return StreamingResponse(_begun(pieces), media_type="text/plain; charset=utf-8", headers=_PLAIN)
    start = (attempt or found.attempt, 0)
    if last_event_id:
        known, _, offset = last_event_id.partition(":")
        start = (int(known), int(offset))
    events = follow_run(services, caller, run, start, step=step, limiter=_limiter(request))
    return StreamingResponse(events, media_type="text/event-stream", headers=_STREAM)


_PLAIN = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
#: proxies are not to hold events back
_STREAM = {**_PLAIN, "X-Accel-Buffering": "no"}


async def follow_run(
    services: Services,
    caller: Caller,
    run: str,
    start: tuple[int, int],
    *,
    step: str | None,
    limiter: CapacityLimiter,
    heartbeat: float = HEARTBEAT,
) -> AsyncIterator[bytes]:
    """The events of a run from an attempt and an offset in its feed on, until the run is over. When an attempt broke
    off, goes on with the next one."""
    attempt, offset = start
    quiet = 0.0
    yield b": the log of run " + run.encode() + b"\n\n"
    with services.bell.listen(topic(run)) as ear:
        while not services.bell.closed:
            state = await _in_thread(limiter, partial(services.feeds.state, run, attempt))
            while offset < state.size:
                data = await _in_thread(limiter, partial(services.feeds.read, run, attempt, offset))
                if not data:
                    break
                for block in _blocks(data, attempt, offset, step):
                    yield block
                offset += len(data)
                quiet = 0.0
            if state.over and attempt < state.attempt:
                attempt, offset = attempt + 1, 0
                continue
            if state.over:
                shown = await _in_thread(limiter, partial(runs.show, services, caller, run))
                yield _event("end", view.run(shown.run, detail=shown), f"{attempt}:{offset}")
                return
            if not await ear.wait(min(_LOOK_AGAIN, heartbeat)):
                quiet += min(_LOOK_AGAIN, heartbeat)
                if quiet >= heartbeat:
                    quiet = 0.0
                    yield b": still here\n\n"


def _blocks(data: bytes, attempt: int, base: int, step: str | None) -> Iterator[bytes]:
    for end, frame in frames(data):
        identity = f"{attempt}:{base + end}"
        if frame.kind is FrameKind.EVENT:
            yield _event("run", frame.event, identity)
        elif step is None or frame.step == step:
            yield _event("log", _log(frame), identity)


def _log(frame: Frame) -> dict[str, Any]:
    out: dict[str, Any] = {"step": frame.step, "stream": _STREAMS.get(frame.stream, "stdout")}
    try:
        out["text"] = frame.payload.decode()
    except UnicodeDecodeError:
        out["base64"] = base64.b64encode(frame.payload).decode()
    return out | {"at": view.time(frame.at)}


def _event(name: str, data: Any, identity: str) -> bytes:
    text = json.dumps(data, separators=(",", ":"))  # one line: JSON escapes every line break
    return f"event: {name}\nid: {identity}\ndata: {text}\n\n".encode()


async def _in_thread(limiter: CapacityLimiter, work: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(work, limiter=limiter)


def _limiter(request: Request) -> CapacityLimiter:
    state = request.app.state
    if not hasattr(state, "followers"):
        state.followers = CapacityLimiter(_THREADS)
    found: CapacityLimiter = state.followers
    return found


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces; one that cannot be read ends the log with a line that says so, since the answer has begun."""
    from taskengine.errors import TaskEngineError

    try:
        yield from pieces
    except TaskEngineError as error:
        yield f"\n[the log ends here: {error.message}]\n".encode()
