"""Routes that the triggers answer: why a run came to be, who stands on what, what would happen. Thin."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from taskengine.service.api.access import V1
from taskengine.service.api.ask import RunId, moment
from taskengine.service.api.guard import CallerOf, ServicesOf, documented
from taskengine.service.api.schema.why import Explanation, GraphView, SimulateBody, SimulationView
from taskengine.service.events import triggers_of
from taskengine.service.triggering import Push, Question

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


@router.post("/simulate", responses=documented(), response_model=SimulationView, summary="What would happen")
def simulate(services: ServicesOf, caller: CallerOf, body: SimulateBody) -> Response:
    """If an image changed, something was pushed, or it was that time: what would run, in which order, and what would be
    held back. Nothing is done."""
    push = None
    if body.push is not None:
        given = body.push.model_dump(exclude={"paths"})
        push = Push(**given, paths=None if body.push.paths is None else tuple(body.push.paths))
    question = Question(image=body.image, push=push, at=moment(body.at))
    return JSONResponse(triggers_of(services).simulate(services, caller, question))
