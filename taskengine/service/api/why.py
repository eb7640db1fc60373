"""Routes that the triggers answer: why a run came to be, who stands on what, what would happen. Thin."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from taskengine.service.api.access import V1
from taskengine.service.api.ask import RunId
from taskengine.service.api.guard import CallerOf, ServicesOf, documented
from taskengine.service.api.schema.why import Explanation, GraphView
from taskengine.service.events import triggers_of

router = APIRouter(prefix=V1, tags=["events"])


@router.get(
    "/runs/{run}/explanation", responses=documented(404), response_model=Explanation, summary="Why a run was queued"
)
def explain_run(services: ServicesOf, caller: CallerOf, run: RunId) -> Response:
    """Its causes, those first that started it, each followed by what led to it."""
    return JSONResponse(triggers_of(services).explain(services, caller, run))


@router.get("/graph", responses=documented(), response_model=GraphView, summary="Which task makes which image")
def show_graph(services: ServicesOf, caller: CallerOf) -> Response:
    """And which stands on it: known from a task's making on, exact after each of its runs."""
    return JSONResponse(triggers_of(services).graph(services, caller))
