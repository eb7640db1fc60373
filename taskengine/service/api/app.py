"""The application: every route, the same errors, limits and measurements around all of them."""

from __future__ import annotations

import re
import time
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from taskengine import __version__
from taskengine.service.api import (
    admin,
    events,
    logs,
    problem,
    protocol,
    runs,
    sources,
    system,
    tasks,
    uploads,
    watches,
    waves,
    why,
)
from taskengine.service.api.access import V1
from taskengine.service.api.guard import FailedLogins
from taskengine.service.api.limit import BodyLimit, Watched
from taskengine.service.api.schema.common import ProblemDetails, ProblemItem
from taskengine.service.metrics import Metrics
from taskengine.service.services import Services
from taskengine.service.store.counts import Counts, count

#: all routes stand in one of them
ROUTERS: tuple[APIRouter, ...] = (
    tasks.router, sources.router, runs.router, logs.router, events.router, why.router, watches.router, waves.router,
    uploads.router, admin.router, protocol.router, system.router,
)  # fmt: skip
_FEED = re.compile(rf"{V1}/workers/[^/]+/runs/[^/]+/feed")
_LARGEST_FEED = 80 << 20  # the largest event, and some
_UPLOAD = re.compile(rf"{V1}/uploads/[^/]+")


def make_app(services: Services) -> FastAPI:
    """The ASGI application over these services. Closing them is the caller's."""
    app = FastAPI(
        title="acr-task",
        version=__version__,
        summary="ACR Tasks on any Docker Engine",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.failed_logins = FailedLogins(services.settings.failed_logins, time.monotonic)
    app.state.metrics = Metrics(lambda: _count(services), services.now)
    problem.install(app, _methods)
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(BodyLimit, most=services.settings.largest_body, larger=_larger(services))
    app.add_middleware(Watched, observe=app.state.metrics.request)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _methods(path: str) -> list[str]:
    """All methods that a path has, over all of its routes."""
    found = {
        method
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and route.path_regex.match(path)
        for method in route.methods or ()
    }
    return sorted(found) or ["GET"]


def _count(services: Services) -> Counts:
    with services.database.read() as conn:
        return count(conn)


def _larger(services: Services) -> Any:
    def larger(method: str, path: str) -> int | None:
        if method == "PATCH" and _FEED.fullmatch(path):
            return _LARGEST_FEED
        if method == "PUT" and _UPLOAD.fullmatch(path):
            return services.settings.largest_chunk
        if method == "POST" and path.startswith("/hooks/"):
            return services.settings.largest_delivery
        return None

    return larger


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document, with our form of errors in place of its own."""
    if app.openapi_schema:
        return app.openapi_schema
    from fastapi.openapi.utils import get_openapi

    found = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        routes=app.routes,
        license_info={"name": "Apache-2.0"},
    )
    schemas = found["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for model in (ProblemDetails, ProblemItem):
        schema = model.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
        schema.pop("$defs", None)
        schemas[model.__name__] = schema
    for path in found["paths"].values():
        for operation in path.values():
            _plain_errors(operation)
            _plain_parameters(operation)
    app.openapi_schema = found
    return found


def _plain_parameters(operation: dict[str, Any]) -> None:
    """A query or a header that is left out is left out: it has no null, as JSON has."""
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
        if len(kinds) == 1:
            del schema["anyOf"]
            schema.update(kinds[0])


def _plain_errors(operation: dict[str, Any]) -> None:
    """A route that takes nothing that could be invalid gets FastAPI's 422 no more than our own."""
    for status, response in list(operation["responses"].items()):
        content = response.get("content", {})
        if status == "422" and "application/json" in content:
            if len(content) == 1:
                del operation["responses"]["422"]
            else:
                del content["application/json"]
