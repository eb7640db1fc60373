"""Routes without a token: is it alive, is it ready, its numbers. They tell nothing of tasks, runs or people."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from taskengine.errors import TaskEngineError
from taskengine.service.api.guard import ServicesOf
from taskengine.service.api.schema.common import View
from taskengine.service.metrics import CONTENT_TYPE, Metrics

router = APIRouter(tags=["service"])


class Health(View):
    status: str


class Readiness(View):
    """Each check is `ok`, or says what is wrong."""

    status: str
    checks: dict[str, str]


@router.get("/healthz", response_model=Health, summary="Is it alive")
async def healthz() -> Response:
    return JSONResponse({"status": "ok"})


@router.get(
    "/readyz",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Not ready"}},
    summary="Is it ready",
)
def readyz(services: ServicesOf) -> Response:
    """Whether the database answers, the data folder can be written to, and no shutdown is under way."""
    checks = {"database": "ok", "data": _writable(services.data), "serving": "ok"}
    try:
        services.database.ping()
    except TaskEngineError:
        checks["database"] = "it does not answer"
    if services.draining:
        checks["serving"] = "shutting down"
    ready = all(said == "ok" for said in checks.values())
    return JSONResponse({"status": "ok" if ready else "not ready", "checks": checks}, 200 if ready else 503)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    summary="Numbers for Prometheus",
)
def metrics(request: Request) -> Response:
    found: Metrics = request.app.state.metrics
    return Response(found.text(), headers={"Content-Type": CONTENT_TYPE})


def _writable(folder: Path) -> str:
    path = folder / f".ready-{secrets.token_hex(4)}"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, b"ready\n")
        finally:
            os.close(handle)
            path.unlink(missing_ok=True)
    except OSError as error:
        return f"it cannot be written to: {(error.strerror or 'no reason given').lower()}"
    return "ok"
