"""Routes of waves: what a changed image has rebuilt, and how far that is. Thin: a use case, JSON out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from taskengine.service import waves
from taskengine.service.api import view
from taskengine.service.api.access import V1
from taskengine.service.api.ask import Cursor, Number, Top
from taskengine.service.api.guard import CallerOf, ServicesOf, documented
from taskengine.service.api.schema.wave import WaveList, WaveState, WaveView
from taskengine.service.store.waves import STARTED, StoredMember
from taskengine.service.waves import ShownWave

router = APIRouter(prefix=V1, tags=["waves"])


@router.get("/waves", responses=documented(), response_model=WaveList, summary="List waves, the newest first")
def list_waves(
    services: ServicesOf, caller: CallerOf, state: WaveState | None = None, top: Top = 15, cursor: Cursor = None
) -> Response:
    """What changed images have rebuilt."""
    found, after = waves.page(services, caller, state=state, top=top, cursor=cursor)
    return JSONResponse(view.page([_wave(one) for one in found], after))


@router.get("/waves/{number}", responses=documented(404), response_model=WaveView, summary="Show a wave")
def show_wave(services: ServicesOf, caller: CallerOf, number: Number) -> Response:
    """Its tasks in their order, with their runs, and why each ended as it did."""
    return JSONResponse(_wave(waves.show(services, caller, number)))


def _wave(found: ShownWave) -> dict[str, Any]:
    wave = found.wave
    out: dict[str, Any] = {
        "number": wave.number,
        "state": wave.state,
        "event": wave.event,
        "opened": view.time(wave.opened),
        "ended": view.time(wave.ended),
        "images": [
            {
                "image": one["image"],
                "digest": one["digest"],
                "event": one["event"],
                "at": view.time(datetime.fromisoformat(one["at"])),
            }
            for one in wave.images
        ],
        "levels": wave.plan.get("levels", 0),
        "tasks": dict(found.tasks),
        "cycles": [list(cycle) for cycle in found.cycles],
        "leftOut": wave.plan.get("leftOut", 0),
    }
    if found.members is not None:
        out["members"] = [_member(one) for one in found.members]
    return out


def _member(one: StoredMember) -> dict[str, Any]:
    return {
        "task": one.task,
        "level": one.level,
        "state": "ready" if one.state == STARTED and not one.run else one.state,
        "run": one.run or None,
        "parents": list(one.parents),
        "images": list(one.images),
        "reason": one.reason,
    }
