"""Every error as `application/problem+json` (RFC 9457): the same codes and hints as on the command line.

`type` is `about:blank`, so `title` is HTTP's own phrase; `code` says what it is, `problems` lists what is wrong in a
task's text. What is not ours is logged with a number, and told by that number only.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from taskengine.errors import Conflict, InvalidInput, InvalidTask, NotFound, OutOfSpace, Problem, TaskEngineError
from taskengine.errors import Unreachable as Away
from taskengine.service.document import InvalidDocument
from taskengine.service.refusal import Forbidden, TooLarge, TooOften, Unauthorized
from taskengine.service.store.feeds import Fenced

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("taskengine.service")

#: the most specific first
_STATUS: tuple[tuple[type[Exception], int, str], ...] = (
    (Unauthorized, 401, "unauthorized"),
    (Forbidden, 403, "forbidden"),
    (NotFound, 404, "not-found"),
    (Fenced, 410, "stale-lease"),
    (Conflict, 409, "conflict"),
    (TooLarge, 413, "too-large"),
    (InvalidTask, 422, "invalid-task"),
    (TooOften, 429, "too-often"),
    (InvalidInput, 422, "invalid-input"),
    (OutOfSpace, 507, "out-of-space"),
    (Away, 503, "unavailable"),
    (TaskEngineError, 500, "internal"),
)


def problem(
    status: int,
    detail: str,
    *,
    code: str,
    hint: str | None = None,
    problems: Sequence[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if hint:
        body["hint"] = hint
    if problems:
        body["problems"] = list(problems)
    return Response(json.dumps(body), status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def of_error(error: TaskEngineError) -> Response:
    """The response to one of our errors."""
    status, code = next((status, code) for kind, status, code in _STATUS if isinstance(error, kind))
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooOften):
        headers["Retry-After"] = str(error.seconds)
    if isinstance(offset := getattr(error, "offset", None), int):
        headers["Upload-Offset"] = str(offset)
    listed: list[dict[str, Any]] = []
    if isinstance(error, InvalidTask):
        listed = [problem_json(one) for one in error.problems]
    elif isinstance(error, InvalidDocument):
        listed = [_field(path, message) for path, message in error.faults]
    return problem(status, error.message, code=code, hint=error.hint, problems=listed, headers=headers)


def problem_json(one: Problem) -> dict[str, Any]:
    """A problem of a task's text, with its place."""
    out: dict[str, Any] = {"code": one.code, "message": one.message, "severity": one.severity.value}
    if one.location is not None:
        out["location"] = {"file": one.location.file, "line": one.location.line, "column": one.location.column}
    if one.hint:
        out["hint"] = one.hint
    if one.source_line is not None:
        out["sourceLine"] = one.source_line
    return out


def invalid_body(errors: Sequence[Any]) -> Response:
    """What the models of the border say, one problem each: the place is a path into the document."""
    listed = [_field(_path(e["loc"]), str(e["msg"])) for e in errors[:50]]
    first = listed[0] if listed else {"message": "the request is not valid", "path": ""}
    detail = f"{first['path']}: {first['message']}" if first["path"] else first["message"]
    return problem(422, detail, code="invalid-input", problems=listed, hint="see /openapi.json for what is expected")


def _field(path: str, message: str) -> dict[str, Any]:
    return {"code": "invalid-field", "message": message, "path": path, "severity": "error"}


def _path(location: Sequence[Any]) -> str:
    words = [str(word) for word in location]
    return ".".join(words[1:] if words[:1] == ["body"] else words)[:500]


def install(app: FastAPI, methods: Callable[[str], Sequence[str]]) -> None:
    """Make every error of the application a problem. `methods` are those that a path has."""

    async def ours(_: Request, error: Exception) -> Response:
        assert isinstance(error, TaskEngineError)  # noqa: S101 - registered for these only
        if not isinstance(error, InvalidInput):
            _log.warning("%s", error.message)
        return of_error(error)

    async def fields(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError | ValidationError)  # noqa: S101
        found = error.errors()
        if any(e["type"] == "json_invalid" for e in found):
            return problem(400, "the body is not JSON", code="invalid-json", hint="send Content-Type: application/json")
        return invalid_body(found)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        if isinstance(error.__cause__, TaskEngineError):  # FastAPI's word for whatever happens while it reads a body
            return of_error(error.__cause__)
        code = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}.get(error.status_code, "invalid-input")
        detail = {404: "there is nothing here", 405: "this method is not possible here"}.get(error.status_code)
        hint = "the paths are listed in /openapi.json" if error.status_code in (404, 405) else None
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(methods(request.url.path))
        return problem(error.status_code, detail or str(error.detail), code=code, hint=hint, headers=headers)

    async def unexpected(request: Request, error: Exception) -> Response:
        number = secrets.token_hex(4)
        _log.error("error %s at %s %s", number, request.method, request.url.path, exc_info=error)
        return problem(500, f"the service failed; its log says why under {number}", code="internal")

    app.add_exception_handler(TaskEngineError, ours)
    app.add_exception_handler(RequestValidationError, fields)
    app.add_exception_handler(ValidationError, fields)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)
